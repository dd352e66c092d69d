#include "tests/simulation/canary.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace dbsidecar::simulation {
namespace {

using pool::Action;
using pool::Actions;
using pool::CloseReason;
using pool::ConnectionId;
using pool::PoolCore;
using pool::WaiterId;

Actions::iterator FindKind(Actions& actions, Action::Kind kind) {
  return std::find_if(actions.begin(), actions.end(),
                      [&](const Action& action) { return action.kind == kind; });
}

bool IsClose(const Action& action, CloseReason reason) {
  return action.kind == Action::Kind::kClose && action.close_reason == reason;
}

class OpensOneTooMany : public Saboteur {
  void DistortActions(const Event&, const PoolCore& core, Actions& actions) override {
    if (core.total() < core.config().max) return;
    actions.push_back({.kind = Action::Kind::kOpen, .connection = 1'000'000});
  }
};

class GrantsALeasedConnection : public Saboteur {
  void DistortActions(const Event& event, const PoolCore& core, Actions& actions) override {
    const auto grant = FindKind(actions, Action::Kind::kGrant);
    if (grant != actions.end()) {
      leased_ = grant->shared ? 0 : grant->connection;
    } else if (event.connection == leased_) {
      leased_ = 0;  // It comes back, or goes.
    }
    const bool waits = event.kind == Event::Kind::kArrive && core.waiting() > 0 &&
                       FindKind(actions, Action::Kind::kRefuse) == actions.end();
    if (waits && grant == actions.end() && leased_ != 0) {
      actions.push_back(
          {.kind = Action::Kind::kGrant, .connection = leased_, .waiter = event.waiter});
    }
  }

  ConnectionId leased_ = 0;
};

class SwallowsAGrant : public Saboteur {
  void DistortActions(const Event&, const PoolCore&, Actions& actions) override {
    const auto is_grant = [](const Action& action) { return action.kind == Action::Kind::kGrant; };
    // Of several, those after it would seem to go past it.
    if (std::count_if(actions.begin(), actions.end(), is_grant) == 1) {
      std::erase_if(actions, is_grant);
    }
  }
};

class SwallowsAnOpenWhileSomeoneWaits : public Saboteur {
  void DistortActions(const Event& event, const PoolCore& core, Actions& actions) override {
    // One that the floor would not have opened.
    if (event.kind != Event::Kind::kArrive || core.config().min > 0) return;
    const auto open = FindKind(actions, Action::Kind::kOpen);
    if (open != actions.end()) actions.erase(open);
  }
};

class NeverWakes : public Saboteur {
  void DistortReadings(const Event&, Readings& readings) override {
    if (readings.waiting > 0) readings.next_tick = pool::kNever;
  }
};

class TicksWithoutEnd : public Saboteur {
  void DistortReadings(const Event& event, Readings& readings) override {
    if (event.kind == Event::Kind::kTick) readings.next_tick = event.at;
  }
};

class AnswersAWaiterTwice : public Saboteur {
  void DistortActions(const Event&, const PoolCore&, Actions& actions) override {
    const auto grant = FindKind(actions, Action::Kind::kGrant);
    if (grant == actions.end()) return;
    actions.push_back({.kind = Action::Kind::kRefuse,
                       .waiter = grant->waiter,
                       .refuse_reason = pool::RefuseReason::kWaitTimeout});
  }
};

class AnswersAWaiterWhoLeft : public Saboteur {
  void DistortActions(const Event& event, const PoolCore&, Actions& actions) override {
    if (event.kind != Event::Kind::kAbandon) return;
    actions.push_back({.kind = Action::Kind::kRefuse,
                       .waiter = event.waiter,
                       .refuse_reason = pool::RefuseReason::kWaitTimeout});
  }
};

class RefusesLate : public Saboteur {
  void DistortActions(const Event&, const PoolCore&, Actions& actions) override {
    std::erase_if(actions, [](const Action& action) {
      return action.kind == Action::Kind::kRefuse &&
             (action.refuse_reason == pool::RefuseReason::kWaitTimeout ||
              action.refuse_reason == pool::RefuseReason::kDeadline);
    });
  }
};

// Grants to whoever came last instead of first.
class JumpsTheQueue : public Saboteur {
  void DistortActions(const Event& event, const PoolCore&, Actions& actions) override {
    if (event.kind == Event::Kind::kArrive) waiting_.insert(event.waiter);
    if (event.kind == Event::Kind::kAbandon) waiting_.erase(event.waiter);
    for (Action& action : actions) {
      if (action.kind == Action::Kind::kGrant) action.waiter = *waiting_.rbegin();
      if (action.kind == Action::Kind::kRefuse || action.kind == Action::Kind::kGrant) {
        waiting_.erase(action.waiter);
      }
    }
  }

  std::set<WaiterId> waiting_;
};

class ForgetsWhoCalls : public Saboteur {
  void DistortEvent(Event& event) override { event.caller = 0; }
};

class RefusesWhoHasLeast : public Saboteur {
  void DistortActions(const Event& event, const PoolCore&, Actions& actions) override {
    for (Action& action : actions) {
      const bool full = action.kind == Action::Kind::kRefuse &&
                        action.refuse_reason == pool::RefuseReason::kQueueFull;
      if (full) action.waiter = event.waiter;
    }
  }
};

class LeaksAConnectionAtDrain : public Saboteur {
  void DistortActions(const Event&, const PoolCore&, Actions& actions) override {
    std::erase_if(actions,
                  [](const Action& action) { return IsClose(action, CloseReason::kDrain); });
  }
};

class MiscountsTheIdle : public Saboteur {
  void DistortReadings(const Event&, Readings& readings) override {
    ++readings.counts[static_cast<size_t>(pool::ConnectionState::kIdle)];
  }
};

class MiscountsTheGrants : public Saboteur {
  void DistortReadings(const Event&, Readings& readings) override {
    readings.counters.granted += readings.counters.granted > 3 ? 1 : 0;
  }
};

class ForgetsToReset : public Saboteur {
  void DistortEvent(Event& event) override {
    if (event.condition == pool::Condition::kDirty) event.condition = pool::Condition::kClean;
  }
};

class LendsABrokenConnection : public Saboteur {
  void DistortEvent(Event& event) override {
    if (event.condition == pool::Condition::kBroken) event.condition = pool::Condition::kClean;
  }
};

class LetsTheFloorSink : public Saboteur {
  void DistortActions(const Event&, const PoolCore& core, Actions& actions) override {
    if (core.waiting() > 0) return;
    const auto open = FindKind(actions, Action::Kind::kOpen);
    if (open != actions.end() && core.config().min > 0) actions.erase(open);
  }
};

class NeverRetires : public Saboteur {
  void DistortActions(const Event& event, const PoolCore& core, Actions& actions) override {
    if (event.kind != Event::Kind::kTick || core.config().min == 0) return;
    std::erase_if(actions,
                  [](const Action& action) { return IsClose(action, CloseReason::kIdleTimeout); });
  }
};

class RetiresTooSoon : public Saboteur {
  void DistortActions(const Event& event, const PoolCore& core, Actions& actions) override {
    if (event.kind != Event::Kind::kConnected || core.config().lifetime == pool::Duration::zero()) {
      return;
    }
    if (core.count(pool::ConnectionState::kIdle) == 0 || !actions.empty()) return;
    actions.push_back({.kind = Action::Kind::kClose,
                       .connection = event.connection,
                       .close_reason = CloseReason::kLifetime});
  }
};

class WithholdsAPlace : public Saboteur {
  void DistortActions(const Event&, const PoolCore&, Actions& actions) override {
    std::erase_if(actions,
                  [](const Action& action) { return action.kind == Action::Kind::kReserved; });
  }
};

class SharesWhoMustBeAlone : public Saboteur {
  void DistortEvent(Event& event) override {
    if (event.kind == Event::Kind::kArrive) event.shares = true;
  }
};

class LetsOneHoldUpTheOthers : public Saboteur {
  void DistortActions(const Event&, const PoolCore&, Actions& actions) override {
    std::erase_if(actions,
                  [](const Action& action) { return action.kind == Action::Kind::kEvict; });
  }
};

class EvictsWithoutNeed : public Saboteur {
  void DistortActions(const Event&, const PoolCore&, Actions& actions) override {
    const auto grant = FindKind(actions, Action::Kind::kGrant);
    if (grant == actions.end()) return;
    actions.push_back({.kind = Action::Kind::kEvict, .connection = grant->connection});
  }
};

class ServesInAPause : public Saboteur {
  void DistortEvent(Event& event) override {
    if (event.kind == Event::Kind::kPause) event.kind = Event::Kind::kTick;
  }
};

class KeepsTheFreeInAPause : public Saboteur {
  void DistortActions(const Event&, const PoolCore&, Actions& actions) override {
    std::erase_if(actions,
                  [](const Action& action) { return IsClose(action, CloseReason::kPause); });
  }
};

class NeverShrinks : public Saboteur {
  void DistortActions(const Event&, const PoolCore&, Actions& actions) override {
    std::erase_if(actions,
                  [](const Action& action) { return IsClose(action, CloseReason::kResize); });
  }
};

template <typename T>
Canary Make(std::string name, int invariant) {
  return {std::move(name), invariant, [] { return std::make_unique<T>(); }};
}

}  // namespace

const std::vector<Canary>& Canaries() {
  static const std::vector<Canary> canaries = {
      Make<OpensOneTooMany>("OpensOneTooMany", 1),
      Make<GrantsALeasedConnection>("GrantsALeasedConnection", 2),
      Make<SwallowsAGrant>("SwallowsAGrant", 3),
      Make<SwallowsAnOpenWhileSomeoneWaits>("SwallowsAnOpenWhileSomeoneWaits", 4),
      Make<NeverWakes>("NeverWakes", 4),
      Make<TicksWithoutEnd>("TicksWithoutEnd", 4),
      Make<AnswersAWaiterTwice>("AnswersAWaiterTwice", 5),
      Make<AnswersAWaiterWhoLeft>("AnswersAWaiterWhoLeft", 5),
      Make<RefusesLate>("RefusesLate", 6),
      Make<JumpsTheQueue>("JumpsTheQueue", 7),
      Make<ForgetsWhoCalls>("ForgetsWhoCalls", 7),
      Make<LeaksAConnectionAtDrain>("LeaksAConnectionAtDrain", 8),
      Make<MiscountsTheIdle>("MiscountsTheIdle", 9),
      Make<MiscountsTheGrants>("MiscountsTheGrants", 9),
      Make<ForgetsToReset>("ForgetsToReset", 10),
      Make<LendsABrokenConnection>("LendsABrokenConnection", 10),
      Make<LetsTheFloorSink>("LetsTheFloorSink", 11),
      Make<NeverRetires>("NeverRetires", 12),
      Make<RetiresTooSoon>("RetiresTooSoon", 12),
      Make<WithholdsAPlace>("WithholdsAPlace", 13),
      Make<SharesWhoMustBeAlone>("SharesWhoMustBeAlone", 14),
      Make<LetsOneHoldUpTheOthers>("LetsOneHoldUpTheOthers", 15),
      Make<EvictsWithoutNeed>("EvictsWithoutNeed", 15),
      Make<RefusesWhoHasLeast>("RefusesWhoHasLeast", 16),
      Make<ServesInAPause>("ServesInAPause", 17),
      Make<KeepsTheFreeInAPause>("KeepsTheFreeInAPause", 17),
      Make<NeverShrinks>("NeverShrinks", 18),
  };
  return canaries;
}

}  // namespace dbsidecar::simulation
