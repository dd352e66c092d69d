// Load on a running sidecar: one row of the benchmark's table, as one line of JSON.
//
//   load_generator --addr=unix:/path --path=pipeline --in-flight=64 --seconds=5
//   load_generator --addr=127.0.0.1:50051 --path=unary --script=tpcb --in-flight=8
//   load_generator --addr=unix:/path --path=unary --rate=5000
//
// Paths: `unary` is a Query call per statement, `batch` a Batch call per transaction, of statements
// that do not wait for each other. The others use Pipeline: `pipeline` by the C++
// client library's callbacks, `pipeline_blocking` by the same library from a blocking thread per
// caller, `pipeline_raw` by the bare stub.
#include <CLI/CLI.hpp>
#include <iostream>

#include "absl/synchronization/mutex.h"
#include "bench/load/blocking_load.h"
#include "bench/load/load.h"

namespace dbsidecar::bench {
namespace {

struct Options {
  std::string addr = "127.0.0.1:50051";
  std::string path = "unary";
  std::string script = "select";
  int scale = 10;
  LoadOptions load;
};

Options Parse(int argc, char** argv) {
  Options options;
  CLI::App app("Load on a running sidecar; prints one line of JSON.");
  app.add_option("--addr", options.addr, "The sidecar's address")->capture_default_str();
  app.add_option("--path", options.path)
      ->check(CLI::IsMember({"unary", "batch", "pipeline", "pipeline_blocking", "pipeline_raw"}))
      ->capture_default_str();
  app.add_option("--script", options.script, "What each caller does again and again")
      ->check(CLI::IsMember({"select", "update", "tpcb", "nothing"}))
      ->capture_default_str();
  app.add_option("--scale", options.scale, "Of pgbench's tables")->capture_default_str();
  app.add_option("--in-flight", options.load.slots, "Callers; with --rate, at most so many")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app.add_option("--seconds", options.load.seconds)->capture_default_str();
  app.add_option("--rate", options.load.rate,
                 "Rounds per second; 0: each caller waits for its answer, then goes on")
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  if (options.path == "pipeline" && options.script == "tpcb") {
    std::cerr << "--path=pipeline commits nothing; take pipeline_blocking\n";
    std::exit(2);
  }
  if (options.path == "pipeline_blocking" && options.load.rate > 0) {
    std::cerr << "--path=pipeline_blocking has no --rate\n";
    std::exit(2);
  }
  return options;
}

std::unique_ptr<Caller> MakeCaller(const Options& options) {
  if (options.path == "unary") return MakeUnaryCaller(options.addr, options.load.slots);
  if (options.path == "batch") return MakeBatchCaller(options.addr, options.load.slots);
  if (options.path == "pipeline") return MakePipelineCaller(options.addr);
  return MakeRawPipelineCaller(options.addr, options.load.slots);
}

int RunByCaller(const Options& options) {
  const std::unique_ptr<Caller> caller = MakeCaller(options);
  if (caller == nullptr) {
    std::cerr << "nothing answers at " << options.addr << "\n";
    return 1;
  }
  const std::unique_ptr<Script> script =
      MakeScript(options.script, options.load.slots, options.scale);
  Load load(*caller, *script, options.load);
  const double seconds = load.Run();
  return Report(load.tally(), seconds);
}

int RunByThreads(const Options& options) {
  Tally tally;
  const double seconds =
      RunBlockingLoad(options.addr, options.script, options.scale, options.load, tally);
  return Report(tally, seconds);
}

int Run(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  const Options options = Parse(argc, argv);
  if (options.path == "pipeline_blocking") return RunByThreads(options);
  return RunByCaller(options);
}

}  // namespace
}  // namespace dbsidecar::bench

int main(int argc, char** argv) {
  try {
    return dbsidecar::bench::Run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
