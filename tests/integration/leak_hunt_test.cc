// Sessions that dirty whatever a connection can keep, and callers that look for it on the
// connections that come back, meanwhile and afterwards.
#include <fmt/format.h>

#include <array>
#include <atomic>
#include <mutex>
#include <random>
#include <thread>

#include "gmock/gmock.h"
#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// What a caller can see that another one left on its connection; "" = nothing. Placeholders such as
// hunt.value are not in pg_settings.
constexpr const char* kLook = R"(
select concat_ws('; ',
  (select 'settings ' || string_agg(name, ',' order by name)
   from pg_settings where source = 'session'),
  'value ' || nullif(current_setting('hunt.value', true), ''),
  'inside ' || nullif(current_setting('hunt.inside', true), ''),
  case when current_user <> session_user or current_user = 'hunted'
       then 'role ' || current_user end,
  case when current_setting('search_path') <> '"$user", public' then 'search_path' end,
  (select 'temporary ' || count(*) from pg_class
   where relnamespace = pg_my_temp_schema() having count(*) > 0),
  (select 'functions ' || count(*) from pg_proc
   where pronamespace = pg_my_temp_schema() having count(*) > 0),
  (select 'locks ' || count(*) from pg_locks
   where locktype = 'advisory' and pid = pg_backend_pid() having count(*) > 0),
  (select 'prepared ' || count(*) from pg_prepared_statements
   where name like 'hunt%' having count(*) > 0),
  (select 'listens ' || count(*) from pg_listening_channels() having count(*) > 0),
  (select 'cursors ' || count(*) from pg_cursors where name like 'hunt%' having count(*) > 0),
  case when pg_current_xact_id_if_assigned() is not null then 'transaction' end))";

struct Dirt {
  const char* shows_as;  // In kLook's answer.
  std::vector<const char*> statements;
};

// `#` stands for a number of the session's own.
const std::vector<Dirt>& AllDirt() {
  static const std::vector<Dirt> dirt = {
      {"settings", {"set work_mem = '1234kB'", "set timezone = 'Asia/Tokyo'"}},
      {"settings", {"set session characteristics as transaction read only"}},
      {"settings", {"update pg_settings set setting = 'off' where name = 'enable_seqscan'"}},
      {"value", {"set hunt.value = '#'"}},
      {"value", {"select set_config('hunt.value', '#', false)"}},
      {"inside", {"select set_inside('#')"}},
      {"role", {"set role hunted"}},
      {"role", {"set session authorization hunted"}},
      {"search_path", {"set search_path = hunted, pg_temp"}},
      {"temporary", {"create temp table hunt_# (n int)", "insert into hunt_# values (1)"}},
      {"temporary", {"create temp view hunt_view as select 1"}},
      {"functions", {"create function pg_temp.hunt() returns int language sql as 'select 1'"}},
      {"locks", {"select pg_advisory_lock(#)", "select pg_advisory_lock(7, #)"}},
      {"locks", {"select pg_advisory_lock_shared(1)", "select pg_advisory_lock_shared(1)"}},
      {"locks", {"discard plans", "select pg_try_advisory_lock(#)", "discard sequences"}},
      {"prepared", {"prepare hunt as select 1", "execute hunt"}},
      {"listens", {"listen hunt_#", "listen hunt"}},
      {"cursors", {"declare hunt cursor with hold for select generate_series(1, 10)"}},
      {"locks", {"discard all", "select pg_advisory_lock(#)"}},
  };
  return dirt;
}

// How a session comes to its end.
enum class End { kRelease, kRollback, kFailedTransaction, kExpires, kClientGoes, kCancelled };
constexpr std::array kEnds = {End::kRelease, End::kRollback,   End::kFailedTransaction,
                              End::kExpires, End::kClientGoes, End::kCancelled};

v1::QueryRequest In(const std::string& session, const std::string& sql) {
  v1::QueryRequest request = MakeQuery(sql);
  request.mutable_session()->set_session(session);
  return request;
}

QueryOutcome EndSession(QueryClient& client, const std::string& session, v1::SessionEnd end) {
  v1::EndSessionRequest request;
  request.set_session(session);
  request.set_end(end);
  v1::EndSessionResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + QueryClient::kTimeout);
  QueryOutcome outcome;
  outcome.status = client.stub().EndSession(&context, request, &response);
  UnpackDetails(outcome);
  return outcome;
}

// A client that is attached until it goes.
class AttachedCaller {
 public:
  explicit AttachedCaller(QueryClient& client) {
    v1::AttachRequest request;
    request.set_client_name("hunter");
    stream_ = client.stub().Attach(&context_, request);
    v1::AttachResponse first;
    EXPECT_TRUE(stream_->Read(&first));
    id_ = first.attached().client_id();
  }
  ~AttachedCaller() {
    context_.TryCancel();
    stream_->Finish();
  }
  const std::string& id() const { return id_; }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::AttachResponse>> stream_;
  std::string id_;
};

class LeakHuntTest : public testing::Test {
 protected:
  static constexpr int kSessions = 1000;
  static constexpr int kDirtiers = 4;
  static constexpr int kLookers = 2;

  LeakHuntTest() : fixture_({"--max-connections=6", "--wait-timeout=20s"}) {
    fixture_.Psql(
        "do $$ begin create role hunted nologin; exception when duplicate_object then "
        "null; end $$");
    fixture_.Psql("create schema hunted");
    fixture_.Psql("grant usage, create on schema hunted, public to hunted");
    fixture_.Psql(
        "create function set_inside(value text) returns void language plpgsql as $$ begin "
        "perform set_config('hunt.inside', value, false); end $$");
  }

  void Report(const std::string& what) {
    const std::lock_guard lock(mutex_);
    if (findings_.size() < 20) findings_.push_back(what);
  }

  // Opens, dirties, sees its own dirt, and ends, each as `random` has it.
  void RunSession(int number, std::mt19937_64& random) {
    const End end = kEnds[random() % kEnds.size()];
    std::unique_ptr<AttachedCaller> attached;
    v1::QueryRequest opening = MakeQuery("select 1");
    v1::PinOptions& pin = *opening.mutable_session()->mutable_pin();
    if (end == End::kExpires) pin.mutable_idle_timeout()->set_nanos(150'000'000);
    if (end == End::kClientGoes) {
      attached = std::make_unique<AttachedCaller>(fixture_.client);
      opening.mutable_session()->set_client_id(attached->id());
    }
    const QueryOutcome opened = fixture_.client.Run(opening);
    if (!opened.ok()) {
      Report(fmt::format("session {} does not open: {}", number, opened.status.error_message()));
      return;
    }
    const std::string session = opened.response.session();
    // On a loaded machine it may expire sooner.
    const bool sure = end != End::kExpires;
    const auto dirty = [&](const Dirt& dirt) {
      for (std::string sql : dirt.statements) {
        for (size_t at; (at = sql.find('#')) != std::string::npos;) {
          sql.replace(at, 1, std::to_string(1000 + number));
        }
        const QueryOutcome outcome = fixture_.client.Run(In(session, sql));
        if (sure && !outcome.ok()) {
          Report(fmt::format("session {}, {}: {}", number, sql, outcome.status.error_message()));
        }
      }
      const std::string seen = fixture_.client.Run(In(session, kLook)).Scalar();
      if (seen.find(dirt.shows_as) != std::string::npos) {
        ++dirt_seen_;
      } else if (sure) {
        Report(fmt::format("session {} does not see its own {}: {}", number, dirt.shows_as, seen));
      }
    };
    // The first in turn, so that each kind occurs; and one more.
    dirty(AllDirt()[static_cast<size_t>(number) % AllDirt().size()]);
    if (random() % 2 == 0) dirty(AllDirt()[12 + random() % 2]);
    EndIt(session, end);
  }

  void EndIt(const std::string& session, End end) {
    switch (end) {
      case End::kRelease:
        EndSession(fixture_.client, session, v1::SESSION_END_RELEASE);
        break;
      case End::kRollback:
        fixture_.client.Run(In(session, "begin"));
        EndSession(fixture_.client, session, v1::SESSION_END_ROLLBACK);
        EndSession(fixture_.client, session, v1::SESSION_END_RELEASE);
        break;
      case End::kFailedTransaction:
        fixture_.client.Run(In(session, "begin"));
        fixture_.client.Run(In(session, "select 1 / 0"));
        EndSession(fixture_.client, session, v1::SESSION_END_COMMIT);
        EndSession(fixture_.client, session, v1::SESSION_END_RELEASE);
        break;
      case End::kExpires:
      case End::kClientGoes:
        break;
      case End::kCancelled: {
        const auto call = fixture_.client.Start(In(session, "select pg_sleep(10)"));
        std::this_thread::sleep_for(5ms);
        call->Cancel();
        call->Wait();
        EndSession(fixture_.client, session, v1::SESSION_END_RELEASE);
        break;
      }
    }
  }

  // As any caller may: by itself, in a transaction, or in a session of its own.
  void LookOnce(uint64_t how) {
    QueryOutcome outcome;
    if (how % 3 == 0) {
      outcome = fixture_.client.Query(kLook);
    } else {
      v1::QueryRequest request = MakeQuery(kLook);
      if (how % 3 == 1) {
        request.mutable_session()->mutable_begin();
      } else {
        request.mutable_session()->mutable_pin();
      }
      outcome = fixture_.client.Run(request);
      if (outcome.ok()) {
        // Of sequences, too, the session knows nothing.
        const QueryOutcome last =
            fixture_.client.Run(In(outcome.response.session(), "select lastval()"));
        if (last.sql.sqlstate() != "55000") Report("lastval() answers " + last.Scalar());
        EndSession(fixture_.client, outcome.response.session(), v1::SESSION_END_ROLLBACK);
      }
    }
    ++looks_;
    const std::string seen = outcome.Scalar();
    if (!seen.empty()) Report("a caller sees: " + seen);
  }

  PostgresSidecar fixture_;
  std::atomic<int> dirt_seen_ = 0;
  std::atomic<int> looks_ = 0;
  std::mutex mutex_;
  std::vector<std::string> findings_;  // Guarded by mutex_.
};

TEST_F(LeakHuntTest, NothingOfAThousandSessionsIsSeenByOthers) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::atomic<int> next = 0;
  std::atomic<bool> over = false;
  std::vector<std::thread> dirtiers;
  for (int i = 0; i < kDirtiers; ++i) {
    dirtiers.emplace_back([&, i] {
      std::mt19937_64 random(seed + static_cast<uint64_t>(i));
      for (int number; (number = next++) < kSessions;) RunSession(number, random);
    });
  }
  std::vector<std::thread> lookers;
  for (int i = 0; i < kLookers; ++i) {
    lookers.emplace_back([&, i] {
      for (uint64_t how = static_cast<uint64_t>(i); !over; ++how) LookOnce(how);
    });
  }
  for (std::thread& dirtier : dirtiers) dirtier.join();
  over = true;
  for (std::thread& looker : lookers) looker.join();
  const int looks_meanwhile = looks_;

  // Those that were left expire; then nothing of any session is anywhere.
  EXPECT_TRUE(Eventually(10s, [&] {
    return fixture_.Psql(
               "select count(*) from pg_locks where locktype = 'advisory' and database = "
               "(select oid from pg_database where datname = current_database())") == "0";
  })) << "advisory locks survive";
  EXPECT_TRUE(Eventually(10s, [&] {
    return fixture_.Psql(
               "select count(*) from pg_class c join pg_namespace n on n.oid = "
               "c.relnamespace where n.nspname like 'pg_temp%'") == "0";
  })) << "temporary tables survive";
  std::vector<std::thread> callers;
  for (uint64_t i = 0; i < 6; ++i) {
    callers.emplace_back([this, i] {
      for (uint64_t how = i; how < i + 50; ++how) LookOnce(how);
    });
  }
  for (std::thread& caller : callers) caller.join();

  EXPECT_THAT(findings_, IsEmpty());
  EXPECT_GT(looks_meanwhile, 100);
  EXPECT_EQ(looks_, looks_meanwhile + 300);
  EXPECT_GT(dirt_seen_, kSessions * 3 / 4) << "the sessions saw their own dirt";
}

// Whether a token is wrong in form, a good guess, or that of a session that has ended makes no
// difference; nobody learns whose it is, and the sessions of others stay as they are.
TEST_F(LeakHuntTest, ATokenThatIsNotOnesOwnTellsNothing) {
  const auto open = [&](int idle_milliseconds = 0) {
    v1::QueryRequest request = MakeQuery("select 'top secret'");
    (*request.mutable_tags())["caller"] = "mole";
    v1::PinOptions& pin = *request.mutable_session()->mutable_pin();
    pin.mutable_idle_timeout()->set_nanos(idle_milliseconds * 1'000'000);
    return fixture_.client.Run(request).response.session();
  };
  const std::string alive = open();
  ASSERT_EQ(alive.size(), 32u);
  const std::string ended = open();
  EXPECT_TRUE(EndSession(fixture_.client, ended, v1::SESSION_END_RELEASE).ok());
  std::string guess = alive;
  guess.back() = guess.back() == '0' ? '1' : '0';
  std::string upper = alive;
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  std::vector<std::string> tokens = {ended,       guess,         alive.substr(0, 31),
                                     alive + "0", " " + alive,   std::string(32, '0'),
                                     "%",         "' or 1=1 --", std::string(100'000, 'f')};
  if (upper != alive) tokens.push_back(upper);

  const QueryOutcome first = fixture_.client.Run(In(ended, "select 1"));
  EXPECT_EQ(first.status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(first.reason, "SESSION_NOT_FOUND");
  for (const std::string& token : tokens) {
    for (const QueryOutcome& outcome :
         {fixture_.client.Run(In(token, "select 1")),
          EndSession(fixture_.client, token, v1::SESSION_END_ROLLBACK),
          EndSession(fixture_.client, token, v1::SESSION_END_COMMIT)}) {
      EXPECT_EQ(outcome.status.error_code(), first.status.error_code()) << token.substr(0, 50);
      EXPECT_EQ(outcome.status.error_message(), first.status.error_message());
      EXPECT_EQ(outcome.status.error_details(), first.status.error_details());
    }
  }
  EXPECT_EQ(fixture_.client.Run(In(alive, "select 1")).Scalar(), "1") << "it goes on";

  // The token of a session that was rolled back tells nothing of its owner either.
  const std::string expires = open(50);
  QueryOutcome expired;
  EXPECT_TRUE(Eventually(10s, [&] {
    std::this_thread::sleep_for(200ms);
    expired = fixture_.client.Run(In(expires, "select 1"));
    return !expired.ok();
  }));
  EXPECT_EQ(expired.reason, "SESSION_NOT_FOUND");
  EXPECT_THAT(expired.status.error_message(), Not(IsEmpty()));
  for (const char* secret : {"mole", "secret", expires.c_str(), alive.c_str()}) {
    EXPECT_THAT(expired.status.error_message(), Not(HasSubstr(secret)));
    EXPECT_THAT(expired.status.error_details(), Not(HasSubstr(secret)));
  }
  EXPECT_TRUE(EndSession(fixture_.client, alive, v1::SESSION_END_RELEASE).ok());
}

}  // namespace
}  // namespace dbsidecar::integration
