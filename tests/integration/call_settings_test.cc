// Settings for one call, over the wire.
#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

v1::QueryRequest With(const std::string& sql, const v1::CallSettings& settings) {
  v1::QueryRequest request = MakeQuery(sql);
  *request.mutable_settings() = settings;
  return request;
}

v1::CallSettings Settings(const std::function<void(v1::CallSettings&)>& set) {
  v1::CallSettings settings;
  set(settings);
  return settings;
}

TEST(CallSettingsTest, AreThoseOfTheirCallAndEndWithIt) {
  PostgresSidecar fixture({"--max-connections=1", "--min-connections=1"});
  const std::string zone = "select current_setting('TimeZone')";
  const std::string before = fixture.client.Query(zone).Scalar();
  const auto tokyo = Settings([](auto& settings) { settings.set_time_zone("Asia/Tokyo"); });
  EXPECT_EQ(fixture.client.Run(With(zone, tokyo)).Scalar(), "Asia/Tokyo");
  EXPECT_EQ(fixture.client.Query(zone).Scalar(), before);
  EXPECT_EQ(CodeAndSqlstate(fixture.client.Run(With("select 1 / 0", tokyo))),
            "INVALID_ARGUMENT 22012");
  EXPECT_EQ(fixture.client.Query(zone).Scalar(), before);
}

TEST(CallSettingsTest, WhatIsWrongWithThemIsToldAsTheContractSays) {
  PostgresSidecar fixture;
  fixture.Psql("create table t (id int)");
  const auto run = [&](const std::string& sql, const std::function<void(v1::CallSettings&)>& set) {
    return CodeAndSqlstate(fixture.client.Run(With(sql, Settings(set))));
  };
  EXPECT_EQ(run("select 1", [](auto& s) { s.set_time_zone("Mars/Olympus"); }),
            "INVALID_ARGUMENT 22023");
  EXPECT_EQ(run("select 1", [](auto& s) { s.set_role("no such role"); }), "INVALID_ARGUMENT 22023");
  EXPECT_EQ(run("select pg_sleep(9)",
                [](auto& s) { s.mutable_statement_timeout()->set_nanos(50'000'000); }),
            "DEADLINE_EXCEEDED 57014");
  EXPECT_EQ(run("vacuum t", [](auto& s) { s.set_time_zone("UTC"); }), "INVALID_ARGUMENT ");
  v1::QueryRequest lock = MakeQuery("lock table t");
  lock.mutable_session()->mutable_begin();
  const QueryOutcome holder = fixture.client.Run(lock);
  ASSERT_TRUE(holder.ok()) << holder;
  EXPECT_EQ(
      run("select * from t", [](auto& s) { s.mutable_lock_timeout()->set_nanos(50'000'000); }),
      "ABORTED 55P03");
}

TEST(CallSettingsTest, ARoleThatTheSidecarsUserMayNotHaveIsDenied) {
  PostgresServer& server = PostgresServer::Shared();
  const std::string database = server.CreateDatabase("test");
  server.Psql(
      "do $$ begin create role settings_other; exception when duplicate_object then end $$");
  SidecarProcess sidecar({.database_url = server.TcpUrl(database),
                          .flags = {},
                          .environment = {},
                          .unix_socket = false});
  QueryClient client(sidecar.NewChannel());
  const auto other = Settings([](auto& settings) { settings.set_role("settings_other"); });
  EXPECT_EQ(CodeAndSqlstate(client.Run(With("select 1", other))), "PERMISSION_DENIED 42501");
}

TEST(CallSettingsTest, SqliteHasOnlyTheStatementTimeout) {
  SidecarProcess sidecar(
      {.database_url = "sqlite::memory:", .flags = {}, .environment = {}, .unix_socket = false});
  QueryClient client(sidecar.NewChannel());
  const auto role = Settings([](auto& settings) { settings.set_role("reader"); });
  EXPECT_EQ(client.Run(With("select 1", role)).status.error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  const auto limit =
      Settings([](auto& settings) { settings.mutable_statement_timeout()->set_nanos(50'000'000); });
  EXPECT_EQ(client.Run(With("select 1", limit)).Scalar(), "1");
  const QueryOutcome stopped = client.Run(
      With("with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n",
           limit));
  EXPECT_EQ(stopped.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << stopped;
  EXPECT_LT(stopped.took, 50ms + 100ms + kScheduling);
}

}  // namespace
}  // namespace dbsidecar::integration
