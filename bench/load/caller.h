// How a load reaches a sidecar: a call per statement, or many on one stream.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "bench/load/script.h"

namespace dbsidecar::bench {

enum class Verdict {
  kAnswered,
  kFailed,
  kUnimplemented,  // This version of the sidecar cannot do it.
  kLost,           // The stream has ended: no call will be answered any more.
};

// What became of a call.
struct Outcome {
  Verdict verdict = Verdict::kAnswered;
  // Of all but kAnswered.
  std::string error{};
};

// Sends statements and reports their answers. A slot is one place for a call in flight; it also
// remembers the transaction that its statements have begun.
class Caller {
 public:
  using Answered = std::function<void(size_t slot, const Outcome& outcome)>;

  virtual ~Caller() = default;

  // Who is told of every answer, on any thread of the caller's. REQUIRES: before the first Send.
  void ReportTo(Answered answered) { answered_ = std::move(answered); }

  // Works until Stop.
  virtual void Run() = 0;

  // On any thread, also from within the report of an answer, but one at a time. REQUIRES: nothing
  // is in flight in `slot`.
  virtual void Send(size_t slot, const Statement& statement) = 0;

  // Lets Run return. REQUIRES: nothing is in flight.
  virtual void Stop() = 0;

 protected:
  Answered answered_;
};

// Query: a call of its own for each statement. Null when nothing answers at `address`, and so for
// the others.
std::unique_ptr<Caller> MakeUnaryCaller(const std::string& address, size_t slots);

// Batch: a call for each transaction, sent when its last statement is.
std::unique_ptr<Caller> MakeBatchCaller(const std::string& address, size_t slots);

// Pipeline by the C++ client library's callbacks. No transactions: it commits by blocking only.
std::unique_ptr<Caller> MakePipelineCaller(const std::string& address);

// Pipeline by the bare stub, one thread: a frame carries what became due while the last one was
// being written. What the library's own cost is held against.
std::unique_ptr<Caller> MakeRawPipelineCaller(const std::string& address, size_t slots);

}  // namespace dbsidecar::bench
