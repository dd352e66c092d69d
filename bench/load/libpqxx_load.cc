// Point selects by libpqxx as programs use it: a connection and a thread for each caller, the
// statement prepared.
//
//   libpqxx_load --database=CONNINFO --in-flight=64 --seconds=5
#include <CLI/CLI.hpp>
#include <iostream>
#include <pqxx/pqxx>
#include <random>
#include <thread>

#include "bench/load/tally.h"

namespace dbsidecar::bench {
namespace {

struct Options {
  std::string database;
  int scale = 10;
  int in_flight = 64;
  double seconds = 5;
};

Options Parse(int argc, char** argv) {
  Options options;
  CLI::App app("Point selects by libpqxx; prints one line of JSON.");
  app.add_option("--database", options.database, "A URL or conninfo")->required();
  app.add_option("--scale", options.scale, "Of pgbench's tables")->capture_default_str();
  app.add_option("--in-flight", options.in_flight, "Callers")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--seconds", options.seconds)->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  return options;
}

// Connected before the start, so that connecting is no part of the measurement.
class SelectingCaller {
 public:
  explicit SelectingCaller(const Options& options)
      : options_(options), connection_(options.database) {
    connection_.prepare("select", "SELECT abalance FROM pgbench_accounts WHERE aid = $1");
  }

  void Run(Clock::time_point end) {
    try {
      pqxx::nontransaction work(connection_);
      while (Clock::now() < end) {
        const auto sent = Clock::now();
        work.exec_prepared("select", ids_(random_));
        tally_.Answered(sent);
      }
    } catch (const std::exception& error) {
      tally_.Failed(error.what());
    }
  }

  const Tally& tally() const { return tally_; }

 private:
  const Options& options_;
  pqxx::connection connection_;
  Tally tally_;
  std::mt19937 random_{std::random_device{}()};
  std::uniform_int_distribution<int> ids_{1, 100'000 * options_.scale};
};

int Run(int argc, char** argv) {
  const Options options = Parse(argc, argv);
  std::vector<std::unique_ptr<SelectingCaller>> callers;
  callers.reserve(static_cast<size_t>(options.in_flight));
  for (int i = 0; i < options.in_flight; ++i) {
    callers.push_back(std::make_unique<SelectingCaller>(options));
  }
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration_cast<Clock::duration>(
                               std::chrono::duration<double>(options.seconds));
  std::vector<std::thread> threads;
  threads.reserve(callers.size());
  for (auto& caller : callers) threads.emplace_back([&caller, end] { caller->Run(end); });
  for (std::thread& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  Tally tally;
  for (const auto& caller : callers) tally.Merge(caller->tally());
  return Report(tally, seconds);
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
