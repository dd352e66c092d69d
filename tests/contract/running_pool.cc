#include "tests/contract/running_pool.h"

#include <fmt/format.h>

#include <thread>

namespace dbsidecar::contract {

using pool::CellKind;
using pool::Outcome;
using pool::Value;

namespace {
std::atomic<uint64_t> answers_so_far{0};
}  // namespace

TestCall::TestCall(std::string sql, std::vector<Value> parameters) : sql_(std::move(sql)) {
  statement.sql = sql_;
  statement.parameters = std::move(parameters);
}

TestCall::~TestCall() {
  if (submitted_to_ == nullptr || done()) return;
  submitted_to_->Cancel(*this);
  AwaitDone();
}

void TestCall::NoteSubmitted(RunningPool& to) {
  submitted_to_ = &to;
  submitted_at_ = pool::Clock::now();
}

void TestCall::Answer(Outcome outcome) {
  std::lock_guard lock(mutex_);
  EXPECT_EQ(++answers_, 1) << sql_;
  EXPECT_EQ(dones_, 0) << sql_;
  outcome_ = std::move(outcome);
  answered_at_ = pool::Clock::now();
  answered_as_ = ++answers_so_far;
  changed_.notify_all();
}

void TestCall::Done() {
  std::lock_guard lock(mutex_);
  EXPECT_EQ(answers_, 1) << sql_;
  EXPECT_EQ(++dones_, 1) << sql_;
  changed_.notify_all();
}

const Outcome& TestCall::Await() {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, kPatience, [this] { return answers_ > 0; })) {
    ADD_FAILURE() << "no answer within " << kPatience.count() << " s: " << sql_.substr(0, 200);
  }
  return outcome_;
}

void TestCall::AwaitDone() {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, kPatience, [this] { return dones_ > 0; })) {
    // Going on would free what the pool still refers to.
    fmt::print(stderr, "not done within {} s: {}\n", kPatience.count(), sql_.substr(0, 200));
    std::abort();
  }
}

bool TestCall::answered() {
  std::lock_guard lock(mutex_);
  return answers_ > 0;
}

bool TestCall::done() {
  std::lock_guard lock(mutex_);
  return dones_ > 0;
}

int TestCall::answers() {
  std::lock_guard lock(mutex_);
  return answers_;
}

std::string TestCall::AwaitText() {
  const Outcome& outcome = Await();
  if (outcome.error) return ErrorText(outcome);
  return outcome.result.rows.row_count() == 0 ? "no row" : CellText(outcome.result, 0, 0);
}

RunningPool::RunningPool(const MakeDriver& make_driver, pool::PoolOptions options)
    : driver_(make_driver(loop_)),
      pool_(std::make_unique<pool::Pool>(loop_, *driver_, std::move(options), *this)),
      thread_(std::make_unique<server::LoopThread>(loop_, "pool-loop")) {
  Do([this] { pool_->Start(); });
}

RunningPool::~RunningPool() {
  Do([this] {
    pool_->Drain();
    pool_->CancelAll();
  });
  EXPECT_TRUE(Becomes([this] { return pool_->empty(); })) << "something is left after the drain";
  Do([this] { pool_.reset(); });
  thread_.reset();
}

void RunningPool::Do(const std::function<void()>& task) {
  std::mutex mutex;
  std::condition_variable done;
  bool is_done = false;
  loop_.Post([&] {
    task();
    std::lock_guard lock(mutex);
    is_done = true;
    done.notify_one();
  });
  std::unique_lock lock(mutex);
  done.wait(lock, [&] { return is_done; });
}

void RunningPool::Submit(TestCall& call) {
  call.id = next_id_++;
  call.NoteSubmitted(*this);
  loop_.Post([this, &call] { pool_->Submit(call); });
}

void RunningPool::SubmitTogether(const std::vector<TestCall*>& calls) {
  for (TestCall* call : calls) {
    call->id = next_id_++;
    call->NoteSubmitted(*this);
  }
  loop_.Post([this, calls] {
    for (TestCall* call : calls) pool_->Submit(*call);
  });
}

void RunningPool::Start(TestCall& call) {
  Submit(call);
  std::unique_lock lock(mutex_);
  EXPECT_TRUE(leased_changed_.wait_for(lock, kPatience, [&] { return leased_.contains(call.id); }))
      << "not started: " << call.statement.sql;
}

void RunningPool::Cancel(TestCall& call) {
  loop_.Post([this, id = call.id] { pool_->Cancel(id); });
}

bool RunningPool::AwaitWarm() {
  const pool::Instant give_up = pool::Clock::now() + kPatience;
  while (!Stats().warm) {
    if (pool::Clock::now() >= give_up) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

pool::PoolStats RunningPool::Stats() {
  pool::PoolStats stats;
  Do([&] { stats = pool_->Stats(); });
  return stats;
}

bool RunningPool::Becomes(const std::function<bool()>& condition) {
  const pool::Instant end = pool::Clock::now() + kPatience;
  bool holds = false;
  while (!holds && pool::Clock::now() < end) {
    Do([&] { holds = condition(); });
    if (!holds) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return holds;
}

Outcome RunningPool::RunToEnd(TestCall& call) {
  Submit(call);
  call.AwaitDone();
  return call.Await();
}

Outcome RunningPool::Run(const std::string& sql, std::vector<Value> parameters) {
  TestCall call(sql, std::move(parameters));
  return RunToEnd(call);
}

Outcome RunningPool::RunLimited(const std::string& sql, pool::ResultLimits limits) {
  TestCall call(sql);
  call.statement.limits = limits;
  return RunToEnd(call);
}

Outcome RunningPool::RunReadOnly(const std::string& sql) {
  TestCall call(sql);
  call.statement.read_only = true;
  return RunToEnd(call);
}

std::string RunningPool::Text(const std::string& sql, std::vector<Value> parameters) {
  TestCall call(sql, std::move(parameters));
  RunToEnd(call);
  return call.AwaitText();
}

void RunningPool::Must(const std::string& sql) {
  const Outcome outcome = Run(sql);
  ASSERT_FALSE(outcome.error) << sql << ": " << ErrorText(outcome);
}

std::vector<pool::SessionAudit> RunningPool::Audits() {
  const std::lock_guard lock(mutex_);
  return audits_;
}

void RunningPool::OnSessionAudited(const pool::SessionAudit& audit) {
  const std::lock_guard lock(mutex_);
  audits_.push_back(audit);
}

std::vector<SlowReport> RunningPool::SlowStatements() {
  const std::lock_guard lock(mutex_);
  return slow_;
}

void RunningPool::OnSlowStatement(const pool::SlowStatement& slow) {
  const std::lock_guard lock(mutex_);
  slow_.push_back({.caller = std::string(slow.call.caller),
                   .rpc = std::string(slow.call.rpc),
                   .fingerprint = slow.fingerprint,
                   .text = std::string(slow.text),
                   .ran = slow.ran,
                   .rows = slow.rows,
                   .failed = slow.error != nullptr});
}

void RunningPool::OnLeased(pool::ConnectionId, pool::CallId call) {
  std::lock_guard lock(mutex_);
  leased_.insert(call);
  leased_changed_.notify_all();
}

std::string CellText(const pool::Result& result, size_t row, size_t column) {
  const auto& cell = result.rows.at(row, column);
  switch (cell.kind) {
    case CellKind::kNull:
      return "NULL";
    case CellKind::kInteger:
      return fmt::format("{}", cell.integer);
    case CellKind::kDouble:
      return fmt::format("{}", cell.real);
    case CellKind::kText:
    case CellKind::kBlob:
      return std::string(result.rows.bytes(cell));
  }
  return "";
}

std::string Rows(const Outcome& outcome) {
  if (outcome.error) return ErrorText(outcome);
  std::string text;
  for (size_t row = 0; row < outcome.result.rows.row_count(); ++row) {
    if (row > 0) text += ";";
    for (size_t column = 0; column < outcome.result.columns.size(); ++column) {
      if (column > 0) text += ",";
      text += CellText(outcome.result, row, column);
    }
  }
  return text;
}

std::string ErrorText(const Outcome& outcome) {
  if (!outcome.error) return "";
  return fmt::format("error kind {} {}: {}", static_cast<int>(outcome.error->kind),
                     outcome.error->sql.sqlstate, outcome.error->message);
}

std::string SqlState(const Outcome& outcome) {
  return outcome.error ? outcome.error->sql.sqlstate : "";
}

std::optional<pool::ErrorKind> KindOf(const Outcome& outcome) {
  if (!outcome.error) return std::nullopt;
  return outcome.error->kind;
}

Value Integer(int64_t value) {
  Value parameter;
  parameter.kind = Value::Kind::kInteger;
  parameter.integer = value;
  return parameter;
}

Value Real(double value) {
  Value parameter;
  parameter.kind = Value::Kind::kDouble;
  parameter.real = value;
  return parameter;
}

Value Boolean(bool value) {
  Value parameter;
  parameter.kind = Value::Kind::kBool;
  parameter.boolean = value;
  return parameter;
}

Value Text(const char* value) {
  Value parameter;
  parameter.kind = Value::Kind::kText;
  parameter.text = value;
  return parameter;
}

Value Bytes(std::string_view value) {
  Value parameter;
  parameter.kind = Value::Kind::kBytes;
  parameter.text = value;
  return parameter;
}

Value Null() { return {}; }

}  // namespace dbsidecar::contract
