#include "tests/simulation/simulation.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <utility>

#include "tests/simulation/swarm.h"

namespace dbsidecar::simulation {
namespace {

using pool::Action;
using pool::Actions;
using pool::Condition;
using pool::ConnectionId;
using pool::Duration;
using pool::Instant;
using pool::kNever;
using pool::WaiterId;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kStormEventsMax = 400;
// Nothing in the calm phase takes long; more events than this are a livelock.
constexpr uint64_t kCalmEventsMax = 4000;
constexpr size_t kCalmWaiters = 8;
// Places outside the pool that are asked for at once.
constexpr size_t kPlacesWantedMax = 2;

class Simulation {
 public:
  Simulation(uint64_t seed, const RunOptions& options)
      : options_(options),
        dice_(seed),
        swarm_(DrawSwarm(dice_)),
        config_(DrawConfig(dice_)),
        core_(config_, dice_.Next()),
        model_(config_) {}

  RunReport Run() {
    Feed({.kind = Event::Kind::kStart});
    Storm();
    Calm();
    Drain();
    report_.violation = model_.violation();
    return std::move(report_);
  }

 private:
  // What the world knows of a connection that it opened.
  struct Connection {
    bool up = false;
    size_t callers = 0;
    bool closing = false;
  };
  // Something that will happen. Kinds that are no event of the core are the world's own.
  struct Plan {
    Event event{};
    bool arrival = false;  // The next callers come.
  };

  bool failed() const { return model_.violation().has_value(); }

  // --- The phases ---

  void Storm() {
    Schedule(Duration::zero(), {.arrival = true});
    const uint64_t drain_at = dice_.Chance(swarm_.drain) ? dice_.Below(kStormEventsMax) : kNone;
    while (!failed() && report_.events < kStormEventsMax) {
      if (report_.events >= drain_at && !draining_) StartDrain();
      MaybeDisturb();
      if (!Step(kNever)) Feed({.kind = Event::Kind::kTick});
    }
  }

  // Faults off: whatever happened, the pool must now recover and serve everyone.
  void Calm() {
    if (paused_) Feed({.kind = Event::Kind::kUnpause});
    calm_ = true;
    outage_until_ = Instant::min();
    swarm_.late_tick = 0;
    swarm_.hold = milliseconds(1);
    swarm_.connect_time = milliseconds(1);
    swarm_.answer_time = milliseconds(1);
    // Those that come later give themselves back.
    for (size_t places = reserved_; places > 0 && !failed(); --places) Unreserve();
    for (const auto& [id, connection] : connections_) {
      for (size_t i = connection.callers; i > 0; --i) PlanRelease(id);
    }
    RunUntil(now_ + seconds(10));
    if (draining_) return;
    std::vector<WaiterId> waiters;
    const size_t count = std::min(kCalmWaiters, config_.waiters_max);
    for (size_t i = 0; i < count && !failed(); ++i) {
      waiters.push_back(next_waiter_);
      Arrive(kNever);
    }
    RunUntil(now_ + seconds(1));
    if (failed()) return;
    for (const WaiterId waiter : waiters) model_.ExpectGranted(waiter);
    model_.ExpectDatabaseUp(Read(core_));
  }

  void Drain() {
    if (failed()) return;
    if (!draining_) StartDrain();
    RunUntil(now_ + seconds(10));
    if (!failed()) model_.ExpectNothingLeft(Read(core_));
  }

  void RunUntil(Instant end) {
    const uint64_t events_max = report_.events + kCalmEventsMax;
    while (!failed() && Step(end)) {
      if (report_.events > events_max) model_.ReportLivelock();
    }
    now_ = std::max(now_, end);
  }

  // --- Time ---

  void Schedule(Duration after, Plan plan) { ScheduleAt(now_ + after, std::move(plan)); }

  void ScheduleAt(Instant at, Plan plan) {
    const auto grid = milliseconds(swarm_.grid);
    if (!calm_) at = Instant((at.time_since_epoch() / grid) * grid);
    // Those that fall on one instant come in any order.
    plans_.emplace(std::make_pair(std::max(at, now_), dice_.Next()), std::move(plan));
  }

  // Lets the next thing happen, unless it lies after `end`. False = nothing did.
  bool Step(Instant end) {
    const Instant tick_at = TickAt();
    const Instant plan_at = plans_.empty() ? kNever : plans_.begin()->first.first;
    const Instant next = std::min(tick_at, plan_at);
    if (next == kNever || next > end) return false;
    now_ = std::max(now_, next);
    if (tick_at < plan_at || (tick_at == plan_at && dice_.Chance(0.5))) {
      late_ = dice_.Chance(swarm_.late_tick) ? dice_.Millis(1, 80) : Duration::zero();
      Feed({.kind = Event::Kind::kTick});
    } else {
      const Plan plan = plans_.begin()->second;
      plans_.erase(plans_.begin());
      Happen(plan);
    }
    return true;
  }

  Instant TickAt() const {
    const Instant next = core_.NextTick();
    return next == kNever ? kNever : std::max(now_, next) + late_;
  }

  // --- What happens ---

  // Things that come at any time.
  void MaybeDisturb() {
    if (dice_.Chance(swarm_.lost)) LoseOne();
    if (dice_.Chance(swarm_.jump)) now_ += dice_.Millis(1, 4000);
    if (dice_.Chance(swarm_.check)) Feed({.kind = Event::Kind::kCheck});
    if (dice_.Chance(swarm_.outage)) outage_until_ = now_ + dice_.Millis(100, 5000);
    if (dice_.Chance(swarm_.pause) && !draining_) {
      paused_ = !paused_;
      Feed({.kind = paused_ ? Event::Kind::kPause : Event::Kind::kUnpause});
    }
    if (dice_.Chance(swarm_.reconfigure)) {
      config_ = DrawOtherConfig(config_, dice_);
      Feed({.kind = Event::Kind::kReconfigure, .config = config_});
    }
    if (dice_.Chance(swarm_.reserve)) {
      if (reserved_ > 0 && dice_.Chance(0.5)) {
        Unreserve();
      } else if (!draining_ && places_wanted_ < kPlacesWantedMax) {
        ++places_wanted_;
        Feed({.kind = Event::Kind::kReserve});
      }
    }
  }

  void Happen(const Plan& plan) {
    if (plan.arrival) {
      if (!calm_) ArriveInBurst();
      return;
    }
    switch (plan.event.kind) {
      case Event::Kind::kConnected:
      case Event::Kind::kConnectFailed:
      case Event::Kind::kPinged:
      case Event::Kind::kResetDone:
        HappenAnswer(plan.event);
        break;
      case Event::Kind::kReleased:
        HappenRelease(plan.event);
        break;
      case Event::Kind::kClosed:
        connections_.erase(plan.event.connection);
        Feed(plan.event);
        break;
      case Event::Kind::kAbandon:
      case Event::Kind::kStart:
      case Event::Kind::kArrive:
      case Event::Kind::kHandedBack:
      case Event::Kind::kBroke:
      case Event::Kind::kLost:
      case Event::Kind::kCheck:
      case Event::Kind::kReserve:
      case Event::Kind::kPause:
      case Event::Kind::kUnpause:
      case Event::Kind::kReconfigure:
      case Event::Kind::kDrain:
      case Event::Kind::kTick:
        Feed(plan.event);
        break;
      case Event::Kind::kUnreserve:
        Unreserve();
        break;
    }
  }

  // The driver's answer to a request. Close overtakes it, but what is under way may still come.
  void HappenAnswer(const Event& event) {
    const auto it = connections_.find(event.connection);
    if (it == connections_.end() || it->second.closing) {
      if (dice_.Chance(swarm_.stale)) Feed(event);
      return;
    }
    if (event.kind == Event::Kind::kConnected) it->second.up = true;
    if (event.kind == Event::Kind::kConnectFailed) connections_.erase(it);
    Feed(event);
  }

  void HappenRelease(const Event& event) {
    const auto it = connections_.find(event.connection);
    // Its loss may have released it before.
    if (it == connections_.end() || it->second.callers == 0) return;
    const bool with_others = it->second.callers > 1;
    --it->second.callers;
    if (with_others && !calm_ && dice_.Chance(swarm_.handed_back)) {
      Feed({.kind = Event::Kind::kHandedBack, .connection = event.connection});
    } else {
      Feed(event);
    }
  }

  void ArriveInBurst() {
    for (uint64_t i = dice_.Between(1, swarm_.burst); i > 0 && !failed(); --i) {
      Arrive(DrawDeadline());
    }
    Schedule(dice_.Millis(0, 2 * Count(swarm_.arrival_gap)), {.arrival = true});
  }

  Instant DrawDeadline() {
    if (dice_.Chance(swarm_.no_deadline)) return kNever;
    if (dice_.Chance(swarm_.past_deadline)) return now_ - dice_.Millis(0, 5);
    return now_ + dice_.Millis(1, 2 * Count(swarm_.deadline));
  }

  void Arrive(Instant deadline) {
    const WaiterId waiter = next_waiter_++;
    if (!calm_ && dice_.Chance(swarm_.abandon)) {
      Schedule(dice_.Millis(0, Count(swarm_.deadline)),
               {.event = {.kind = Event::Kind::kAbandon, .waiter = waiter}});
    }
    Feed({.kind = Event::Kind::kArrive,
          .waiter = waiter,
          .deadline = deadline,
          .bounded = calm_ || !dice_.Chance(swarm_.unbounded),
          .shares = dice_.Chance(swarm_.shares),
          .caller = DrawCaller()});
  }

  // The first of them comes most often.
  uint64_t DrawCaller() { return dice_.Chance(0.5) ? 0 : dice_.Below(swarm_.callers); }

  void LoseOne() {
    std::vector<ConnectionId> candidates;
    for (const auto& [id, connection] : connections_) {
      if (connection.up && !connection.closing) candidates.push_back(id);
    }
    if (candidates.empty()) return;
    const ConnectionId id = candidates[dice_.Below(candidates.size())];
    if (connections_[id].callers > 1 || (connections_[id].callers > 0 && dice_.Chance(0.3))) {
      // The releases of those who were on it may still come.
      Feed({.kind = Event::Kind::kBroke, .connection = id});
    } else if (connections_[id].callers > 0) {
      HappenRelease(
          {.kind = Event::Kind::kReleased, .connection = id, .condition = Condition::kBroken});
    } else {
      Feed({.kind = Event::Kind::kLost, .connection = id});
    }
  }

  void StartDrain() {
    draining_ = true;
    paused_ = false;
    places_wanted_ = 0;
    Feed({.kind = Event::Kind::kDrain});
  }

  void Unreserve() {
    --reserved_;
    Feed({.kind = Event::Kind::kUnreserve});
  }

  // --- Between the core and the world ---

  void Feed(Event event) {
    if (failed()) return;
    event.at = now_;
    ++report_.events;
    Event told = event;
    if (options_.saboteur != nullptr) options_.saboteur->DistortEvent(told);
    Actions actions = Deliver(told, core_);
    Readings readings = Read(core_);
    if (options_.saboteur != nullptr) {
      options_.saboteur->DistortActions(event, core_, actions);
      options_.saboteur->DistortReadings(event, readings);
    }
    if (options_.trace) Trace(event, actions);
    model_.Observe(event, actions, readings);
    if (failed()) return;
    for (const Action& action : actions) CarryOut(action);
  }

  void Trace(const Event& event, const Actions& actions) {
    report_.trace.push_back(Describe(event));
    for (const Action& action : actions) report_.trace.push_back("    " + Describe(action));
  }

  void CarryOut(const Action& action) {
    switch (action.kind) {
      case Action::Kind::kOpen:
        connections_[action.connection] = {};
        PlanConnect(action.connection);
        break;
      case Action::Kind::kPing:
        PlanAnswer(action.connection, Event::Kind::kPinged, swarm_.ping_fails, swarm_.never_pings);
        break;
      case Action::Kind::kReset:
        PlanAnswer(action.connection, Event::Kind::kResetDone, swarm_.reset_fails,
                   swarm_.never_resets);
        break;
      case Action::Kind::kClose:
        PlanClose(action.connection);
        break;
      case Action::Kind::kGrant:
        ++report_.grants;
        ++connections_[action.connection].callers;
        PlanRelease(action.connection);
        break;
      case Action::Kind::kEvict:
        MaybeUndo(action.connection);
        break;
      case Action::Kind::kRefuse:
        break;
      case Action::Kind::kReserved:
        ++reserved_;
        --places_wanted_;
        if (calm_) Schedule(milliseconds(1), {.event = {.kind = Event::Kind::kUnreserve}});
        break;
    }
  }

  void PlanConnect(ConnectionId id) {
    const Duration takes = DrawTime(swarm_.connect_time);
    if (!calm_ && dice_.Chance(swarm_.never_connects)) {
      // Without a time limit of the core's, now or by then, the driver gives up in the end.
      Schedule(seconds(5), {.event = {.kind = Event::Kind::kConnectFailed, .connection = id}});
    } else if (!calm_ && (InOutage() || dice_.Chance(swarm_.connect_fails))) {
      Schedule(takes, {.event = {.kind = Event::Kind::kConnectFailed,
                                 .connection = id,
                                 .permanent = dice_.Chance(swarm_.permanent)}});
    } else {
      Schedule(takes, {.event = {.kind = Event::Kind::kConnected, .connection = id}});
    }
  }

  void PlanAnswer(ConnectionId id, Event::Kind kind, double fails, double never) {
    if (!calm_ && dice_.Chance(never)) return;
    const bool ok = calm_ || !(InOutage() || dice_.Chance(fails));
    Schedule(DrawTime(swarm_.answer_time), {.event = {.kind = kind, .connection = id, .ok = ok}});
  }

  void PlanRelease(ConnectionId id) {
    Event event{.kind = Event::Kind::kReleased, .connection = id};
    if (calm_) {
      event.condition = Condition::kClean;
    } else if (dice_.Chance(swarm_.broken)) {
      event.condition = Condition::kBroken;
    } else if (dice_.Chance(swarm_.dirty)) {
      event.condition = Condition::kDirty;
    }
    Schedule(DrawTime(swarm_.hold), {.event = event});
  }

  // Sometimes the interrupt comes to nothing.
  void MaybeUndo(ConnectionId id) {
    if (dice_.Chance(swarm_.vain_evictions)) return;
    Schedule(DrawTime(swarm_.answer_time),
             {.event = {.kind = Event::Kind::kReleased, .connection = id}});
  }

  void PlanClose(ConnectionId id) {
    connections_[id].closing = true;
    const bool slow = !calm_ && dice_.Chance(swarm_.slow_close);
    Schedule(slow ? dice_.Millis(100, 3000) : dice_.Millis(0, 2),
             {.event = {.kind = Event::Kind::kClosed, .connection = id}});
  }

  bool InOutage() const { return now_ < outage_until_; }

  Duration DrawTime(Duration about) { return dice_.Millis(0, 2 * Count(about)); }

  static uint64_t Count(Duration duration) {
    return static_cast<uint64_t>(std::chrono::duration_cast<milliseconds>(duration).count());
  }

  static constexpr uint64_t kNone = UINT64_MAX;

  const RunOptions options_;
  Dice dice_;
  Swarm swarm_;
  pool::PoolConfig config_;
  pool::PoolCore core_;
  PoolModel model_;
  RunReport report_;

  Instant now_ = Instant(std::chrono::hours(1));
  Duration late_ = Duration::zero();
  Instant outage_until_ = Instant::min();
  std::map<std::pair<Instant, uint64_t>, Plan> plans_;
  std::map<ConnectionId, Connection> connections_;  // Ordered: dice are thrown over them.
  WaiterId next_waiter_ = 1;
  size_t reserved_ = 0;
  size_t places_wanted_ = 0;
  bool draining_ = false;
  bool paused_ = false;
  bool calm_ = false;
};

}  // namespace

RunReport RunSimulation(uint64_t seed, const RunOptions& options) {
  return Simulation(seed, options).Run();
}

}  // namespace dbsidecar::simulation
