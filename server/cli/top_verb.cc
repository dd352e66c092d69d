// `dbsidecar top`.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "server/cli/admin_client.h"
#include "server/cli/admin_options.h"
#include "server/cli/client_verbs.h"
#include "server/cli/display_text.h"
#include "server/cli/sidecar_client.h"
#include "server/cli/top_frame.h"
#include "server/cli/top_screen.h"
#include "server/cli/verb_report.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

constexpr std::string_view kKeys = "q quit  p pause/resume  s sort  up/down choose  c cancel";
// What an operator waits for with his hands on the keys.
constexpr milliseconds kActionMax = 2s;
// Where Admin does not answer, it is asked again now and then only.
constexpr int kLooksWithoutAdmin = 5;

// Asks the sidecar for all that is shown.
class Observer {
 public:
  explicit Observer(const TopOptions& options)
      : options_(options), sidecar_(options.client.address), admin_(options.admin_address) {
    look_.address = options.client.address;
  }

  CallOutcome Look() {
    v1::MetricsResponse metrics;
    CallOutcome outcome = sidecar_.Metrics({}, options_.client.timeout, metrics);
    if (!outcome.ok()) return outcome;
    outcome = sidecar_.Health({}, options_.client.timeout, look_.health);
    if (!outcome.ok()) return outcome;
    if (look_.metrics.has_time()) look_.before = std::move(look_.metrics);
    look_.metrics = std::move(metrics);
    LookAtLists();
    return outcome;
  }

  const TopLook& seen() const { return look_; }
  AdminClient& admin() { return admin_; }

 private:
  void LookAtLists() {
    if (!look_.statements && looks_without_admin_ > 0) {
      --looks_without_admin_;
      return;
    }
    v1::ListStatementsResponse statements;
    CallOutcome outcome = admin_.ListStatements({}, options_.client.timeout, statements);
    v1::ListSessionsResponse sessions;
    if (outcome.ok()) outcome = admin_.ListSessions({}, options_.client.timeout, sessions);
    if (outcome.ok()) {
      look_.statements = std::move(statements);
      look_.sessions = std::move(sessions);
      return;
    }
    look_.statements.reset();
    look_.sessions.reset();
    look_.no_lists = outcome.Unreachable() ? Concat("no Admin service answers at ",
                                                    options_.admin_address, "; see --admin-addr")
                                           : outcome.message;
    looks_without_admin_ = kLooksWithoutAdmin;
  }

  const TopOptions& options_;
  SidecarClient sidecar_;
  AdminClient admin_;
  TopLook look_;
  int looks_without_admin_ = 0;
};

class Top {
 public:
  Top(const TopOptions& options, TopScreen& screen)
      : options_(options), screen_(screen), observer_(options) {}

  // What to say at the end; empty = nothing.
  CallOutcome Run() {
    CallOutcome first = observer_.Look();
    if (!first.ok()) return first;
    Clock::time_point next = Clock::now() + options_.interval;
    while (true) {
      Draw();
      const auto left = std::chrono::duration_cast<milliseconds>(next - Clock::now());
      const TopScreen::Pressed pressed = screen_.Wait(std::max(left, 0ms));
      if (pressed.key == TopScreen::Key::kQuit) return first;
      OnKey(pressed);
      if (Clock::now() < next) continue;
      const CallOutcome outcome = observer_.Look();
      away_ = outcome.ok() ? "" : DescribeUnreachable(outcome, options_.client.address);
      next = Clock::now() + options_.interval;
    }
  }

 private:
  void Draw() {
    view_.width = screen_.width();
    view_.height = screen_.height();
    view_.footer = !question_.empty() ? question_
                   : !away_.empty()   ? away_
                   : !answer_.empty() ? answer_
                                      : std::string(kKeys);
    screen_.Draw(FrameOf(observer_.seen(), view_));
  }

  void OnKey(const TopScreen::Pressed& pressed) {
    switch (pressed.key) {
      case TopScreen::Key::kUp:
        Choose(-1);
        break;
      case TopScreen::Key::kDown:
        Choose(1);
        break;
      case TopScreen::Key::kOther:
        OnLetter(pressed.letter);
        break;
      case TopScreen::Key::kNone:
      case TopScreen::Key::kResized:
      case TopScreen::Key::kQuit:
        break;
    }
  }

  void OnLetter(char letter) {
    answer_.clear();
    if (!question_.empty()) {
      question_.clear();
      const auto action = std::exchange(action_, {});
      answer_ = letter == 'y' ? action() : "nothing was done";
    } else if (letter == 's') {
      view_.order = view_.order == TopOrder::kAge     ? TopOrder::kState
                    : view_.order == TopOrder::kState ? TopOrder::kCaller
                                                      : TopOrder::kAge;
    } else if (letter == 'p') {
      AskToPause();
    } else if (letter == 'c') {
      AskToCancel();
    } else if (letter == 'h' || letter == '?') {
      answer_ = std::string(kKeys);
    }
  }

  std::vector<v1::RunningStatement> Shown() const {
    const TopLook& look = observer_.seen();
    if (!look.statements) return {};
    return Ordered(*look.statements, view_.order);
  }

  void Choose(int steps) { view_.chosen = Neighbour(Shown(), view_.chosen, steps); }

  void Ask(std::string question, std::function<std::string()> action) {
    if (!observer_.seen().statements) {
      answer_ = observer_.seen().no_lists;
      return;
    }
    question_ = std::move(question);
    action_ = std::move(action);
  }

  void AskToPause() {
    const auto& pools = observer_.seen().metrics.pools();
    const std::string pool = options_.client.pool.empty() ? "default" : options_.client.pool;
    const auto found = std::ranges::find(pools, pool, &v1::PoolMetrics::pool);
    if (found == pools.end()) {
      answer_ = Concat("there is no pool ", pool);
    } else if (found->state() == v1::POOL_STATE_PAUSED) {
      Ask(Concat("resume the pool ", pool, "? (y/n)"), [this, pool] { return Resume(pool); });
    } else {
      Ask(Concat("pause the pool ", pool, "? calls will wait (y/n)"),
          [this, pool] { return Pause(pool); });
    }
  }

  void AskToCancel() {
    const auto shown = Shown();
    const auto chosen = std::find_if(shown.begin(), shown.end(), [&](const auto& statement) {
      return statement.id() == view_.chosen;
    });
    if (chosen == shown.end()) {
      answer_ = "choose a statement with the arrow keys first";
      return;
    }
    const uint64_t id = chosen->id();
    Ask(fmt::format("cancel the statement {}? (y/n)", id), [this, id] { return Cancel(id); });
  }

  std::string Pause(const std::string& pool) {
    v1::PauseRequest request;
    request.set_pool(pool);
    request.mutable_timeout()->set_seconds(1);
    v1::PauseResponse response;
    const CallOutcome outcome = observer_.admin().Pause(request, kActionMax, response);
    return outcome.ok() ? "paused; nothing is in use" : Displayable(outcome.message);
  }

  std::string Resume(const std::string& pool) {
    v1::ResumeRequest request;
    request.set_pool(pool);
    v1::ResumeResponse response;
    const CallOutcome outcome = observer_.admin().Resume(request, kActionMax, response);
    return outcome.ok() ? "resumed" : Displayable(outcome.message);
  }

  std::string Cancel(uint64_t id) {
    v1::CancelStatementRequest request;
    request.set_id(id);
    v1::CancelStatementResponse response;
    const CallOutcome outcome = observer_.admin().CancelStatement(request, kActionMax, response);
    if (!outcome.ok()) return Displayable(outcome.message);
    return fmt::format("the statement {} {}", id,
                       response.finished_first() ? "had ended of itself" : "is cancelled");
  }

  const TopOptions& options_;
  TopScreen& screen_;
  Observer observer_;
  TopView view_;
  std::string question_;
  std::function<std::string()> action_;  // What a yes to `question_` does; says what came of it.
  std::string answer_;
  std::string away_;  // Why the last look failed; empty = it did not.
};

int ShowOnce(const TopOptions& options) {
  Observer observer(options);
  CallOutcome outcome = observer.Look();
  if (outcome.ok()) {
    std::this_thread::sleep_for(options.interval);
    outcome = observer.Look();
  }
  if (!outcome.ok()) return ReportFailure(outcome, options.client);
  std::string text;
  for (const TopLine& line : FrameOf(observer.seen(), {})) {
    std::string plain = line.text;
    plain.erase(plain.find_last_not_of(' ') + 1);
    text += Concat(plain, "\n");
  }
  return Print(text);
}

}  // namespace

int RunTop(const std::vector<std::string>& arguments, const Environment& environment) {
  const absl::StatusOr<TopOptions> options = ReadTopOptions(arguments, environment);
  if (!options.ok()) return UsageError("top", options.status());
  if (options->client.help_wanted) return Print(kTopHelp);
  if (options->once) return ShowOnce(*options);
  std::unique_ptr<TopScreen> screen = TopScreen::Open();
  if (screen == nullptr) {
    std::cerr << "dbsidecar top: there is no terminal to draw on; --once prints one view\n";
    return kUsage;
  }
  const CallOutcome outcome = Top(*options, *screen).Run();
  screen.reset();  // Before anything is said.
  return outcome.ok() ? kOk : ReportFailure(outcome, options->client);
}

}  // namespace dbsidecar::server::cli
