// Says on standard error how far a long piece of work is.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace dbsidecar::server::cli {

// One line that is written anew every second, from the second second on, and gone at the end; only
// where standard error is a terminal.
class Progress {
 public:
  // `prints`: the result goes to standard output meanwhile, so where that is a terminal it tells
  // enough.
  explicit Progress(bool prints);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void AddRows(uint64_t rows) { rows_ += rows; }
  void AddBytes(uint64_t bytes) { bytes_ += bytes; }

 private:
  void Run();

  std::atomic<uint64_t> rows_ = 0;
  std::atomic<uint64_t> bytes_ = 0;
  std::mutex mutex_;
  std::condition_variable over_changed_;
  bool over_ = false;  // Guarded by mutex_.
  std::thread thread_;
};

// `12 s, 1 500 000 rows, 71.3 MiB`; what is 0 is left out.
std::string TextOfProgress(uint64_t seconds, uint64_t rows, uint64_t bytes);

}  // namespace dbsidecar::server::cli
