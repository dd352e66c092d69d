// Money is neither made nor lost: transfers through every way to write, with back ends killed,
// calls cancelled and out of time, and the server stopped and started.
//
// Every transfer has an id, which is written to the ledger in the transaction that moves the money.
// What is called a success must be there, what is called a failure must not. Where the outcome is
// unknown the caller asks by writing the id itself: that waits for whoever else is writing it, so
// the answer is final (docs/errors.md).
#include <fmt/format.h>

#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

constexpr int kAccounts = 20;
constexpr int kStart = 1000;
constexpr int kCallers = 8;

constexpr const char* kTransfer =
    "with l as (insert into ledger values ($1, $2, $3, $4)),"
    " f as (update account set balance = balance - $4 where id = $2)"
    " update account set balance = balance + $4 where id = $3";
constexpr const char* kLedger = "insert into ledger values ($1, $2, $3, $4)";
constexpr const char* kMove = "update account set balance = balance + $2 where id = $1";

struct Transfer {
  std::string id;
  int64_t from = 0;
  int64_t to = 0;
  int64_t amount = 0;
};

enum class Verdict { kDone, kFailed, kUnknown };

// What the caller knows by a call's status. Without details it is gRPC's client that has spoken,
// not the sidecar.
Verdict VerdictOf(const grpc::Status& status) {
  if (status.ok()) return Verdict::kDone;
  QueryOutcome outcome;
  outcome.status = status;
  UnpackDetails(outcome);
  const bool unknown = outcome.reason.empty() || outcome.reason == "OUTCOME_UNKNOWN";
  return unknown ? Verdict::kUnknown : Verdict::kFailed;
}

class Bank : public testing::Test {
 protected:
  Bank() {
    fixture_.Psql(
        "create table account (id bigint primary key, balance bigint not null);"
        "create table ledger (id text primary key, source bigint, target bigint, amount bigint);"
        "create table incoming (id text, source bigint, target bigint, amount bigint);"
        "create function transfer() returns trigger language plpgsql as $$ begin"
        " insert into ledger values (new.id, new.source, new.target, new.amount);"
        " update account set balance = balance - new.amount where id = new.source;"
        " update account set balance = balance + new.amount where id = new.target;"
        " return null; end $$;"
        "create trigger transfer before insert on incoming for each row execute function "
        "transfer()");
    fixture_.Psql(fmt::format("insert into account select i, {} from generate_series(1, {}) i",
                              kStart, kAccounts));
    // Here what is committed must survive a crash; connections that are open do not know yet.
    fixture_.Psql("alter database " + fixture_.database + " set synchronous_commit = on");
    fixture_.Psql(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
        "and pid <> pg_backend_pid()");
  }

  test_support::PostgresServer server_;
  PostgresSidecar fixture_{{"--max-connections=10"}, true, server_};
};

// One who transfers money, by one way after the other.
class Caller {
 public:
  Caller(PostgresSidecar& fixture, int number)
      : stub_(v1::Sidecar::NewStub(fixture.sidecar.NewChannel())),
        number_(number),
        random_(static_cast<unsigned>(number)) {}

  using Way = Verdict (Caller::*)(grpc::ClientContext&, const std::vector<Transfer>&);
  struct NamedWay {
    const char* name;
    size_t transfers;
    Way way;
  };

  void Work(const std::atomic<bool>& stop);

  std::map<std::string, Verdict> verdicts;                  // By id of the transfer.
  std::map<std::string, std::array<int, 3>> counts_by_way;  // By verdict.
  int unknown_done = 0;
  int unknown_not_done = 0;

 private:
  int Random(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }

  std::vector<Transfer> NewTransfers(size_t count) {
    std::vector<Transfer> transfers;
    for (size_t i = 0; i < count; ++i) {
      const int from = 1 + Random(kAccounts);
      const int to = 1 + (from + Random(kAccounts - 1)) % kAccounts;
      transfers.push_back({.id = fmt::format("{}-{}", number_, next_id_++),
                           .from = from,
                           .to = to,
                           .amount = 1 + Random(100)});
    }
    return transfers;
  }

  v1::QueryRequest Request(const Transfer& transfer) const {
    return MakeQuery(kTransfer, transfer.id, transfer.from, transfer.to, transfer.amount);
  }

  Verdict ByQuery(grpc::ClientContext& context, const std::vector<Transfer>& transfers) {
    v1::QueryResponse response;
    return VerdictOf(stub_->Query(&context, Request(transfers[0]), &response));
  }

  // Several in one frame, each with a verdict of its own.
  Verdict ByPipeline(grpc::ClientContext& context, const std::vector<Transfer>& transfers) {
    const auto stream = stub_->Pipeline(&context);
    v1::PipelineRequest frame;
    for (size_t i = 0; i < transfers.size(); ++i) {
      v1::Call& call = *frame.add_calls();
      call.set_id(i + 1);
      *call.mutable_query() = Request(transfers[i]);
    }
    stream->Write(frame);
    stream->WritesDone();
    v1::PipelineResponse replies;
    std::map<uint64_t, Verdict> told;
    while (stream->Read(&replies)) {
      for (const v1::Reply& reply : replies.replies()) {
        if (!reply.has_error()) {
          told[reply.id()] = Verdict::kDone;
        } else {
          told[reply.id()] =
              reply.error().reason() == "OUTCOME_UNKNOWN" ? Verdict::kUnknown : Verdict::kFailed;
        }
      }
    }
    stream->Finish();
    for (size_t i = 0; i < transfers.size(); ++i) {
      const auto reply = told.find(i + 1);
      singly_[transfers[i].id] = reply == told.end() ? Verdict::kUnknown : reply->second;
    }
    return Verdict::kUnknown;
  }

  // BEGIN rides with the first statement and COMMIT with the last.
  Verdict InTransaction(grpc::ClientContext& context, const std::vector<Transfer>& transfers) {
    const Transfer& transfer = transfers[0];
    v1::QueryRequest begin =
        MakeQuery(kLedger, transfer.id, transfer.from, transfer.to, transfer.amount);
    begin.mutable_session()->mutable_begin();
    v1::QueryResponse response;
    // Before the COMMIT whatever goes wrong is a failure: the transaction is rolled back.
    if (!stub_->Query(&context, begin, &response).ok()) return Verdict::kFailed;
    const std::string token = response.session();
    if (!Step(token, MakeQuery(kMove, transfer.from, -transfer.amount), false).ok()) {
      return Verdict::kFailed;
    }
    return VerdictOf(Step(token, MakeQuery(kMove, transfer.to, transfer.amount), true));
  }

  Verdict ByEndSession(grpc::ClientContext& context, const std::vector<Transfer>& transfers) {
    v1::QueryRequest begin = Request(transfers[0]);
    begin.mutable_session()->mutable_begin();
    v1::QueryResponse response;
    if (!stub_->Query(&context, begin, &response).ok()) return Verdict::kFailed;
    v1::EndSessionRequest end;
    end.set_session(response.session());
    const bool commits = Random(4) > 0;
    end.set_end(commits ? v1::SESSION_END_COMMIT : v1::SESSION_END_ROLLBACK);
    v1::EndSessionResponse ended;
    grpc::ClientContext end_context;
    Limit(end_context);
    const grpc::Status status = stub_->EndSession(&end_context, end, &ended);
    return commits ? VerdictOf(status) : Verdict::kFailed;
  }

  grpc::Status Step(const std::string& token, v1::QueryRequest request, bool commit) {
    request.mutable_session()->set_session(token);
    request.mutable_session()->set_commit(commit);
    grpc::ClientContext context;
    Limit(context);
    v1::QueryResponse response;
    return stub_->Query(&context, request, &response);
  }

  Verdict ByBatch(grpc::ClientContext& context, const std::vector<Transfer>& transfers) {
    v1::BatchRequest request;
    const auto add = [&](const char* sql, const auto&... params) {
      v1::BatchStep& step = *request.add_steps();
      step.set_sql(sql);
      (test_support::SetValue(*step.add_params(), params), ...);
    };
    for (const Transfer& transfer : transfers) {
      add(kLedger, transfer.id, transfer.from, transfer.to, transfer.amount);
      add(kMove, transfer.from, -transfer.amount);
      add(kMove, transfer.to, transfer.amount);
    }
    v1::BatchResponse response;
    return VerdictOf(stub_->Batch(&context, request, &response));
  }

  Verdict ByExecuteMany(grpc::ClientContext& context, const std::vector<Transfer>& transfers) {
    v1::ExecuteManyRequest request;
    request.set_sql(kTransfer);
    for (int i = 0; i < 4; ++i) request.add_params();
    for (const Transfer& transfer : transfers) {
      request.mutable_params(0)->add_strings(transfer.id);
      request.mutable_params(1)->add_ints(transfer.from);
      request.mutable_params(2)->add_ints(transfer.to);
      request.mutable_params(3)->add_ints(transfer.amount);
    }
    request.set_row_count(static_cast<uint32_t>(transfers.size()));
    v1::ExecuteManyResponse response;
    return VerdictOf(stub_->ExecuteMany(&context, request, &response));
  }

  Verdict ByScript(grpc::ClientContext& context, const std::vector<Transfer>& transfers) {
    v1::ScriptRequest request;
    for (const Transfer& transfer : transfers) {
      *request.mutable_sql() += fmt::format(
          "insert into ledger values ('{0}', {1}, {2}, {3});"
          "update account set balance = balance - {3} where id = {1};"
          "update account set balance = balance + {3} where id = {2};",
          transfer.id, transfer.from, transfer.to, transfer.amount);
    }
    v1::ScriptResponse response;
    return VerdictOf(stub_->Script(&context, request, &response));
  }

  Verdict ByCopy(grpc::ClientContext& context, const std::vector<Transfer>& transfers) {
    v1::CopyInResponse response;
    const auto writer = stub_->CopyIn(&context, &response);
    v1::CopyInRequest request;
    request.mutable_start()->set_sql("copy incoming from stdin");
    writer->Write(request);
    for (const Transfer& transfer : transfers) {
      request.set_data(fmt::format("{}\t{}\t{}\t{}\n", transfer.id, transfer.from, transfer.to,
                                   transfer.amount));
      writer->Write(request);
    }
    const bool aborts = Random(4) == 0;
    if (aborts) {
      request.set_abort("changed my mind");
      writer->Write(request);
    }
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    EXPECT_FALSE(aborts && status.ok());
    return VerdictOf(status);
  }

  // By now nobody else writes the id, or this waits until they are done.
  bool WasDone(const std::string& id) {
    for (int attempt = 0; attempt < 200; ++attempt) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + 10s);
      v1::QueryRequest request =
          MakeQuery("insert into ledger values ($1, null, null, null) on conflict do nothing", id);
      v1::QueryResponse response;
      if (stub_->Query(&context, request, &response).ok()) {
        const bool was_there = response.result().rows_affected() == 0;
        // An earlier attempt of this function may be what is there.
        return was_there && !IsTombstone(id);
      }
      std::this_thread::sleep_for(50ms);
    }
    ADD_FAILURE() << "nobody answers about " << id;
    return false;
  }

  bool IsTombstone(const std::string& id) {
    for (int attempt = 0; attempt < 200; ++attempt) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + 10s);
      v1::QueryRequest request = MakeQuery("select source from ledger where id = $1", id);
      request.set_read_only(true);
      QueryOutcome outcome;
      outcome.status = stub_->Query(&context, request, &outcome.response);
      if (outcome.ok()) return outcome.Scalar() == "<NULL>";
      std::this_thread::sleep_for(50ms);
    }
    ADD_FAILURE() << "nobody answers about " << id;
    return false;
  }

  // Now and then there is little time.
  void Limit(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() +
                         (Random(10) == 0 ? milliseconds(Random(20)) : milliseconds(5000)));
  }

  static const std::array<NamedWay, 8> kWays;

  std::unique_ptr<v1::Sidecar::Stub> stub_;
  const int number_;
  std::mt19937 random_;
  int next_id_ = 0;
  std::map<std::string, Verdict> singly_;  // Where a call has a verdict for each transfer.
};

const std::array<Caller::NamedWay, 8> Caller::kWays = {{
    {"Query", 1, &Caller::ByQuery},
    {"Pipeline", 5, &Caller::ByPipeline},
    {"transaction", 1, &Caller::InTransaction},
    {"EndSession", 1, &Caller::ByEndSession},
    {"Batch", 2, &Caller::ByBatch},
    {"ExecuteMany", 5, &Caller::ByExecuteMany},
    {"Script", 2, &Caller::ByScript},
    {"CopyIn", 3, &Caller::ByCopy},
}};

void Caller::Work(const std::atomic<bool>& stop) {
  while (!stop) {
    const NamedWay& way = kWays[static_cast<size_t>(Random(kWays.size()))];
    const std::vector<Transfer> transfers = NewTransfers(way.transfers);
    grpc::ClientContext context;
    Limit(context);
    std::thread canceller;
    if (Random(10) == 0) {
      canceller = std::thread([&context, pause = Random(5000)] {
        std::this_thread::sleep_for(std::chrono::microseconds(pause));
        context.TryCancel();
      });
    }
    singly_.clear();
    const Verdict verdict = (this->*way.way)(context, transfers);
    if (canceller.joinable()) canceller.join();
    for (const Transfer& transfer : transfers) {
      const auto own = singly_.find(transfer.id);
      Verdict told = own == singly_.end() ? verdict : own->second;
      ++counts_by_way[way.name][static_cast<size_t>(told)];
      if (told == Verdict::kUnknown) {
        const bool done = WasDone(transfer.id);
        ++(done ? unknown_done : unknown_not_done);
        told = done ? Verdict::kDone : Verdict::kFailed;
      }
      verdicts[transfer.id] = told;
    }
  }
}

TEST_F(Bank, TheTotalNeverChangesAndEveryOutcomeIsAsTold) {
  std::atomic<bool> stop = false;
  std::vector<std::unique_ptr<Caller>> callers;
  std::vector<std::thread> threads;
  for (int i = 0; i < kCallers; ++i) {
    callers.push_back(std::make_unique<Caller>(fixture_, i));
    threads.emplace_back([&stop, caller = callers.back().get()] { caller->Work(stop); });
  }
  const seconds length = TestSeconds("bank", 20);
  const auto end = Clock::now() + length;
  int kills = 0;
  int restarts = 0;
  auto next_restart = Clock::now() + length / 4;
  while (Clock::now() < end) {
    std::this_thread::sleep_for(100ms);
    if (Clock::now() > next_restart && end - Clock::now() > length / 5) {
      server_.Stop(restarts++ % 2 == 0 ? test_support::StopMode::kImmediate
                                       : test_support::StopMode::kFast);
      std::this_thread::sleep_for(200ms);
      server_.Start();
      next_restart = Clock::now() + length / 4;
      continue;
    }
    kills += std::stoi(fixture_.Psql(
        "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity where "
        "datname = current_database() and pid <> pg_backend_pid() and state <> 'idle' order by "
        "random() limit 1) s"));
    EXPECT_EQ(fixture_.Psql("select sum(balance) from account"),
              std::to_string(kAccounts * kStart));
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  // What its caller has given up may still be under way.
  ASSERT_TRUE(Eventually(10s, [&] {
    return fixture_.Psql(
               "select count(*) from pg_stat_activity where datname = current_database() "
               "and pid <> pg_backend_pid() and state <> 'idle'") == "0";
  }));

  EXPECT_EQ(fixture_.Psql("select sum(balance) from account"), std::to_string(kAccounts * kStart));
  EXPECT_EQ(fixture_.Psql(
                fmt::format("select count(*) from account a where balance <> {} "
                            "+ coalesce((select sum(amount) from ledger where target = a.id), 0) "
                            "- coalesce((select sum(amount) from ledger where source = a.id), 0)",
                            kStart)),
            "0")
      << "the accounts are what the ledger says";
  std::set<std::string> in_ledger;
  std::string ids =
      fixture_.Psql("select string_agg(id, ' ') from ledger where source is not null");
  for (size_t at = 0; at < ids.size();) {
    const size_t space = std::min(ids.find(' ', at), ids.size());
    in_ledger.insert(ids.substr(at, space - at));
    at = space + 1;
  }
  std::map<std::string, std::array<int, 3>> counts;
  int done = 0;
  int unknown_done = 0;
  int unknown_not_done = 0;
  for (const auto& caller : callers) {
    for (const auto& [id, verdict] : caller->verdicts) {
      const bool there = in_ledger.contains(id);
      EXPECT_EQ(there, verdict == Verdict::kDone) << id;
      done += there ? 1 : 0;
    }
    for (const auto& [way, by_verdict] : caller->counts_by_way) {
      for (size_t i = 0; i < by_verdict.size(); ++i) counts[way][i] += by_verdict[i];
    }
    unknown_done += caller->unknown_done;
    unknown_not_done += caller->unknown_not_done;
  }
  EXPECT_EQ(static_cast<size_t>(done), in_ledger.size()) << "nobody else has written there";
  fmt::print("{} transfers done; {} back ends killed, {} restarts\n", done, kills, restarts);
  for (const auto& [way, by_verdict] : counts) {
    fmt::print("  {:<12} {:>6} done {:>6} failed {:>6} unknown\n", way, by_verdict[0],
               by_verdict[1], by_verdict[2]);
    EXPECT_GT(by_verdict[0], 0) << way;
  }
  fmt::print("of unknown outcome {} had been done and {} had not\n", unknown_done,
             unknown_not_done);
  EXPECT_GT(kills, 0);
  EXPECT_GE(restarts, 1);
  EXPECT_GT(unknown_done + unknown_not_done, 0);
}

}  // namespace
}  // namespace dbsidecar::integration
