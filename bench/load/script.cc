#include "bench/load/script.h"

#include <random>
#include <vector>

namespace dbsidecar::bench {
namespace {

// What `pgbench -i` makes per unit of scale.
constexpr int kAccounts = 100'000;
constexpr int kTellers = 10;
constexpr int kBranches = 1;

class Dice {
 public:
  explicit Dice(int scale) : scale_(scale) {}
  int64_t Account() { return Roll(1, kAccounts * scale_); }
  int64_t Teller() { return Roll(1, kTellers * scale_); }
  int64_t Branch() { return Roll(1, kBranches * scale_); }
  int64_t Delta() { return Roll(-5000, 5000); }

 private:
  int Roll(int lowest, int highest) {
    return std::uniform_int_distribution<int>(lowest, highest)(random_);
  }

  int scale_;
  std::mt19937 random_{std::random_device{}()};
};

class Nothing final : public Script {
 public:
  Statement Begin(size_t /*slot*/) override { return {}; }
};

class PointSelect final : public Script {
 public:
  explicit PointSelect(int scale) : dice_(scale) {}
  Statement Begin(size_t /*slot*/) override {
    return {.sql = "SELECT abalance FROM pgbench_accounts WHERE aid = $1",
            .parameters = {dice_.Account()},
            .parameter_count = 1,
            .read_only = true};
  }

 private:
  Dice dice_;
};

class Update final : public Script {
 public:
  explicit Update(int scale) : dice_(scale) {}
  Statement Begin(size_t /*slot*/) override {
    return {.sql = "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = $1",
            .parameters = {dice_.Account()},
            .parameter_count = 1};
  }

 private:
  Dice dice_;
};

class TpcbTransaction final : public Script {
 public:
  TpcbTransaction(size_t slots, int scale) : dice_(scale), rounds_(slots) {}

  Statement Begin(size_t slot) override {
    rounds_[slot] = {.step = Step::kAccount,
                     .delta = dice_.Delta(),
                     .account = dice_.Account(),
                     .teller = dice_.Teller(),
                     .branch = dice_.Branch()};
    return StatementOf(rounds_[slot]);
  }

  std::optional<Statement> Next(size_t slot) override {
    Round& round = rounds_[slot];
    if (round.step == Step::kHistory) return std::nullopt;
    round.step = static_cast<Step>(static_cast<int>(round.step) + 1);
    return StatementOf(round);
  }

 private:
  enum class Step { kAccount, kBalance, kTeller, kBranch, kHistory };

  struct Round {
    Step step = Step::kAccount;
    int64_t delta = 0;
    int64_t account = 0;
    int64_t teller = 0;
    int64_t branch = 0;
  };

  static Statement StatementOf(const Round& round) {
    switch (round.step) {
      case Step::kAccount:
        return {.sql = "UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2",
                .parameters = {round.delta, round.account},
                .parameter_count = 2,
                .begins = true};
      case Step::kBalance:
        return {.sql = "SELECT abalance FROM pgbench_accounts WHERE aid = $1",
                .parameters = {round.account},
                .parameter_count = 1,
                .inside = true};
      case Step::kTeller:
        return {.sql = "UPDATE pgbench_tellers SET tbalance = tbalance + $1 WHERE tid = $2",
                .parameters = {round.delta, round.teller},
                .parameter_count = 2,
                .inside = true};
      case Step::kBranch:
        return {.sql = "UPDATE pgbench_branches SET bbalance = bbalance + $1 WHERE bid = $2",
                .parameters = {round.delta, round.branch},
                .parameter_count = 2,
                .inside = true};
      case Step::kHistory:
        return {.sql =
                    "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) "
                    "VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP)",
                .parameters = {round.teller, round.branch, round.account, round.delta},
                .parameter_count = 4,
                .inside = true,
                .commits = true};
    }
    return {};
  }

  Dice dice_;
  std::vector<Round> rounds_;
};

}  // namespace

std::unique_ptr<Script> MakeScript(const std::string& name, size_t slots, int scale) {
  if (name == "select") return std::make_unique<PointSelect>(scale);
  if (name == "update") return std::make_unique<Update>(scale);
  if (name == "tpcb") return std::make_unique<TpcbTransaction>(slots, scale);
  if (name == "nothing") return std::make_unique<Nothing>();
  return nullptr;
}

}  // namespace dbsidecar::bench
