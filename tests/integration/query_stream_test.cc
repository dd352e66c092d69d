// The QueryStream RPC: results of any size in parts, with bounded memory.
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <thread>

#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

// Made by a function in the select list, which the server does not collect first.
std::string Numbers(int64_t rows) { return fmt::format("select generate_series(1, {})", rows); }

std::string NumbersOnSqlite(int64_t rows) {
  return fmt::format(
      "with recursive n(i) as (select 1 union all select i + 1 from n where i < {}) select i from "
      "n",
      rows);
}

class Stream {
 public:
  Stream(const SidecarProcess& sidecar, const v1::QueryRequest& request, milliseconds limit = 60s)
      : stub_(v1::Sidecar::NewStub(sidecar.NewChannel())) {
    context_.set_deadline(std::chrono::system_clock::now() + limit);
    reader_ = stub_->QueryStream(&context_, request);
  }
  Stream(const SidecarProcess& sidecar, const std::string& sql, milliseconds limit = 60s)
      : Stream(sidecar, MakeQuery(sql), limit) {}
  ~Stream() {
    if (finished_) return;
    context_.TryCancel();
    while (Next()) {
    }
    Finish();
  }

  // False at the end.
  bool Next() {
    part_.Clear();
    return reader_->Read(&part_);
  }
  const v1::QueryResponse& part() const { return part_; }
  void Cancel() { context_.TryCancel(); }
  const QueryOutcome& Finish() {
    if (!std::exchange(finished_, true)) {
      outcome_.status = reader_->Finish();
      UnpackDetails(outcome_);
    }
    return outcome_;
  }
  // Reads to the end, and returns how many rows there were.
  int64_t Drain() {
    int64_t rows = 0;
    while (Next()) rows += part_.result().row_count();
    Finish();
    return rows;
  }

 private:
  std::unique_ptr<v1::Sidecar::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::QueryResponse>> reader_;
  v1::QueryResponse part_;
  bool finished_ = false;
  QueryOutcome outcome_;
};

double Mib(long bytes) { return static_cast<double>(bytes) / (1024 * 1024); }

TEST(QueryStreamTest, TheColumnsComeFirstAndTheCountsLast) {
  PostgresSidecar fixture;
  v1::QueryRequest request = MakeQuery("select i, 'n' || i as name from generate_series(1, 7) i");
  request.set_max_rows(3);
  request.set_want_timing(true);
  Stream stream(fixture.sidecar, request);
  std::vector<v1::QueryResponse> parts;
  while (stream.Next()) parts.push_back(stream.part());
  ASSERT_TRUE(stream.Finish().ok()) << stream.Finish();
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0].result().columns(1).name(), "name");
  for (const v1::QueryResponse& part : parts) {
    const bool first = &part == &parts.front();
    const bool last = &part == &parts.back();
    EXPECT_EQ(part.result().columns_size(), first ? 2 : 0);
    EXPECT_EQ(part.result().row_count(), last ? 1u : 3u);
    EXPECT_EQ(part.result().data(0).ints_size(), last ? 1 : 3);
    EXPECT_EQ(part.result().data(1).strings_size(), last ? 1 : 3);
    EXPECT_EQ(part.result().rows_affected(), -1);
    EXPECT_EQ(part.result().command_tag(), last ? "SELECT 7" : "");
    EXPECT_EQ(part.has_timing(), last);
    EXPECT_EQ(part.transaction_status(),
              last ? v1::TRANSACTION_STATUS_IDLE : v1::TRANSACTION_STATUS_UNSPECIFIED);
  }
}

TEST(QueryStreamTest, EveryFormatHasTheSameRows) {
  PostgresSidecar fixture;
  for (const v1::ResultFormat format :
       {v1::RESULT_FORMAT_COLUMNS, v1::RESULT_FORMAT_ROWS, v1::RESULT_FORMAT_TEXT_COLUMNS}) {
    v1::QueryRequest request = MakeQuery(Numbers(50'000));
    request.set_format(format);
    Stream stream(fixture.sidecar, request);
    int64_t sum = 0;
    int parts = 0;
    while (stream.Next()) {
      ++parts;
      const v1::ResultSet& set = stream.part().result();
      if (set.data_size() > 0) {
        for (const int64_t number : set.data(0).ints()) sum += number;
        for (const std::string& number : set.data(0).strings()) sum += std::stoll(number);
      }
      for (const v1::Row& row : set.rows()) sum += row.values(0).int_value();
    }
    EXPECT_TRUE(stream.Finish().ok()) << stream.Finish();
    EXPECT_EQ(sum, 50'000ll * 50'001 / 2) << v1::ResultFormat_Name(format);
    EXPECT_GT(parts, 1);
  }
}

TEST(QueryStreamTest, TheFirstPartComesWhileTheStatementRuns) {
  PostgresSidecar fixture;
  const auto start = Clock::now();
  Stream stream(fixture.sidecar,
                "select repeat('x', 9000) from generate_series(1, 3) i, pg_sleep(0)"
                " union all select pg_sleep(1)::text");
  ASSERT_TRUE(stream.Next());
  EXPECT_GT(stream.part().result().row_count(), 0u);
  EXPECT_LT(Clock::now() - start, 700ms + kScheduling);
  stream.Drain();
  EXPECT_GT(Clock::now() - start, 1s);
}

void ReadTenMillionRowsAndStandHalfWay(const SidecarProcess& sidecar,
                                       std::string (*numbers)(int64_t rows)) {
  constexpr int64_t kRows = 10'000'000;
  EXPECT_TRUE(Stream(sidecar, numbers(100'000)).Drain() == 100'000);  // Warms up.
  const long before = sidecar.ResidentBytes();
  long most = before;
  int64_t rows = 0;
  int64_t sum = 0;
  const auto start = Clock::now();
  Stream stream(sidecar, numbers(kRows));
  bool stood = false;
  while (stream.Next()) {
    rows += stream.part().result().row_count();
    for (const int64_t number : stream.part().result().data(0).ints()) sum += number;
    if (rows >= kRows / 2 && !stood) {
      stood = true;
      for (int i = 0; i < 10; ++i) {
        std::this_thread::sleep_for(100ms);
        most = std::max(most, sidecar.ResidentBytes());
      }
      EXPECT_LT(rows, kRows * 6 / 10);
      fmt::print("standing at {} rows: resident {:.1f} MiB, before {:.1f} MiB\n", rows, Mib(most),
                 Mib(before));
    }
  }
  const double took = Milliseconds(Clock::now() - start) / 1000 - 1;
  most = std::max(most, sidecar.ResidentBytes());
  EXPECT_TRUE(stream.Finish().ok()) << stream.Finish();
  EXPECT_EQ(rows, kRows);
  EXPECT_EQ(sum, kRows * (kRows + 1) / 2);
  fmt::print("{} rows in {:.2f} s without the pause ({:.0f} rows/s); resident {:.1f} MiB at most\n",
             rows, took, static_cast<double>(rows) / took, Mib(most));
  EXPECT_LT(most - before, (kSanitized ? 400L : 4L) * 1024 * 1024);
}
TEST(QueryStreamTest, MemoryStaysFlatWhileAReaderOfTenMillionRowsStands) {
  PostgresSidecar fixture;
  ReadTenMillionRowsAndStandHalfWay(fixture.sidecar, &Numbers);
}

TEST(QueryStreamTest, MemoryStaysFlatOnSqliteAsWell) {
  const SidecarProcess sidecar({.database_url = "sqlite::memory:", .flags = {}, .environment = {}});
  ReadTenMillionRowsAndStandHalfWay(sidecar, &NumbersOnSqlite);
}

TEST(QueryStreamTest, AClientThatGoesLeavesTheConnectionFreeWithinASecond) {
  PostgresSidecar fixture({"--max-connections", "1", "--min-connections", "0"});
  for (const bool reads : {false, true}) {
    Stream stream(fixture.sidecar, Numbers(1'000'000'000));
    ASSERT_TRUE(stream.Next());
    for (int i = 0; i < 100 && reads; ++i) ASSERT_TRUE(stream.Next());
    if (!reads) std::this_thread::sleep_for(200ms);  // The server is held back by now.
    const auto gone = Clock::now();
    stream.Cancel();
    EXPECT_EQ(fixture.client.Query("select 7").Scalar(), "7");
    EXPECT_LT(Clock::now() - gone, 1s);
    stream.Drain();
    EXPECT_EQ(stream.Finish().status.error_code(), grpc::StatusCode::CANCELLED);
  }
}

TEST(QueryStreamTest, AReaderThatTakesNothingLosesTheStreamAndHearsOfIt) {
  PostgresSidecar fixture(
      {"--max-connections", "1", "--stream-stall-timeout", "500ms", "--wait-timeout", "20s"});
  Stream stream(fixture.sidecar, Numbers(1'000'000'000));
  ASSERT_TRUE(stream.Next());
  const auto start = Clock::now();
  EXPECT_EQ(fixture.client.Query("select 7").Scalar(), "7") << "the connection is free again";
  // First the windows of HTTP/2 fill up, which is taking too.
  EXPECT_LT(Clock::now() - start, kSanitized ? 15s : 3s);
  stream.Drain();
  EXPECT_EQ(stream.Finish().status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(stream.Finish().reason, "DEADLINE");
}

TEST(QueryStreamTest, ADeadlineInTheMiddleEndsTheStream) {
  PostgresSidecar fixture({"--max-connections", "1"});
  Stream stream(fixture.sidecar, Numbers(1'000'000'000), 700ms);
  const auto start = Clock::now();
  EXPECT_GT(stream.Drain(), 0);
  EXPECT_EQ(stream.Finish().status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_LT(Clock::now() - start, 700ms + kScheduling);
  EXPECT_EQ(fixture.client.Query("select 7").Scalar(), "7");
}

TEST(QueryStreamTest, AnErrorInTheMiddleEndsTheStreamWithItsDetails) {
  PostgresSidecar fixture;
  Stream stream(fixture.sidecar, "select 1 / (50000 - i) from generate_series(1, 100000) i");
  EXPECT_GT(stream.Drain(), 0);
  EXPECT_EQ(CodeAndSqlstate(stream.Finish()), "INVALID_ARGUMENT 22012");
  Stream wrong(fixture.sidecar, "selec");
  EXPECT_EQ(wrong.Drain(), 0);
  EXPECT_EQ(CodeAndSqlstate(wrong.Finish()), "INVALID_ARGUMENT 42601");
}

TEST(QueryStreamTest, StreamsRunInSessions) {
  PostgresSidecar fixture;
  fixture.Psql("create table t (i int)");
  v1::QueryRequest request = MakeQuery("insert into t select generate_series(1, 9000) returning i");
  request.mutable_session()->mutable_begin();
  request.set_max_rows(4000);
  Stream begin(fixture.sidecar, request);
  std::string token;
  while (begin.Next()) {
    EXPECT_EQ(token, "") << "told before the last part";
    token = begin.part().session();
  }
  EXPECT_TRUE(begin.Finish().ok()) << begin.Finish();
  ASSERT_EQ(token.size(), 32u);
  request = MakeQuery("select * from t");
  request.mutable_session()->set_session(token);
  request.mutable_session()->set_commit(true);
  Stream commit(fixture.sidecar, request);
  EXPECT_EQ(commit.Drain(), 9000);
  EXPECT_TRUE(commit.Finish().ok()) << commit.Finish();
  EXPECT_EQ(fixture.Psql("select count(*) from t"), "9000");
}

TEST(QueryStreamTest, WhatCannotBeServedIsRefused) {
  PostgresSidecar fixture;
  v1::QueryRequest request = MakeQuery("select 1");
  request.set_pool("none");
  Stream no_pool(fixture.sidecar, request);
  no_pool.Drain();
  EXPECT_EQ(no_pool.Finish().reason, "POOL_NOT_FOUND");
  EXPECT_EQ(
      fixture.client.RunRaw("/dbsidecar.v1.Sidecar/QueryStream", "\xff\xff").status.error_code(),
      grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(QueryStreamTest, ManyStreamsAtOnceAreAllWhole) {
  // All of them wait for a connection for as long as the others take.
  PostgresSidecar fixture({"--max-connections=4", "--wait-timeout=20s"});
  std::vector<std::thread> readers;
  for (int i = 0; i < 12; ++i) {
    readers.emplace_back([&fixture] {
      Stream stream(fixture.sidecar, Numbers(100'000));
      EXPECT_EQ(stream.Drain(), 100'000);
      EXPECT_TRUE(stream.Finish().ok()) << stream.Finish();
    });
  }
  for (std::thread& reader : readers) reader.join();
}

TEST(QueryStreamTest, ADrainGivesUpAStreamThatStands) {
  PostgresSidecar fixture({"--drain-timeout", "500ms"});
  Stream stream(fixture.sidecar, Numbers(1'000'000'000));
  ASSERT_TRUE(stream.Next());
  fixture.sidecar.Signal(SIGTERM);
  EXPECT_EQ(fixture.sidecar.WaitExit(5s), 0);
}

}  // namespace
}  // namespace dbsidecar::integration
