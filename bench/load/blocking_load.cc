#include "bench/load/blocking_load.h"

#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "bench/load/client_statements.h"

namespace dbsidecar::bench {
namespace {

class BlockingCaller {
 public:
  BlockingCaller(Client& client, std::unique_ptr<Script> script)
      : client_(client), script_(std::move(script)) {}

  // Rounds until `end`, or until one fails.
  void Run(Clock::time_point end) {
    try {
      while (Clock::now() < end) {
        const auto sent = Clock::now();
        RunRound();
        tally_.Answered(sent);
      }
    } catch (const Error& error) {
      if (error.code() == StatusCode::kUnimplemented) {
        tally_.Unavailable("UNIMPLEMENTED: " + std::string(error.what()));
      } else {
        tally_.Failed(error.what());
      }
    }
  }

  const Tally& tally() const { return tally_; }

 private:
  void RunRound() {
    std::optional<Transaction> transaction;
    std::optional<Statement> statement = script_->Begin(0);
    while (statement.has_value()) {
      if (statement->begins) transaction = client_.Begin();
      RunStatement(*statement, transaction);
      statement = script_->Next(0);
    }
  }

  void RunStatement(const Statement& statement, std::optional<Transaction>& transaction) {
    const Params params = ParamsOf(statement);
    if (!transaction.has_value()) {
      client_.Query({.read_only = statement.read_only}, statement.sql, params);
    } else if (statement.commits) {
      transaction->CommitWith(statement.sql, params);
    } else {
      transaction->Query(statement.sql, params);
    }
  }

  Client& client_;
  std::unique_ptr<Script> script_;
  Tally tally_;
};

}  // namespace

double RunBlockingLoad(const std::string& address, const std::string& script, int scale,
                       const LoadOptions& options, Tally& tally) {
  Client client(address);
  if (!client.WaitUntilConnected(std::chrono::seconds(10))) {
    tally.Failed("nothing answers at " + address);
    return 1;
  }
  std::vector<std::unique_ptr<BlockingCaller>> callers;
  callers.reserve(options.slots);
  for (size_t i = 0; i < options.slots; ++i) {
    callers.push_back(std::make_unique<BlockingCaller>(client, MakeScript(script, 1, scale)));
  }
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration_cast<Clock::duration>(
                               std::chrono::duration<double>(options.seconds));
  std::vector<std::thread> threads;
  threads.reserve(callers.size());
  for (auto& caller : callers) threads.emplace_back([&caller, end] { caller->Run(end); });
  for (std::thread& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  for (const auto& caller : callers) tally.Merge(caller->tally());
  return seconds;
}

}  // namespace dbsidecar::bench
