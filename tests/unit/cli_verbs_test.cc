// The verbs against a small server in this process, on a Unix socket in a temporary folder.
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "dbsidecar/v1/sidecar.grpc.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "server/cli/client_verbs.h"

namespace dbsidecar::server::cli {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using testing::internal::CaptureStderr;
using testing::internal::CaptureStdout;
using testing::internal::GetCapturedStderr;
using testing::internal::GetCapturedStdout;

grpc::Status MissingTable() {
  google::rpc::ErrorInfo info;
  info.set_reason("SQL_ERROR");
  info.set_domain("dbsidecar");
  v1::SqlError sql;
  sql.set_sqlstate("42P01");
  sql.set_hint("Create it.");
  sql.set_position(15);
  google::rpc::Status status;
  status.set_code(grpc::StatusCode::NOT_FOUND);
  status.add_details()->PackFrom(info);
  status.add_details()->PackFrom(sql);
  return {grpc::StatusCode::NOT_FOUND, "relation \"x\" does not exist", status.SerializeAsString()};
}

class FakeSidecar : public v1::Sidecar::Service {
 public:
  // Answers with the parameters' count; knows no table x; is slow on request.
  grpc::Status Query(grpc::ServerContext* context, const v1::QueryRequest* request,
                     v1::QueryResponse* response) override {
    last_request = *request;
    if (request->sql() == "select * from x") return MissingTable();
    if (request->sql() == "refuse") return {grpc::StatusCode::UNAVAILABLE, "draining", "\n\x01x"};
    while (request->sql() == "sleep" && !context->IsCancelled()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    v1::ResultSet& result = *response->mutable_result();
    result.add_columns()->set_name("n");
    result.add_data()->add_ints(request->params_size());
    result.set_row_count(1);
    result.set_rows_affected(-1);
    result.set_truncated(request->max_rows() == 1);
    v1::Notice& notice = *response->add_notices();
    notice.set_severity("WARNING");
    notice.set_message("careful");
    return grpc::Status::OK;
  }

  // One event of each kind, and notifications until the client has enough.
  grpc::Status Listen(grpc::ServerContext* context, const v1::ListenRequest* request,
                      grpc::ServerWriter<v1::ListenResponse>* writer) override {
    if (request->channels(0) == "refuse") return MissingTable();
    v1::ListenResponse event;
    event.mutable_listening()->add_channels(request->channels(0));
    writer->Write(event);
    event.mutable_gap()->set_reason("gone");
    writer->Write(event);
    for (int i = 0; i < 3 && !context->IsCancelled(); ++i) {
      event.mutable_notification()->set_channel(request->channels(0));
      event.mutable_notification()->set_payload("tab\t" + std::to_string(i));
      writer->Write(event);
    }
    while (request->channels(0) == "endless" && !context->IsCancelled()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    event.mutable_dropped()->set_reason("too slow");
    writer->Write(event);
    return {grpc::StatusCode::RESOURCE_EXHAUSTED, "too slow"};
  }

  grpc::Status Describe(grpc::ServerContext*, const v1::DescribeRequest*,
                        v1::DescribeResponse* response) override {
    response->add_param_type_oids(23);
    response->add_param_type_oids(20000);
    v1::ColumnInfo& column = *response->add_columns();
    column.set_name("n\x1b");
    column.set_type_oid(25);
    response->set_read_only(v1::READ_ONLY_VERDICT_READ_ONLY);
    response->set_verdict_reason("it is a read");
    response->set_needs_own_connection(true);
    response->set_fingerprint("abc");
    v1::TypeInfo& type = *response->add_types();
    type.set_oid(20000);
    type.set_schema("public");
    type.set_name("mood");
    return grpc::Status::OK;
  }

  // Parts of two rows, as many as there are parameters, then the end; fails on request.
  grpc::Status QueryStream(grpc::ServerContext*, const v1::QueryRequest* request,
                           grpc::ServerWriter<v1::QueryResponse>* writer) override {
    v1::QueryResponse part;
    part.mutable_result()->add_columns()->set_name("n");
    for (int i = 0; i < request->params_size(); ++i) {
      v1::Column& column = *part.mutable_result()->add_data();
      column.add_ints(2 * i);
      column.add_ints(2 * i + 1);
      part.mutable_result()->set_row_count(2);
      writer->Write(part);
      part.Clear();
    }
    if (request->sql() == "fail") return MissingTable();
    part.mutable_result()->add_data();
    writer->Write(part);
    return grpc::Status::OK;
  }

  // Answers with a tag of the text's length.
  grpc::Status Script(grpc::ServerContext*, const v1::ScriptRequest* request,
                      v1::ScriptResponse* response) override {
    response->add_results()->set_command_tag("CREATE " + std::to_string(request->sql().size()));
    response->add_results()->set_command_tag(request->separate_transactions() ? "EACH" : "ALL");
    return grpc::Status::OK;
  }

  grpc::Status Health(grpc::ServerContext*, const v1::HealthRequest*,
                      v1::HealthResponse* response) override {
    response->set_status(health_status);
    response->set_version("9.9.9");
    return grpc::Status::OK;
  }

  grpc::Status Metrics(grpc::ServerContext*, const v1::MetricsRequest*,
                       v1::MetricsResponse* response) override {
    response->add_pools()->set_pool("orders");
    return grpc::Status::OK;
  }

  v1::QueryRequest last_request;
  v1::HealthStatus health_status = v1::HEALTH_STATUS_HEALTHY;
};

// `readiness` is SERVING from the check of this number on; `liveness` always is.
class FakeHealth : public grpc::health::v1::Health::Service {
 public:
  grpc::Status Check(grpc::ServerContext*, const HealthCheckRequest* request,
                     HealthCheckResponse* response) override {
    const bool live = request->service() == "liveness";
    if (!live && request->service() != "readiness") {
      return {grpc::StatusCode::NOT_FOUND, "no such service"};
    }
    const bool serving = live || ++checks >= ready_from;
    response->set_status(serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING);
    return grpc::Status::OK;
  }

  std::atomic<int> checks = 0;
  int ready_from = 1;
};

using Verb = int (*)(const std::vector<std::string>&, const Environment&);

class ClientVerbsTest : public testing::Test {
 protected:
  ClientVerbsTest() {
    char pattern[] = "/tmp/cli_verbs_test.XXXXXX";
    folder_ = mkdtemp(pattern);
    address_ = "unix:" + folder_ + "/sidecar.sock";
  }

  ~ClientVerbsTest() override {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    std::filesystem::remove_all(folder_);
  }

  void Serve() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
    builder.RegisterService(&sidecar_);
    builder.RegisterService(&health_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }

  // The address goes by the environment, as in a container.
  int Run(Verb verb, const std::vector<std::string>& arguments) {
    CaptureStdout();
    CaptureStderr();
    const int exit_code = verb(arguments, {{"DBSIDECAR_ADDR", address_}});
    out_ = GetCapturedStdout();
    err_ = GetCapturedStderr();
    return exit_code;
  }

  std::string folder_;
  std::string address_;
  FakeSidecar sidecar_;
  FakeHealth health_;
  std::unique_ptr<grpc::Server> server_;
  std::string out_;
  std::string err_;
};

TEST_F(ClientVerbsTest, QueryPrintsATableAndNoticesApart) {
  Serve();
  EXPECT_EQ(Run(RunQuery, {"select 1", "7", "--param", "null:"}), 0) << err_;
  EXPECT_EQ(out_.substr(0, out_.find('(')), " n\n---\n 2\n");
  EXPECT_EQ(err_, "WARNING: careful\n");
  EXPECT_EQ(sidecar_.last_request.params(0).int_value(), 7);
  EXPECT_EQ(sidecar_.last_request.format(), v1::RESULT_FORMAT_COLUMNS);
}

TEST_F(ClientVerbsTest, DescribeTellsTypesAndNeeds) {
  Serve();
  EXPECT_EQ(Run(RunDescribe, {"select 1"}), 0) << err_;
  EXPECT_EQ(out_,
            "parameter  $1 23\n"
            "parameter  $2 public.mood\n"
            "column     n\\x1b 25\n"
            "only reads yes: it is a read\n"
            "session    not needed\n"
            "alone      yes\n"
            "shape      abc\n");
  EXPECT_EQ(Run(RunDescribe, {"--json", "select 1"}), 0) << err_;
  EXPECT_NE(out_.find("\"readOnly\": \"READ_ONLY_VERDICT_READ_ONLY\""), std::string::npos) << out_;
  EXPECT_EQ(Run(RunDescribe, {"select 1", "select 2"}), 2);
}

TEST_F(ClientVerbsTest, QueryPrintsJsonAndCsvForPrograms) {
  Serve();
  EXPECT_EQ(Run(RunQuery, {"select 1", "--json"}), 0);
  EXPECT_EQ(out_, "[\n{\"n\":0}\n]\n");
  EXPECT_EQ(Run(RunQuery, {"select 1", "--csv", "--max-rows", "1", "--read-only"}), 0);
  EXPECT_EQ(out_, "n\n0\n");
  EXPECT_NE(err_.find("there are more rows"), std::string::npos);
  EXPECT_TRUE(sidecar_.last_request.read_only());
  EXPECT_EQ(sidecar_.last_request.max_rows(), 1u);
}

TEST_F(ClientVerbsTest, AStreamIsPrintedAsOneResult) {
  Serve();
  EXPECT_EQ(Run(RunQuery, {"--stream", "numbers", "1", "2"}), 0) << err_;
  EXPECT_EQ(out_, "n\n0\n1\n2\n3\n");
  EXPECT_EQ(Run(RunQuery, {"--stream", "--json", "numbers", "1", "2"}), 0) << err_;
  EXPECT_EQ(out_, "[\n{\"n\":0},\n{\"n\":1},\n{\"n\":2},\n{\"n\":3}\n]\n");
  EXPECT_EQ(Run(RunQuery, {"--stream", "--json", "none"}), 0) << err_;
  EXPECT_EQ(out_, "[]\n");
  EXPECT_EQ(Run(RunQuery, {"--stream", "fail", "1"}), 1);
  EXPECT_EQ(out_, "n\n0\n1\n");
  EXPECT_NE(err_.find("42P01"), std::string::npos) << err_;
  EXPECT_EQ(Run(RunQuery, {"--stream", "--max-rows", "5", "numbers"}), 2);
}

TEST_F(ClientVerbsTest, AScriptComesFromAFileAndEveryResultIsPrinted) {
  Serve();
  const std::string path = folder_ + "/script.sql";
  std::ofstream(path) << "select 1";
  EXPECT_EQ(Run(RunQuery, {"--file", path}), 0) << err_;
  EXPECT_EQ(out_, "CREATE 8\nALL\n");
  EXPECT_EQ(Run(RunQuery, {"--file", path, "--separate-transactions"}), 0) << err_;
  EXPECT_EQ(out_, "CREATE 8\nEACH\n");
  EXPECT_EQ(Run(RunQuery, {"--file", folder_ + "/none.sql"}), 2);
  EXPECT_EQ(Run(RunQuery, {"--file", path, "select 1"}), 2);
  EXPECT_EQ(Run(RunQuery, {"--separate-transactions", "select 1"}), 2);
}

TEST_F(ClientVerbsTest, QueryShowsTheDatabasesErrorWithItsPosition) {
  Serve();
  EXPECT_EQ(Run(RunQuery, {"select * from x"}), 1);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(err_,
            "ERROR: relation \"x\" does not exist (SQLSTATE 42P01)\n"
            "LINE 1: select * from x\n"
            "                      ^\n"
            "HINT: Create it.\n"
            "code NOT_FOUND, reason SQL_ERROR\n");
}

TEST_F(ClientVerbsTest, ARefusalByTheSidecarIsAnErrorAndNotAnAbsence) {
  Serve();
  EXPECT_EQ(Run(RunQuery, {"refuse"}), 1);
  EXPECT_EQ(err_, "ERROR: draining\ncode UNAVAILABLE\n");
}

TEST_F(ClientVerbsTest, AQueryThatTakesTooLongSaysThatItMayHaveTakenEffect) {
  Serve();
  EXPECT_EQ(Run(RunQuery, {"sleep", "--timeout", "100ms"}), 1);
  EXPECT_EQ(err_,
            "ERROR: no answer within 100ms; --timeout gives it longer\n"
            "The statement may have taken effect: look before you run it again.\n");
}

TEST_F(ClientVerbsTest, WithoutASidecarEveryCallSaysSoAndReturnsThree) {
  for (const Verb verb : {RunHealth, RunMetrics}) {
    EXPECT_EQ(Run(verb, {}), 3);
    EXPECT_EQ(err_, "no sidecar answers at " + address_ +
                        ": No such file or directory; is it running? (start it with: dbsidecar "
                        "serve)\n");
  }
  EXPECT_EQ(Run(RunQuery, {"select 1"}), 3);
  EXPECT_EQ(Run(RunHealth, {"--service", "liveness"}), 3);
}

TEST_F(ClientVerbsTest, ListenPrintsNotificationsAndTellsTheRestBesideThem) {
  Serve();
  EXPECT_EQ(Run(RunListen, {"news"}), 1) << "the stream ended";
  EXPECT_EQ(out_, "news\ttab\\t0\nnews\ttab\\t1\nnews\ttab\\t2\n");
  EXPECT_EQ(err_,
            "listening\n"
            "GAP: notifications may be missing; the connection was lost (gone) and is back\n"
            "DROPPED: too slow\n"
            "ERROR: too slow\ncode RESOURCE_EXHAUSTED\n");
}

TEST_F(ClientVerbsTest, ListenStopsAfterACountOrATime) {
  Serve();
  EXPECT_EQ(Run(RunListen, {"endless", "--count", "2"}), 0);
  EXPECT_EQ(out_, "endless\ttab\\t0\nendless\ttab\\t1\n");
  EXPECT_EQ(Run(RunListen, {"endless", "--timeout", "300ms", "--json"}), 0);
  std::istringstream lines(out_);
  std::vector<nlohmann::json> events;
  for (std::string line; std::getline(lines, line);) events.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(events.size(), 5u);
  EXPECT_TRUE(events[0].contains("listening"));
  EXPECT_EQ(events[1]["gap"]["reason"], "gone");
  EXPECT_EQ(events[4]["notification"]["payload"], "tab\t2");
}

TEST_F(ClientVerbsTest, ListenSaysWhatIsWrong) {
  EXPECT_EQ(Run(RunListen, {"news"}), 3) << "no sidecar is there";
  Serve();
  EXPECT_EQ(Run(RunListen, {"refuse"}), 1);
  EXPECT_NE(err_.find("code NOT_FOUND"), std::string::npos) << err_;
  EXPECT_EQ(Run(RunListen, {}), 2);
  EXPECT_EQ(Run(RunListen, {"news", "--count", "0"}), 2);
  EXPECT_EQ(Run(RunListen, {"\xff"}), 2);
}

TEST_F(ClientVerbsTest, HealthOfAServiceIsItsExitCode) {
  health_.ready_from = 1000;
  Serve();
  EXPECT_EQ(Run(RunHealth, {"--service", "readiness"}), 1);
  EXPECT_EQ(out_, "NOT_SERVING\n");
  EXPECT_EQ(Run(RunHealth, {"--service", "liveness"}), 0);
  EXPECT_EQ(out_, "SERVING\n");
  EXPECT_EQ(Run(RunHealth, {"--service", "nonsense"}), 1);
  EXPECT_EQ(err_, "ERROR: no such service\ncode NOT_FOUND\n");
}

TEST_F(ClientVerbsTest, TheHealthReportFailsOnlyWhenUnhealthy) {
  Serve();
  EXPECT_EQ(Run(RunHealth, {}), 0);
  EXPECT_EQ(out_.substr(0, out_.find('\n')), "status    HEALTHY");
  sidecar_.health_status = v1::HEALTH_STATUS_DEGRADED;
  EXPECT_EQ(Run(RunHealth, {}), 0);
  sidecar_.health_status = v1::HEALTH_STATUS_UNHEALTHY;
  EXPECT_EQ(Run(RunHealth, {"--json"}), 1);
  EXPECT_EQ(nlohmann::json::parse(out_)["status"], "HEALTH_STATUS_UNHEALTHY");
}

TEST_F(ClientVerbsTest, MetricsArePrintedForPeopleAndForPrograms) {
  Serve();
  EXPECT_EQ(Run(RunMetrics, {}), 0);
  EXPECT_NE(out_.find("pool orders"), std::string::npos) << out_;
  EXPECT_EQ(Run(RunMetrics, {"--json"}), 0);
  EXPECT_EQ(nlohmann::json::parse(out_)["pools"][0]["pool"], "orders");
}

TEST_F(ClientVerbsTest, WaitReturnsAsSoonAsTheServiceIsReady) {
  health_.ready_from = 4;
  Serve();
  EXPECT_EQ(Run(RunWait, {"--timeout", "30s"}), 0) << err_;
  EXPECT_EQ(health_.checks, 4);
}

TEST_F(ClientVerbsTest, WaitSeesASidecarThatStartsLater) {
  int exit_code = -1;
  std::thread waiting([&] { exit_code = RunWait({"--addr", address_, "--timeout", "30s"}, {}); });
  Serve();
  waiting.join();
  EXPECT_EQ(exit_code, 0);
}

TEST_F(ClientVerbsTest, WaitNamesTheLastStateWhenTimeIsUp) {
  EXPECT_EQ(Run(RunWait, {"--timeout", "200ms"}), 1);
  EXPECT_EQ(err_, "the service \"readiness\" was not ready within 200ms: no sidecar answers at " +
                      address_ + ": No such file or directory\n");
  health_.ready_from = 1000;
  Serve();
  EXPECT_EQ(Run(RunWait, {"--timeout", "200ms"}), 1);
  EXPECT_EQ(err_,
            "the service \"readiness\" was not ready within 200ms: the last answer was "
            "NOT_SERVING\n");
}

TEST_F(ClientVerbsTest, WrongArgumentsReturnTwoAndHelpReturnsZero) {
  for (const Verb verb : {RunQuery, RunDescribe, RunHealth, RunMetrics, RunWait, RunListen}) {
    EXPECT_EQ(Run(verb, {"--nonsense"}), 2);
    EXPECT_NE(err_.find("--nonsense is not known"), std::string::npos) << err_;
    EXPECT_EQ(Run(verb, {"--help"}), 0);
    EXPECT_EQ(out_.substr(0, 17), "Usage: dbsidecar ");
  }
  EXPECT_EQ(Run(RunQuery, {" \n"}), 2);
  EXPECT_EQ(Run(RunQuery, {"select '\xff'"}), 2);
}

}  // namespace
}  // namespace dbsidecar::server::cli
