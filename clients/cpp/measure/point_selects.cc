// Point selects on pgbench's tables through a sidecar, as fast as it answers, by each form of the
// client.
//
//   point_selects TARGET [then|future|blocking] [IN_FLIGHT] [SECONDS] [ROWS]
//
// `then`: callbacks, each making the next call. `future`: one thread that keeps so many futures.
// `blocking`: so many threads. Prints one line of JSON.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "dbsidecar/client.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kSql = "SELECT abalance FROM pgbench_accounts WHERE aid = $1";

struct Settings {
  std::string target;
  std::string form = "then";
  int in_flight = 64;
  double seconds = 5;
  int rows = 100'000;
};

class Tally {
 public:
  void Add(Clock::time_point sent, const dbsidecar::Outcome& outcome) {
    if (outcome.ok()) return Add(sent, outcome.result());
    if (errors_++ == 0)
      std::fprintf(stderr, "first error: %s\n", outcome.failure().message.c_str());
  }
  void Add(Clock::time_point sent, const dbsidecar::Result& result) {
    sum_ += result.One().Get<int64_t>(0);
    micros_.push_back(std::chrono::duration<float, std::micro>(Clock::now() - sent).count());
  }
  void Add(const Tally& other) {
    micros_.insert(micros_.end(), other.micros_.begin(), other.micros_.end());
    errors_ += other.errors_;
  }
  void Print(double seconds) {
    std::sort(micros_.begin(), micros_.end());
    const auto at = [&](double share) {
      if (micros_.empty()) return 0.0;
      return static_cast<double>(
          micros_[static_cast<size_t>(share * static_cast<double>(micros_.size() - 1))]);
    };
    std::printf(
        "{\"queries\": %zu, \"errors\": %d, \"qps\": %.0f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
        "\"p999_us\": %.1f}\n",
        micros_.size(), errors_, static_cast<double>(micros_.size()) / seconds, at(0.5), at(0.99),
        at(0.999));
  }
  int errors() const { return errors_; }

 private:
  std::vector<float> micros_;
  int errors_ = 0;
  int64_t sum_ = 0;
};

class Ids {
 public:
  Ids(int rows, unsigned seed) : random_(seed), ids_(1, rows) {}
  int Next() { return ids_(random_); }

 private:
  std::mt19937 random_;
  std::uniform_int_distribution<int> ids_;
};

const dbsidecar::CallOptions& ReadOnly() {
  static const dbsidecar::CallOptions kOptions{.read_only = true};
  return kOptions;
}

// The callbacks run on one thread, the client's.
class Callbacks {
 public:
  Callbacks(dbsidecar::Client& client, const Settings& settings, Clock::time_point end)
      : client_(client), end_(end), ids_(settings.rows, 42), open_(settings.in_flight) {
    for (int i = 0; i < settings.in_flight; ++i) Call();
  }
  Tally Wait() {
    done_.get_future().get();
    return std::move(tally_);
  }

 private:
  void Call() {
    const auto sent = Clock::now();
    client_.QueryThen(ReadOnly(), kSql, dbsidecar::Params(NextId()),
                      [this, sent](const dbsidecar::Outcome& outcome) {
                        tally_.Add(sent, outcome);
                        if (Clock::now() < end_) {
                          Call();
                        } else if (--open_ == 0) {
                          done_.set_value();
                        }
                      });
  }
  int NextId() {  // The first calls are made by another thread.
    const std::lock_guard lock(mutex_);
    return ids_.Next();
  }

  dbsidecar::Client& client_;
  const Clock::time_point end_;
  std::mutex mutex_;
  Ids ids_;
  int open_;
  std::promise<void> done_;
  Tally tally_;
};

Tally RunFutures(dbsidecar::Client& client, const Settings& settings, Clock::time_point end) {
  Tally tally;
  Ids ids(settings.rows, 42);
  std::deque<std::pair<Clock::time_point, std::future<dbsidecar::Result>>> open;
  const auto call = [&] {
    open.emplace_back(Clock::now(), client.QueryAsync(ReadOnly(), kSql, ids.Next()));
  };
  for (int i = 0; i < settings.in_flight; ++i) call();
  while (!open.empty()) {
    tally.Add(open.front().first, open.front().second.get());
    open.pop_front();
    if (Clock::now() < end) call();
  }
  return tally;
}

Tally RunThreads(dbsidecar::Client& client, const Settings& settings, Clock::time_point end) {
  std::vector<Tally> tallies(static_cast<size_t>(settings.in_flight));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < tallies.size(); ++i) {
    threads.emplace_back([&, i] {
      Ids ids(settings.rows, static_cast<unsigned>(i));
      while (Clock::now() < end) {
        const auto sent = Clock::now();
        tallies[i].Add(sent, client.Query(ReadOnly(), kSql, ids.Next()));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Tally all;
  for (const Tally& tally : tallies) all.Add(tally);
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  // Debian's Abseil looks for deadlocks in every lock that gRPC takes.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  if (argc < 2) {
    std::fprintf(stderr,
                 "point_selects TARGET [then|future|blocking] [IN_FLIGHT] [SECONDS] [ROWS]\n");
    return 2;
  }
  Settings settings{.target = argv[1]};
  if (argc > 2) settings.form = argv[2];
  if (argc > 3) settings.in_flight = std::atoi(argv[3]);
  if (argc > 4) settings.seconds = std::atof(argv[4]);
  if (argc > 5) settings.rows = std::atoi(argv[5]);
  dbsidecar::Client client(settings.target);
  if (!client.WaitUntilConnected(std::chrono::seconds(10))) return 1;
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration_cast<Clock::duration>(
                               std::chrono::duration<double>(settings.seconds));
  Tally tally = settings.form == "future"     ? RunFutures(client, settings, end)
                : settings.form == "blocking" ? RunThreads(client, settings, end)
                                              : Callbacks(client, settings, end).Wait();
  tally.Print(std::chrono::duration<double>(Clock::now() - start).count());
  return tally.errors() == 0 ? 0 : 1;
}
