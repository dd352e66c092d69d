// One call of the canary test, and what may come of it. Every statement bears an id of its own that
// its answer has to bring back, so that an answer that belongs to another call shows.
#pragma once

#include <chrono>
#include <optional>
#include <random>
#include <string>

#include "dbsidecar/v1/sidecar.grpc.pb.h"

namespace dbsidecar::integration {

enum class CanaryKind {
  // Reads: plain ones, which share a Sync when they are declared read-only.
  kInteger,
  kText,
  kLarge,     // Encoded on another thread than the others.
  kPoint,     // A row of `canary_point`, by its key.
  kDivision,  // By zero.
  kBadText,   // Fails with the id in the error's message.
  // A read that sleeps for some milliseconds.
  kSlow,
  // Writes to `canary_written`.
  kWrite,
  kSlowWrite,
  kFailedWrite,     // Divides by zero after the row was made.
  kFailedCommit,    // Breaks a deferred constraint: fails at the commit, with the id in the detail.
  kForbiddenWrite,  // Declared read-only.
};

struct CanaryCall {
  int64_t id = 0;
  CanaryKind kind = CanaryKind::kInteger;
  v1::QueryRequest request;
  int64_t point = 0;  // kPoint: the key.
  // Its own deadline. Nothing = the sidecar's query timeout.
  std::optional<std::chrono::milliseconds> timeout;
  // When to cancel it, after it was sent.
  std::optional<std::chrono::microseconds> cancel_after;

  bool writes() const;
};

// What the sidecar has to be started with, and the table rows that it has to serve.
inline constexpr std::chrono::milliseconds kCanaryQueryTimeout{2000};
inline constexpr std::chrono::milliseconds kCanaryWaitTimeout{1000};
inline constexpr int64_t kCanaryPoints = 1000;
std::string CanarySchema();

// Of so many calls out of a hundred.
struct CanaryShares {
  unsigned cancelled = 0;
  unsigned short_deadline = 0;
};

// Chooses calls; the same ones for the same seed.
class CanaryChooser {
 public:
  CanaryChooser(uint64_t seed, CanaryShares shares) : random_(seed), shares_(shares) {}

  CanaryCall Next();
  // From 0 to `count` - 1.
  size_t Below(size_t count) { return random_() % count; }

 private:
  std::mt19937_64 random_;
  CanaryShares shares_;
};

// An answer, whichever way it came.
struct CanaryAnswer {
  int code = 0;        // gRPC's. 0 = it succeeded, and the cells are set.
  std::string reason;  // "" = the word of the client's own gRPC, which knows nothing of the effect.
  std::string sqlstate;
  std::string error;  // Every text that the database or the sidecar said.
  bool outcome_unknown = false;
  uint32_t rows = 0;
  std::string column;  // The first one's name.
  std::string first;
  std::string second;
  std::chrono::nanoseconds took{};
};

// Both take what the answer has and leave the rest.
CanaryAnswer AnswerOf(const v1::QueryResponse& response);
CanaryAnswer AnswerOf(const v1::Error& error);

enum class CanaryVerdict {
  kMatched,    // Its own answer: the id, or the error that had to come.
  kCancelled,  // As asked.
  kExpired,    // Its deadline, or the wait timeout.
  kCutOff,     // The database was away, and it had no effect.
  kUnknown,    // Its connection was lost, and it may have taken effect.
  kWrong,      // Anything else.
};
inline constexpr size_t kCanaryVerdicts = 6;

CanaryVerdict Judge(const CanaryCall& call, const CanaryAnswer& answer);

// How often a write's row may be in the table by what was answered.
enum class CanaryFate { kOnce, kNever, kAtMostOnce };
CanaryFate FateOf(const CanaryCall& call, const CanaryAnswer& answer);

std::string Describe(const CanaryCall& call, const CanaryAnswer& answer);

}  // namespace dbsidecar::integration
