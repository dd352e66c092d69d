// What happens to calls: how they are made, where they wait, and who answers them. The stream is in
// connection.cc.
#include <algorithm>
#include <utility>

#include "clients/cpp/src/connection.h"
#include "clients/cpp/src/encoding.h"
#include "clients/cpp/src/failures.h"
#include "clients/cpp/src/reply.h"
#include "dbsidecar/v1/pipeline.pb.h"

namespace dbsidecar::internal {
namespace {

// A call's id: how often its record was used, and its place, from 1.
constexpr int kPlaceBits = 20;
constexpr uint64_t kPlaceMask = (uint64_t{1} << kPlaceBits) - 1;

// A sidecar that owes an answer so long after its deadline does not keep its promises: its stream
// is given up.
constexpr std::chrono::seconds kOverdueMax{5};
constexpr std::chrono::hours kTimeoutMax{24 * 365};

// A record keeps its memory for its next call, up to this much.
constexpr size_t kKeptBytesMax = 16 * 1024;

std::string Milliseconds(Clock::duration duration) {
  return std::to_string(duration / std::chrono::milliseconds(1)) + " ms";
}

bool MayBeSentAgain(const Call& call) {
  return (call.read_only || call.idempotent) && !call.sent_before && call.session == nullptr;
}

Failure Lost(const std::string& why) {
  return MakeFailure(StatusCode::kNotFound, "SESSION_NOT_FOUND",
                     "the transaction or session is gone and was rolled back: " + why);
}

Failure Gone(SessionFate fate, const std::string& why) {
  switch (fate) {
    case SessionFate::kLost:
      return Lost(why);
    case SessionFate::kRefused:
      return MakeFailure(
          StatusCode::kFailedPrecondition, "TRANSACTION_FAILED",
          "the first statement of the transaction or session failed, which ended it; "
          "this one was not sent");
    case SessionFate::kEnded:
      break;
  }
  return WrongUse("the transaction or session has ended; begin another");
}

}  // namespace

void CancelOnStop::operator()() const { connection->Cancel(id); }

// --- Making calls. ---

Outcome Connection::Run(const Statement& statement, const std::shared_ptr<SessionState>& session) {
  if (OnConnectionThread()) {
    return WrongUse(
        "a blocking call in a callback: no reply could be read meanwhile; use QueryAsync or "
        "QueryThen");
  }
  Draft draft;
  Waiter waiter;
  Completion completion(waiter);
  if (!Prepare(statement, session, draft, completion)) return waiter.Take();
  const Instant deadline = draft.deadline;
  const std::stop_token stop = draft.stop;
  const uint64_t id = Submit(draft, std::move(completion), true);
  CancelWhenStopped(id, stop);
  // Not even a callback that blocks the connection's thread may hold the answer back.
  if (!waiter.WaitUntil(deadline)) ExpireNow(id);
  return waiter.Take();
}

std::future<Result> Connection::Start(const Statement& statement,
                                      const std::shared_ptr<SessionState>& session) {
  std::promise<Result> promise;
  std::future<Result> future = promise.get_future();
  Draft draft;
  Completion completion(std::move(promise));
  if (Prepare(statement, session, draft, completion)) {
    const std::stop_token stop = draft.stop;
    CancelWhenStopped(Submit(draft, std::move(completion), false), stop);
  }
  return future;
}

void Connection::Start(const Statement& statement, const std::shared_ptr<SessionState>& session,
                       Callback then) {
  Draft draft;
  Completion completion(std::move(then));
  if (!Prepare(statement, session, draft, completion)) return;
  const std::stop_token stop = draft.stop;
  CancelWhenStopped(Submit(draft, std::move(completion), false), stop);
}

// False: it cannot be sent, and has been answered.
bool Connection::Prepare(const Statement& statement, const std::shared_ptr<SessionState>& session,
                         Draft& draft, Completion& completion) {
  // Its memory is used again and again: a call's record takes it and leaves its own.
  thread_local std::string body;
  const CallOptions& options = statement.options;
  std::optional<Failure> failure = EncodeStatement(statement, options_, body);
  if (!failure.has_value() && options.stop.stop_requested()) {
    failure = MakeFailure(StatusCode::kCancelled, "CANCELLED",
                          "cancelled before it was made; nothing was sent");
  }
  if (failure.has_value()) {
    completion.Deliver(std::move(*failure));
    return false;
  }
  draft.body = &body;
  draft.session = session;
  draft.commit = statement.commit;
  draft.read_only = options.read_only;
  draft.idempotent = options.idempotent;
  draft.made = Clock::now();
  draft.deadline =
      draft.made +
      std::min<Clock::duration>(options.timeout.count() > 0 ? options.timeout : options_.timeout,
                                kTimeoutMax);
  draft.stop = options.stop;
  return true;
}

Draft Connection::EndDraft(const std::shared_ptr<SessionState>& session, v1::SessionEnd end) {
  Draft draft;
  draft.session = session;
  draft.end = end;
  draft.made = Clock::now();
  draft.deadline = draft.made + std::min<Clock::duration>(options_.timeout, kTimeoutMax);
  return draft;
}

Outcome Connection::RunEnd(const std::shared_ptr<SessionState>& session, v1::SessionEnd end) {
  if (OnConnectionThread()) return WrongUse("a blocking call in a callback");
  Draft draft = EndDraft(session, end);
  const Instant deadline = draft.deadline;
  Waiter waiter;
  const uint64_t id = Submit(draft, Completion(waiter), true);
  if (!waiter.WaitUntil(deadline)) ExpireNow(id);
  return waiter.Take();
}

void Connection::StartEnd(const std::shared_ptr<SessionState>& session, v1::SessionEnd end,
                          Completion completion) {
  Draft draft = EndDraft(session, end);
  Submit(draft, std::move(completion), false);
}

uint64_t Connection::Submit(Draft& draft, Completion completion, bool wait_for_room) {
  ReadyList ready;
  uint64_t id = 0;
  {
    std::unique_lock lock(mutex_);
    if (std::optional<Failure> failure = WaitForRoom(lock, draft, wait_for_room)) {
      lock.unlock();
      completion.Deliver(std::move(*failure));
      return 0;
    }
    Call& call = NewCall(draft, std::move(completion));
    id = call.id;
    Place(call, ready);
    // On its own thread, whatever else callbacks will add comes first; then Loop() writes.
    if (!OnOwnThread()) Write(lock);
  }
  Deliver(ready);
  return id;
}

std::optional<Failure> Connection::WaitForRoom(std::unique_lock<std::mutex>& lock,
                                               const Draft& draft, bool wait_for_room) {
  const auto has_room = [&] {
    return unanswered_ < options_.calls_max || draft.end != v1::SESSION_END_UNSPECIFIED;
  };
  bool waited_in_vain = false;
  if (wait_for_room && !has_room() && !closing_) {
    ++waiting_for_change_;
    waited_in_vain =
        !changed_.wait_until(lock, draft.deadline, [&] { return has_room() || closing_; });
    --waiting_for_change_;
    if (closing_) changed_.notify_all();
  }
  if (closing_) {
    return MakeFailure(StatusCode::kCancelled, "CANCELLED",
                       "the client is being destroyed; nothing was sent");
  }
  if (waited_in_vain) {
    return MakeFailure(StatusCode::kDeadlineExceeded, "DEADLINE",
                       "no room among " + std::to_string(options_.calls_max) +
                           " unanswered calls before the deadline; nothing was sent");
  }
  if (!has_room()) {
    return MakeFailure(StatusCode::kResourceExhausted, "QUEUE_FULL",
                       std::to_string(unanswered_) +
                           " calls are unanswered, the limit of this client; nothing was sent");
  }
  return std::nullopt;
}

void Connection::CancelWhenStopped(uint64_t id, const std::stop_token& stop) {
  if (id == 0 || !stop.stop_possible()) return;
  // Not under the mutex: when the stop has been requested already, it cancels at once.
  auto callback = std::make_unique<StopCallback>(stop, CancelOnStop{this, id});
  const std::lock_guard lock(mutex_);
  Call* call = Find(id);
  // Otherwise it has been answered; the lock is released before the callback is destroyed.
  if (call != nullptr && call->stage != CallStage::kAbandoned) call->stop = std::move(callback);
}

void Connection::Cancel(uint64_t id) {
  ReadyList ready;
  {
    std::unique_lock lock(mutex_);
    Call* call = Find(id);
    if (call == nullptr || call->stage == CallStage::kAbandoned) return;
    if (call->stage != CallStage::kSent) {
      TakeUnsent(*call,
                 MakeFailure(StatusCode::kCancelled, "CANCELLED", "cancelled; nothing was sent"),
                 ready);
    } else if (!call->cancelled) {
      call->cancelled = true;
      cancels_.push_back(id);
      if (!OnOwnThread()) Write(lock);
    }
  }
  Deliver(ready);
}

// --- Records. ---

Call& Connection::NewCall(Draft& draft, Completion completion) {
  if (free_.empty()) {
    free_.push_back(calls_.size());
    calls_.emplace_back();
    calls_.back().id = calls_.size();
  }
  Call& call = calls_[free_.back()];
  free_.pop_back();
  ++unanswered_;
  call.id += uint64_t{1} << kPlaceBits;
  if (draft.body != nullptr) call.body.swap(*draft.body);
  call.session = std::move(draft.session);
  call.end = draft.end;
  call.opens = false;
  call.commit = draft.commit;
  call.read_only = draft.read_only;
  call.idempotent = draft.idempotent;
  call.sent_before = false;
  call.cancelled = false;
  call.made = draft.made;
  call.deadline = draft.deadline;
  call.completion = std::move(completion);
  return call;
}

Call* Connection::Find(uint64_t id) {
  const uint64_t place = id & kPlaceMask;
  if (place == 0 || place > calls_.size()) return nullptr;
  Call& call = calls_[place - 1];
  return call.id == id && call.stage != CallStage::kFree ? &call : nullptr;
}

void Connection::Free(Call& call) {
  call.stage = CallStage::kFree;
  call.session.reset();
  if (call.body.capacity() > kKeptBytesMax) call.body = {};
  free_.push_back((call.id & kPlaceMask) - 1);
  --unanswered_;
  if (waiting_for_change_ > 0) changed_.notify_all();
}

void Connection::Take(Call& call, Outcome outcome, ReadyList& ready) {
  ready.push_back({std::move(call.completion), std::move(outcome), std::move(call.stop)});
}

// Answers a call that has not been sent, and forgets it.
void Connection::TakeUnsent(Call& call, Failure failure, ReadyList& ready) {
  if (call.stage == CallStage::kQueued) std::erase(queue_, &call);
  if (call.stage == CallStage::kHeld) std::erase(call.session->held, &call);
  const std::shared_ptr<SessionState> opened = call.opens ? call.session : nullptr;
  Take(call, std::move(failure), ready);
  Free(call);
  if (opened != nullptr) EndSession(*opened, SessionFate::kRefused, ready);
}

void Connection::Deliver(ReadyList& ready) {
  for (Ready& answer : ready) {
    answer.stop.reset();
    answer.completion.Deliver(std::move(answer.outcome));
  }
}

// --- Sessions. ---

// Puts a new call where it has to wait.
void Connection::Place(Call& call, ReadyList& ready) {
  if (call.session == nullptr) return Queue(call);
  SessionState& session = *call.session;
  const bool opened = session.stage == SessionStage::kOpen;
  if (opened && session.stream != stream_number_) EndSession(session, SessionFate::kLost, ready);
  if (session.ending || session.stage == SessionStage::kGone ||
      (session.stage == SessionStage::kUnopened && call.ends_session())) {
    AnswerWithoutSession(call, ready);
    return;
  }
  session.ending = call.ends_session();
  switch (session.stage) {
    case SessionStage::kUnopened:
      call.opens = true;
      session.stage = SessionStage::kOpening;
      return Queue(call);
    case SessionStage::kOpening:
      call.stage = CallStage::kHeld;
      session.held.push_back(&call);
      return NoteExpiry(call.deadline);
    case SessionStage::kOpen:
      return Queue(call);
    case SessionStage::kGone:
      break;
  }
}

// A call of a session that is not there: not yet, or not any more.
void Connection::AnswerWithoutSession(Call& call, ReadyList& ready) {
  SessionState& session = *call.session;
  const bool unopened = session.stage == SessionStage::kUnopened;
  if (unopened) session.stage = SessionStage::kGone;
  if (call.ends_session() && (unopened || call.end != v1::SESSION_END_COMMIT)) {
    Take(call, Result(), ready);  // There is nothing to end.
  } else {
    Take(call, Gone(session.fate, session.why), ready);
  }
  Free(call);
}

void Connection::Queue(Call& call) {
  call.stage = CallStage::kQueued;
  queue_.push_back(&call);
  NoteExpiry(ExpiryOf(call));
}

void Connection::SessionReply(Call& call, const v1::Reply& reply, ReadyList& ready) {
  SessionState& session = *call.session;
  if (reply.has_response()) {
    session.token = reply.response().session();
    if (session.token.empty()) return EndSession(session, SessionFate::kEnded, ready);
    if (session.stage != SessionStage::kOpening) return;
    session.stage = SessionStage::kOpen;
    for (Call* held : std::exchange(session.held, {})) Queue(*held);
  } else if (reply.has_error()) {
    const bool gone = call.opens || reply.error().reason() == "SESSION_NOT_FOUND";
    const bool released = call.end == v1::SESSION_END_RELEASE;
    const SessionFate fate = call.opens ? SessionFate::kRefused
                             : gone     ? SessionFate::kLost
                                        : SessionFate::kEnded;
    if (gone) session.why = "the sidecar ended it";
    if (gone || (call.ends_session() && !released)) return EndSession(session, fate, ready);
    if (released) session.ending = false;
  } else {
    EndSession(session, SessionFate::kEnded, ready);
  }
}

// No call of it will be sent any more.
void Connection::EndSession(SessionState& session, SessionFate fate, ReadyList& ready) {
  if (session.stage == SessionStage::kGone) return;
  session.stage = SessionStage::kGone;
  session.fate = fate;
  if (session.why.empty()) session.why = last_failure_;
  for (Call* held : std::exchange(session.held, {})) AnswerWithoutSession(*held, ready);
}

// --- Time. ---

Instant Connection::ExpiryOf(const Call& call) const {
  if (call.stage == CallStage::kAbandoned) return call.deadline + kOverdueMax;
  if (call.stage == CallStage::kQueued && !open_) {
    return std::min(call.deadline, std::max(call.made, down_since_) + options_.connect_timeout);
  }
  return call.deadline;
}

Instant Connection::NextExpiry() const {
  Instant next = Instant::max();
  for (const Call& call : calls_) {
    if (call.stage != CallStage::kFree) next = std::min(next, ExpiryOf(call));
  }
  return next;
}

void Connection::Expire(Instant now, ReadyList& ready) {
  for (Call& call : calls_) {
    if (call.stage != CallStage::kFree && ExpiryOf(call) <= now) ExpireCall(call, ready);
  }
}

void Connection::ExpireCall(Call& call, ReadyList& ready) {
  const std::string age = Milliseconds(Clock::now() - call.made);
  const bool timed_out = call.deadline <= Clock::now();
  switch (call.stage) {
    case CallStage::kFree:
      return;
    case CallStage::kHeld:
      return TakeUnsent(call,
                        MakeFailure(StatusCode::kDeadlineExceeded, "DEADLINE",
                                    "the session's first statement had no answer within " + age +
                                        "; this one was not sent"),
                        ready);
    case CallStage::kQueued:
      return TakeUnsent(
          call,
          open_
              ? MakeFailure(StatusCode::kDeadlineExceeded, "DEADLINE",
                            "not sent within " + age + ": " + std::to_string(in_flight_) +
                                " calls are in flight, " + std::to_string(queue_.size()) + " wait")
              : MakeFailure(timed_out ? StatusCode::kDeadlineExceeded : StatusCode::kUnavailable,
                            timed_out ? "DEADLINE" : "NO_CONNECTION",
                            "no connection to the sidecar for " + age +
                                "; nothing was sent: " + last_failure_),
          ready);
    case CallStage::kSent: {
      const std::string message = "the sidecar has not answered within " + age;
      Take(call,
           call.read_only ? MakeFailure(StatusCode::kDeadlineExceeded, "DEADLINE", message)
                          : FateUnknown(StatusCode::kDeadlineExceeded,
                                        message + "; the statement may have taken effect"),
           ready);
      call.stage = CallStage::kAbandoned;
      if (!call.cancelled && !call.ends_session()) cancels_.push_back(call.id);
      call.cancelled = true;
      return;
    }
    case CallStage::kAbandoned:
      call.deadline = Instant::max() - kOverdueMax;  // Once is enough.
      if (open_) CancelStream();
      return;
  }
}

void Connection::ExpireNow(uint64_t id) {
  ReadyList ready;
  {
    std::unique_lock lock(mutex_);
    Call* call = Find(id);
    if (call == nullptr || call->stage == CallStage::kAbandoned) return;
    ExpireCall(*call, ready);
    NoteExpiry(NextExpiry());
    Write(lock);
  }
  Deliver(ready);
}

// --- Broken streams. ---

// Nothing has been run, and nothing will be.
void Connection::RefuseAll(const Failure& failure, ReadyList& ready) {
  const std::deque<Call*> queued = queue_;
  for (Call* call : queued) TakeUnsent(*call, failure, ready);
  for (Call& call : calls_) {
    if (call.stage != CallStage::kSent) continue;
    Take(call, failure, ready);
    call.stage = CallStage::kAbandoned;
  }
}

void Connection::SentCallBroke(Call& call, ReadyList& ready) {
  --in_flight_;
  if (call.stage == CallStage::kAbandoned) {
    if (call.session != nullptr) EndSession(*call.session, SessionFate::kLost, ready);
    return Free(call);
  }
  if (MayBeSentAgain(call) && !closing_) {
    call.sent_before = true;
    call.cancelled = false;
    return Queue(call);
  }
  const std::shared_ptr<SessionState> session = call.session;
  if (session != nullptr) EndSession(*session, SessionFate::kLost, ready);
  const bool rolled_back =
      session != nullptr && session->transaction && !call.commit && !call.ends_session();
  if (call.ends_session() && call.end != v1::SESSION_END_COMMIT) {
    Take(call, Result(), ready);  // The session ended with its stream, rolled back.
  } else if (rolled_back || (session != nullptr && call.read_only)) {
    Take(call, Lost(last_failure_), ready);
  } else if (call.read_only) {
    Take(call,
         MakeFailure(
             StatusCode::kUnavailable, "CONNECTION_LOST",
             "the connection to the sidecar broke twice under a statement that only reads: " +
                 last_failure_),
         ready);
  } else {
    Take(
        call,
        FateUnknown(StatusCode::kUnknown,
                    "the connection to the sidecar broke after the statement was sent; it may have "
                    "taken effect: " +
                        last_failure_),
        ready);
  }
  Free(call);
}

// Unsent calls go on, but not those of a session that went with the stream.
void Connection::QueuedCallBroke(Call& call, ReadyList& ready) {
  if (call.session == nullptr || call.opens) return;
  std::erase(queue_, &call);
  EndSession(*call.session, SessionFate::kLost, ready);
  AnswerWithoutSession(call, ready);
}

void Connection::CloseCall(Call& call, ReadyList& ready) {
  const bool sent = call.stage == CallStage::kSent;
  if (call.stage == CallStage::kFree || call.stage == CallStage::kAbandoned) return;
  if (sent && !call.read_only && !call.ends_session()) {
    Take(call,
         FateUnknown(StatusCode::kCancelled,
                     "the client was destroyed after the statement was sent; it may have taken "
                     "effect"),
         ready);
  } else {
    Take(call, MakeFailure(StatusCode::kCancelled, "CANCELLED", "the client was destroyed"), ready);
  }
  // Records of calls that were sent are let go when the stream has ended.
  if (sent) {
    call.stage = CallStage::kAbandoned;
  } else {
    Free(call);
  }
}

}  // namespace dbsidecar::internal
