// What it costs to count calls (docs/metrics.md): the life of a call in the pool, over a database
// that answers at once, with and without figures by statement and by caller; an RPC's record; and a
// page for Prometheus.
//
//   build/release/figures_benchmark
#include <benchmark/benchmark.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pool/event_loop.h"
#include "pool/pool.h"
#include "server/metrics_report.h"
#include "server/metrics_text.h"
#include "server/rpc_figures.h"
#include "server/statement_series.h"

namespace dbsidecar {
namespace {

class InstantConnection final : public pool::Connection {
 public:
  InstantConnection(pool::ConnectionId id, pool::ConnectionEvents& events)
      : id_(id), events_(events) {}
  void Open() override { events_.OnConnected(id_); }
  void Ping() override { events_.OnPinged(id_, true); }
  void Reset() override { events_.OnReset(id_, true); }
  void Execute(pool::Call& call) override {
    events_.OnReply(id_, call, {}, pool::Condition::kClean);
  }
  void Cancel(pool::Call&) override {}
  void Close() override {}

 private:
  const pool::ConnectionId id_;
  pool::ConnectionEvents& events_;
};

// Knows one text.
class InstantDriver final : public pool::Driver {
 public:
  std::string_view name() const override { return "instant"; }
  std::vector<pool::LaneShape> Lanes(size_t min, size_t max) const override {
    return {{.min = min, .max = max}};
  }
  pool::Classification Classify(const pool::Statement&) override {
    pool::Classification classification;
    classification.history = history_;
    classification.figures = &figures_;
    return classification;
  }
  std::string Fingerprint(std::string_view) const override { return "0123456789abcdef"; }
  std::optional<pool::Error> Describe(const pool::Statement&, pool::Description&) override {
    return std::nullopt;
  }
  std::unique_ptr<pool::Connection> NewConnection(pool::ConnectionId id, size_t,
                                                  pool::ConnectionEvents& events) override {
    return std::make_unique<InstantConnection>(id, events);
  }
  pool::DatabaseFacts facts() const override { return {}; }
  bool facts_take_a_place() const override { return false; }
  void RefreshFacts(std::function<void(bool)>) override {}

 private:
  std::shared_ptr<pool::StatementHistory> history_ = std::make_shared<pool::StatementHistory>();
  pool::StatementFiguresPlace figures_;
};

class InstantCall final : public pool::Call {
 public:
  void Answer(pool::Outcome outcome) override { benchmark::DoNotOptimize(outcome); }
  void Done() override {}
};

void RunCalls(benchmark::State& state, const pool::PoolOptions& options, std::string_view trace) {
  pool::EventLoop loop;
  InstantDriver driver;
  pool::Observer observer;
  pool::Pool pool(loop, driver, options, observer);
  pool.Start();
  InstantCall call;
  call.statement.sql = "select abalance from pgbench_accounts where aid = $1";
  call.caller = "benchmark";
  call.trace = pool::TraceContext::Parse(trace);
  for (auto _ : state) {
    ++call.id;
    pool.Submit(call);
  }
}

pool::PoolOptions Options() {
  pool::PoolOptions options;
  options.core.min = options.core.max = 1;
  options.health_check_interval = {};
  return options;
}

pool::PoolOptions Counting() {
  pool::PoolOptions options = Options();
  options.statements_max = 1000;
  options.callers_max = 20;
  options.slow_statement = std::chrono::seconds(1);
  return options;
}

void CallNotCountedApart(benchmark::State& state) { RunCalls(state, Options(), ""); }
BENCHMARK(CallNotCountedApart);

void CallCountedByStatementAndCaller(benchmark::State& state) { RunCalls(state, Counting(), ""); }
BENCHMARK(CallCountedByStatementAndCaller);

void CallOfASampledTrace(benchmark::State& state) {
  RunCalls(state, Counting(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
}
BENCHMARK(CallOfASampledTrace);

void RecordOfAnRpc(benchmark::State& state) {
  const auto figures = std::make_unique<server::RpcFigures>();
  for (auto _ : state) {
    server::RpcRecord record(*figures, server::Rpc::kQuery);
    record.Begin();
    record.End(server::Code::kOk);
  }
}
BENCHMARK(RecordOfAnRpc);
BENCHMARK(RecordOfAnRpc)->Threads(2);

// Of `range(0)` statements that are counted, 50 are listed.
void PageForPrometheus(benchmark::State& state) {
  pool::StatementsReport report;
  for (int64_t i = 0; i < state.range(0); ++i) {
    report.statements.push_back({.id = static_cast<uint64_t>(i) + 1,
                                 .fingerprint = "0123456789" + std::to_string(100'000 + i),
                                 .text = "",
                                 .counts = {},
                                 .used = {}});
    report.statements.back().counts.execute.Record(std::chrono::microseconds(100 * i));
  }
  pool::PoolStats stats;
  stats.name = "default";
  server::StatementSeries series(50);
  size_t bytes = 0;
  for (auto _ : state) {
    v1::MetricsResponse metrics;
    server::FillPoolMetrics(stats, {}, *metrics.add_pools());
    for (const auto& statement : series.List(report, pool::Clock::now())) {
      server::FillStatement(statement, *metrics.mutable_pools(0)->add_statements());
    }
    bytes = server::MetricsText(metrics, server::MetricsFormat::kPrometheus).size();
  }
  state.counters["bytes"] = static_cast<double>(bytes);
}
BENCHMARK(PageForPrometheus)->Arg(50)->Arg(1000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace dbsidecar

BENCHMARK_MAIN();
