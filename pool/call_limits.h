// Limits on how many calls of one kind are at work at once (bulkheads): of one caller, of one
// route, of one statement's shape. Whoever is over a limit waits for its turn before it asks for a
// connection, so that one kind of work cannot take them all.
//
// Plain state: no clock, no I/O.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace dbsidecar::pool {

enum class LimitKind : uint8_t { kCaller, kRoute, kStatement };
inline constexpr size_t kLimitKinds = 3;
// "caller".
std::string_view LimitName(LimitKind kind);

struct CallLimitOptions {
  std::array<size_t, kLimitKinds> max{};  // At work at once, by LimitKind; 0 = no limit.
  size_t waiting_max = 0;                 // Of one kind; more are refused. 0 = no limit of its own.
  bool enforce = true;                    // False: calls over a limit are counted, and go on.

  bool none() const { return max == std::array<size_t, kLimitKinds>{}; }
  bool operator==(const CallLimitOptions&) const = default;
};

// What a call is, by LimitKind; "" = that limit does not concern it.
using LimitKeys = std::array<std::string, kLimitKinds>;

// Calls are known by their ids.
class CallLimits {
 public:
  enum class Entry {
    kGoesOn,   // It has a place in each.
    kWaits,    // Until Leave, Withdraw or Reconfigure says that it goes on.
    kRefused,  // Too many wait already.
  };
  struct Verdict {
    Entry entry = Entry::kGoesOn;
    std::optional<LimitKind> reached{};  // The first limit that it met.
  };

  explicit CallLimits(const CallLimitOptions& options) : options_(options) {}

  const CallLimitOptions& options() const { return options_; }
  // `bounded`: may be refused. REQUIRES: `id` is not waiting.
  Verdict Enter(uint64_t id, const LimitKeys& keys, bool bounded);
  // Gives the places back of a call that went on. Those that go on in its place, in the order in
  // which they came.
  std::vector<uint64_t> Leave(const LimitKeys& keys);
  // A call that waits gives up.
  void Withdraw(uint64_t id);
  // By the new limits; those that go on now.
  std::vector<uint64_t> Reconfigure(const CallLimitOptions& options);

  size_t waiting() const { return waiting_.size(); }
  size_t at_work(LimitKind kind, const std::string& key) const;
  // Calls that met each limit, by LimitKind: what has waited, was refused, or went on uncounted.
  const std::array<uint64_t, kLimitKinds>& reached_total() const { return reached_total_; }

 private:
  struct Gate {
    size_t at_work = 0;
    std::set<uint64_t> waiting;  // By when they came.
  };
  struct Waiting {
    uint64_t id = 0;
    LimitKeys keys;
    LimitKind at{};  // The gate before which it stands.
  };
  using Gates = absl::flat_hash_map<std::string, Gate>;

  Gates& GatesOf(LimitKind kind) { return gates_[static_cast<size_t>(kind)]; }
  std::optional<LimitKind> FirstReached(const LimitKeys& keys) const;
  void TakePlaces(const LimitKeys& keys);
  void StandBefore(LimitKind kind, uint64_t came, const LimitKeys& keys);
  void StepAside(uint64_t came, const Waiting& call);
  // Lets on whoever stands before this gate and can go.
  void LetOn(LimitKind kind, const std::string& key, std::vector<uint64_t>& on);
  void DropIfUnused(LimitKind kind, const std::string& key);

  CallLimitOptions options_;
  std::array<Gates, kLimitKinds> gates_;
  std::map<uint64_t, Waiting> waiting_;  // By when they came.
  absl::flat_hash_map<uint64_t, uint64_t> came_;
  uint64_t next_ = 0;
  std::array<uint64_t, kLimitKinds> reached_total_{};
};

}  // namespace dbsidecar::pool
