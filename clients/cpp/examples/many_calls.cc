// Many calls at once from one thread: first with futures, then with callbacks that make the next
// call. Both share frames without being told to.
//
//   many_calls [TARGET] [CALLS]
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <future>
#include <iostream>
#include <memory>
#include <vector>

#include "dbsidecar/client.h"

namespace {

using Clock = std::chrono::steady_clock;

void Report(const char* form, int calls, Clock::time_point start) {
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::cout << form << ": " << calls << " calls, " << static_cast<int>(calls / seconds)
            << " per second\n";
}

void WithFutures(dbsidecar::Client& client, int calls) {
  // At most so many at a time: the client refuses calls over its `calls_max`.
  constexpr int kAtOnce = 256;
  const auto start = Clock::now();
  for (int done = 0; done < calls; done += kAtOnce) {
    std::vector<std::future<dbsidecar::Result>> results;
    for (int i = done; i < std::min(calls, done + kAtOnce); ++i) {
      results.push_back(client.QueryAsync({.read_only = true}, "select $1 + 1", i));
    }
    for (auto& result : results) result.get();  // Throws what failed.
  }
  Report("futures", calls, start);
}

// A chain of callbacks; several run beside each other. All on the client's one thread.
class Chain {
 public:
  Chain(dbsidecar::Client& client, int calls) : client_(client), left_(calls) {}

  std::future<void> Run() {
    Next();
    return done_.get_future();
  }

 private:
  void Next() {
    if (left_-- == 0) return done_.set_value();
    client_.QueryThen({.read_only = true}, "select $1 + 1", dbsidecar::Params(left_),
                      [this](const dbsidecar::Outcome& outcome) {
                        if (!outcome.ok()) {
                          std::cerr << outcome.failure().message << "\n";
                          return done_.set_value();
                        }
                        Next();
                      });
  }

  dbsidecar::Client& client_;
  int left_;
  std::promise<void> done_;
};

void WithCallbacks(dbsidecar::Client& client, int calls) {
  constexpr int kChains = 64;
  const auto start = Clock::now();
  std::vector<std::unique_ptr<Chain>> chains;
  std::vector<std::future<void>> ends;
  for (int i = 0; i < kChains; ++i) {
    chains.push_back(std::make_unique<Chain>(client, calls / kChains));
    ends.push_back(chains.back()->Run());
  }
  for (std::future<void>& end : ends) end.get();
  Report("callbacks", calls / kChains * kChains, start);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    dbsidecar::Client client(argc > 1 ? argv[1] : "127.0.0.1:50051");
    const int calls = argc > 2 ? std::atoi(argv[2]) : 20'000;
    WithFutures(client, calls);
    WithCallbacks(client, calls);
    return 0;
  } catch (const dbsidecar::Error& error) {
    std::cerr << error.reason() << ": " << error.what() << "\n";
    return 1;
  }
}
