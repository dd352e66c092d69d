// Attach through the whole sidecar: client processes, and what becomes of their sessions.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "tests/integration/attach_victim.h"
#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

using testing::HasSubstr;
using Event = v1::AttachResponse;

v1::AttachRequest Named(const std::string& name, int heartbeat_seconds = 0) {
  v1::AttachRequest request;
  request.set_client_name(name);
  if (heartbeat_seconds > 0) {
    request.mutable_heartbeat_interval()->set_seconds(heartbeat_seconds);
  }
  return request;
}

// A client that is attached; heartbeats are counted, and other events kept.
class Client {
 public:
  explicit Client(v1::Sidecar::Stub& stub, const v1::AttachRequest& request = Named("test")) {
    context_.set_deadline(std::chrono::system_clock::now() + seconds(60));
    reader_ = stub.Attach(&context_, request);
    if (reader_->Read(&first_)) thread_ = std::thread([this] { Read(); });
  }
  ~Client() {
    context_.TryCancel();
    if (thread_.joinable()) thread_.join();
    if (!finished_) reader_->Finish();
  }

  const Event& first() const { return first_; }
  const std::string& id() const { return first_.attached().client_id(); }
  void Leave() { context_.TryCancel(); }
  // REQUIRES: the stream ends.
  grpc::Status Finish() {
    if (thread_.joinable()) thread_.join();
    finished_ = true;
    return reader_->Finish();
  }

  // The next event that is no heartbeat; an empty one after `limit`.
  Event Await(milliseconds limit = 5s) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, limit, [this] { return !events_.empty(); })) return {};
    Event event = events_.front();
    events_.pop_front();
    return event;
  }
  int heartbeats() {
    const std::lock_guard lock(mutex_);
    return heartbeats_;
  }

 private:
  void Read() {
    Event event;
    while (reader_->Read(&event)) {
      const std::lock_guard lock(mutex_);
      if (event.has_heartbeat()) {
        ++heartbeats_;
      } else {
        events_.push_back(event);
      }
      changed_.notify_all();
    }
  }

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<Event>> reader_;
  Event first_;
  bool finished_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Event> events_;
  int heartbeats_ = 0;
  std::thread thread_;
};

v1::QueryRequest Begin(const std::string& sql, const std::string& client_id) {
  v1::QueryRequest request = MakeQuery(sql);
  request.mutable_session()->mutable_begin();
  request.mutable_session()->set_client_id(client_id);
  return request;
}

v1::QueryRequest In(const std::string& session, const std::string& sql) {
  v1::QueryRequest request = MakeQuery(sql);
  request.mutable_session()->set_session(session);
  return request;
}

// A sidecar with a table, and how many transactions of its callers are open in the database.
struct AttachSidecar : PostgresSidecar {
  explicit AttachSidecar(std::vector<std::string> flags = {}) : PostgresSidecar(std::move(flags)) {
    Psql("create table t (n int)");
  }
  int OpenTransactions() {
    return std::stoi(
        Psql("select count(*) from pg_stat_activity where application_name ="
             " 'dbsidecar' and datname = current_database() and state like 'idle in "
             "transaction%'"));
  }
};

// A client in a process of its own that has begun a transaction, as RunVictim says.
class Victim {
 public:
  Victim(AttachSidecar& fixture, const char* how) {
    pid_ = fork();
    if (pid_ == 0) {
      // Only exec may follow in a process that has threads.
      const std::string address = fixture.sidecar.address();
      execl("/proc/self/exe", "integration_test", "--victim", address.c_str(), how, nullptr);
      _exit(127);
    }
    started_ = Eventually(10s, [&] { return fixture.OpenTransactions() == 1; });
  }
  ~Victim() { Kill(); }

  bool started() const { return started_; }
  void Kill() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
  bool started_ = false;
};

// How long the transaction of a killed client stays open; negative = for longer than 20 s.
double SecondsFromDeathToRollback(AttachSidecar& fixture, const char* how) {
  Victim victim(fixture, how);
  if (!victim.started()) return -2;
  const auto began = Clock::now();
  victim.Kill();
  if (!Eventually(20s, [&] { return fixture.OpenTransactions() == 0; })) return -1;
  return Milliseconds(Clock::now() - began) / 1000;
}

TEST(AttachTest, AKilledClientsTransactionIsRolledBackWithinASecond) {
  AttachSidecar fixture({"--session-idle-timeout=10s"});
  const double took = SecondsFromDeathToRollback(fixture, "attached");
  std::printf("rolled back %.3f s after kill -9\n", took);
  EXPECT_GE(took, 0);
  EXPECT_LT(took, 1);
  EXPECT_EQ(fixture.Psql("select count(*) from t"), "0");
  // Also of the lock that it held.
  EXPECT_TRUE(fixture.client.Query("truncate t").ok());
}

TEST(AttachTest, WithoutAttachItTakesTheIdleLimit) {
  AttachSidecar fixture({"--session-idle-timeout=3s"});
  const double took = SecondsFromDeathToRollback(fixture, "alone");
  std::printf("rolled back %.3f s after kill -9\n", took);
  EXPECT_GT(took, 1);
  EXPECT_LT(took, 4);
  EXPECT_EQ(fixture.Psql("select count(*) from t"), "0");
}

TEST(AttachTest, AStatementThatRunsWhenTheClientIsKilledIsStopped) {
  AttachSidecar fixture;
  Client client(fixture.client.stub());
  const QueryOutcome begun = fixture.client.Run(Begin("insert into t values (1)", client.id()));
  ASSERT_TRUE(begun.ok()) << begun;
  // On another connection, as if it were another process: only the stream's end tells of it.
  QueryClient other(fixture.sidecar.NewChannel());
  const auto running = other.Start(In(begun.response.session(), "select pg_sleep(20)"));
  ASSERT_TRUE(Eventually(
      5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 1; }));
  client.Leave();
  EXPECT_TRUE(Eventually(
      1s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 0; }));
  EXPECT_FALSE(running->Wait().ok());
  EXPECT_EQ(fixture.OpenTransactions(), 0);
}

TEST(AttachTest, TheFirstEventNamesTheClientAndHeartbeatsFollow) {
  AttachSidecar fixture;
  Client one(fixture.client.stub(), Named("one", 1));
  Client other(fixture.client.stub());
  ASSERT_TRUE(one.first().has_attached());
  EXPECT_EQ(one.id().size(), 32u);
  EXPECT_NE(one.id(), other.id());
  EXPECT_EQ(one.first().attached().heartbeat_interval().seconds(), 1);
  EXPECT_EQ(other.first().attached().heartbeat_interval().seconds(), 5);
  EXPECT_FALSE(one.first().attached().version().empty());
  EXPECT_TRUE(Eventually(5s, [&] { return one.heartbeats() >= 3; }));
  EXPECT_LE(other.heartbeats(), 1);
}

TEST(AttachTest, AShortIntervalIsRaisedAndAnImpossibleOneRefused) {
  AttachSidecar fixture;
  v1::AttachRequest request;
  request.mutable_heartbeat_interval()->set_nanos(1);
  Client hasty(fixture.client.stub(), request);
  EXPECT_EQ(hasty.first().attached().heartbeat_interval().seconds(), 1);
  request.mutable_heartbeat_interval()->set_nanos(-1);
  Client absurd(fixture.client.stub(), request);
  EXPECT_EQ(absurd.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(AttachTest, AnUnknownClientIsRefusedAndNothingRuns) {
  AttachSidecar fixture;
  std::string gone;
  {
    Client client(fixture.client.stub());
    gone = client.id();
    EXPECT_TRUE(fixture.client.Run(Begin("select 1", gone)).ok());
  }
  ASSERT_TRUE(Eventually(2s, [&] { return fixture.OpenTransactions() == 0; }));
  for (const std::string& id : {gone, std::string("one"), std::string(32, '0')}) {
    const QueryOutcome outcome = fixture.client.Run(Begin("insert into t values (1)", id));
    EXPECT_EQ(CodeAndSqlstate(outcome), "NOT_FOUND ");
    EXPECT_EQ(outcome.reason, "CLIENT_NOT_FOUND");
    EXPECT_THAT(outcome.status.error_message(), testing::Not(HasSubstr(id)));
  }
  EXPECT_EQ(fixture.OpenTransactions(), 0);
}

TEST(AttachTest, OnlyTheSessionsOfTheClientThatLeftEnd) {
  AttachSidecar fixture;
  auto one = std::make_unique<Client>(fixture.client.stub());
  Client other(fixture.client.stub());
  const QueryOutcome first = fixture.client.Run(Begin("insert into t values (1)", one->id()));
  const QueryOutcome second = fixture.client.Run(Begin("insert into t values (2)", other.id()));
  const QueryOutcome third = fixture.client.Run(Begin("insert into t values (3)", ""));
  ASSERT_TRUE(first.ok() && second.ok() && third.ok());
  one.reset();
  EXPECT_TRUE(Eventually(1s, [&] { return fixture.OpenTransactions() == 2; }));
  EXPECT_EQ(fixture.client.Run(In(first.response.session(), "commit")).reason, "SESSION_NOT_FOUND");
  EXPECT_TRUE(fixture.client.Run(In(second.response.session(), "commit")).ok());
  EXPECT_TRUE(fixture.client.Run(In(third.response.session(), "commit")).ok());
  EXPECT_EQ(fixture.Psql("select string_agg(n::text, ',' order by n) from t"), "2,3");
}

TEST(AttachTest, ALaterCallCanTieASessionToTheClient) {
  AttachSidecar fixture;
  auto client = std::make_unique<Client>(fixture.client.stub());
  const QueryOutcome begun = fixture.client.Run(Begin("insert into t values (1)", ""));
  ASSERT_TRUE(begun.ok());
  v1::QueryRequest tie = In(begun.response.session(), "select 1");
  tie.mutable_session()->set_client_id(client->id());
  ASSERT_TRUE(fixture.client.Run(tie).ok());
  client.reset();
  EXPECT_TRUE(Eventually(1s, [&] { return fixture.OpenTransactions() == 0; }));
}

TEST(AttachTest, ASessionThatTheSidecarEndsIsToldWithTheReason) {
  AttachSidecar fixture({"--session-idle-timeout=500ms", "--transaction-timeout=5s"});
  Client client(fixture.client.stub());
  const auto revoked = [&](const QueryOutcome& begun) -> std::string {
    const Event event = client.Await();
    if (event.session_revoked().session() != begun.response.session()) {
      return "<" + event.ShortDebugString() + ">";
    }
    return event.session_revoked().reason();
  };
  const QueryOutcome idle = fixture.client.Run(Begin("insert into t values (1)", client.id()));
  ASSERT_TRUE(idle.ok());
  EXPECT_EQ(revoked(idle), "idle_timeout");

  v1::QueryRequest brief = Begin("insert into t values (1)", client.id());
  brief.mutable_session()->mutable_begin()->mutable_transaction_timeout()->set_nanos(200'000'000);
  const QueryOutcome old = fixture.client.Run(brief);
  ASSERT_TRUE(old.ok());
  EXPECT_EQ(revoked(old), "transaction_timeout");

  const auto kill_it = [&] {
    fixture.Psql(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
        " and (state like 'idle in tr%' or query ~ 'pg_sleep.20') and pid <> pg_backend_pid()");
  };
  const QueryOutcome lost = fixture.client.Run(Begin("insert into t values (1)", client.id()));
  ASSERT_TRUE(lost.ok());
  kill_it();
  EXPECT_EQ(revoked(lost), "connection_lost");

  const QueryOutcome busy = fixture.client.Run(Begin("insert into t values (1)", client.id()));
  ASSERT_TRUE(busy.ok());
  const auto running = fixture.client.Start(In(busy.response.session(), "select pg_sleep(20)"));
  ASSERT_TRUE(Eventually(
      5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 1; }));
  kill_it();
  EXPECT_EQ(running->Wait().status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(revoked(busy), "connection_lost");

  // Whoever ends it itself is told nothing.
  v1::QueryRequest whole = Begin("insert into t values (7)", client.id());
  whole.mutable_session()->set_commit(true);
  EXPECT_TRUE(fixture.client.Run(whole).ok());
  EXPECT_EQ(client.Await(300ms).event_case(), Event::EVENT_NOT_SET);
  EXPECT_EQ(fixture.Psql("select string_agg(n::text, ',') from t"), "7");
}

TEST(AttachTest, ASessionOnAPipelineEndsWithTheStreamOrTheClientWhicheverIsFirst) {
  AttachSidecar fixture;
  const auto begin_on = [&](grpc::ClientReaderWriter<v1::PipelineRequest, v1::PipelineResponse>& on,
                            const std::string& client_id) {
    v1::PipelineRequest frame;
    v1::Call& call = *frame.add_calls();
    call.set_id(1);
    *call.mutable_query() = Begin("insert into t values (1)", client_id);
    v1::PipelineResponse response;
    EXPECT_TRUE(on.Write(frame) && on.Read(&response));
    return response.replies(0).response().session();
  };
  for (const bool client_first : {true, false}) {
    auto client = std::make_unique<Client>(fixture.client.stub());
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    const auto stream = fixture.client.stub().Pipeline(&context);
    EXPECT_EQ(begin_on(*stream, client->id()).size(), 32u);
    EXPECT_EQ(fixture.OpenTransactions(), 1);
    if (client_first) {
      client.reset();
    } else {
      context.TryCancel();
    }
    EXPECT_TRUE(Eventually(1s, [&] { return fixture.OpenTransactions() == 0; })) << client_first;
    context.TryCancel();
    stream->Finish();
  }
}

TEST(AttachTest, ADrainIsToldBeforeItsEnd) {
  AttachSidecar fixture({"--drain-delay=0", "--drain-timeout=3s", "--session-idle-timeout=20s"});
  Client client(fixture.client.stub());
  const QueryOutcome kept = fixture.client.Run(Begin("insert into t values (1)", client.id()));
  const QueryOutcome left = fixture.client.Run(Begin("insert into t values (2)", client.id()));
  ASSERT_TRUE(kept.ok() && left.ok());
  fixture.sidecar.Signal(SIGTERM);
  const Event draining = client.Await();
  ASSERT_TRUE(draining.has_draining()) << draining.ShortDebugString();
  EXPECT_EQ(draining.draining().remaining().seconds(), 3);
  // Sessions that are open can be finished.
  EXPECT_TRUE(fixture.client.Run(In(kept.response.session(), "commit")).ok());
  Client late(fixture.client.stub());
  EXPECT_EQ(late.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  const Event revoked = client.Await();
  EXPECT_EQ(revoked.session_revoked().session(), left.response.session());
  EXPECT_EQ(revoked.session_revoked().reason(), "drain");
  EXPECT_EQ(client.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(fixture.sidecar.WaitExit(10s), 0);
  EXPECT_EQ(fixture.Psql("select string_agg(n::text, ',') from t"), "1");
}

TEST(AttachTest, AClientWithoutSessionsDoesNotHoldUpADrain) {
  AttachSidecar fixture({"--drain-delay=0", "--drain-timeout=20s"});
  Client client(fixture.client.stub());
  const auto began = Clock::now();
  fixture.sidecar.Signal(SIGTERM);
  EXPECT_EQ(fixture.sidecar.WaitExit(10s), 0);
  EXPECT_LT(Clock::now() - began, 3s);
  EXPECT_EQ(client.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST(AttachTest, ManyClientsComeAndGo) {
  AttachSidecar fixture;
  const int before = fixture.sidecar.OpenDescriptors();
  for (int i = 0; i < 300; ++i) {
    Client client(fixture.client.stub());
    ASSERT_TRUE(client.first().has_attached());
  }
  EXPECT_LE(fixture.sidecar.OpenDescriptors(), before + 5);
  EXPECT_TRUE(fixture.client.Query("select 1").ok());
}

TEST(AttachTest, SqliteClientsCanAttachToo) {
  SidecarProcess sidecar({.database_url = "sqlite::memory:", .flags = {}, .environment = {}});
  QueryClient query_client(sidecar.NewChannel());
  Client client(query_client.stub());
  EXPECT_TRUE(client.first().has_attached());
}

}  // namespace

int RunVictim(const std::string& address, const std::string& how) {
  QueryClient client(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  std::unique_ptr<Client> attached;
  if (how == "attached") attached = std::make_unique<Client>(client.stub());
  const std::string id = attached == nullptr ? "" : attached->id();
  if (!client.Run(Begin("insert into t values (1)", id)).ok()) return 1;
  std::this_thread::sleep_for(60s);
  return 0;
}

}  // namespace dbsidecar::integration
