// One Pipeline stream to a sidecar, kept open, with all the calls on it.
//
// The mutex guards everything; it is never held while gRPC writes or a caller's code runs. Frames
// are written by whoever finds a call to send and no write under way: the thread that made the
// call, or the connection's own thread when a write has ended or replies have been handed out. That
// is all the coalescing there is: what is made meanwhile waits in `queue_`.
//
// A record of a call is used again when its reply has come. Its id holds its place and how often it
// was used, so that whatever comes late finds nothing.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "clients/cpp/src/call.h"
#include "dbsidecar/client.h"

namespace dbsidecar::v1 {
class Reply;
}

namespace dbsidecar::internal {

// Whether this thread belongs to a connection: blocking it would block the reading of replies.
bool OnConnectionThread();

class Connection {
 public:
  // Begins to connect. `options` is borrowed.
  Connection(const std::string& target, const ClientOptions& options);
  // Answers all calls. REQUIRES: not called from a callback.
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // A statement, in `session` unless that is null.
  Outcome Run(const Statement& statement, const std::shared_ptr<SessionState>& session);
  std::future<Result> Start(const Statement& statement,
                            const std::shared_ptr<SessionState>& session);
  void Start(const Statement& statement, const std::shared_ptr<SessionState>& session,
             Callback then);

  // The end of a session. It is not refused for want of room: a session must not outlive its owner.
  Outcome RunEnd(const std::shared_ptr<SessionState>& session, v1::SessionEnd end);
  void StartEnd(const std::shared_ptr<SessionState>& session, v1::SessionEnd end,
                Completion completion);

  // Of a call that is unanswered; otherwise nothing happens.
  void Cancel(uint64_t id);

  bool WaitUntilConnected(Instant deadline);

 private:
  struct Stream;
  // An answer that is to be delivered once the mutex is free.
  struct Ready {
    Completion completion;
    Outcome outcome;
    std::unique_ptr<StopCallback> stop;
  };
  using ReadyList = std::vector<Ready>;

  // --- Making calls; any thread. ---
  Outcome RunDraft(Draft& draft);
  bool Prepare(const Statement& statement, const std::shared_ptr<SessionState>& session,
               Draft& draft, Completion& completion);
  Draft EndDraft(const std::shared_ptr<SessionState>& session, v1::SessionEnd end);
  // Returns the call's id; 0 = it was answered at once.
  uint64_t Submit(Draft& draft, Completion completion, bool wait_for_room);
  void CancelWhenStopped(uint64_t id, const std::stop_token& stop);
  bool OnOwnThread() const;
  // By the thread that waits for the answer.
  void ExpireNow(uint64_t id);

  // --- The connection's own thread. ---
  void Loop();
  void OnEvent(int event, bool ok);
  void Connect();
  void OnStarted(bool ok);
  void OnRead(bool ok);
  void OnWritten();
  void OnFinished();
  void OnExpiryAlarm();
  void OnClose();
  void WriteIfIdle();

  // --- REQUIRES: the mutex is held. ---
  std::optional<Failure> WaitForRoom(std::unique_lock<std::mutex>& lock, const Draft& draft,
                                     bool wait_for_room);
  Call& NewCall(Draft& draft, Completion completion);
  Call* Find(uint64_t id);
  void Free(Call& call);
  void Take(Call& call, Outcome outcome, ReadyList& ready);
  void TakeUnsent(Call& call, Failure failure, ReadyList& ready);

  void Place(Call& call, ReadyList& ready);
  void Queue(Call& call);
  void AnswerWithoutSession(Call& call, ReadyList& ready);
  void SessionReply(Call& call, const v1::Reply& reply, ReadyList& ready);
  void EndSession(SessionState& session, SessionFate fate, ReadyList& ready);

  void Write(std::unique_lock<std::mutex>& lock);
  std::string NextFrame();

  void Expire(Instant now, ReadyList& ready);
  void ExpireCall(Call& call, ReadyList& ready);
  Instant NextExpiry() const;
  Instant ExpiryOf(const Call& call) const;
  void NoteExpiry(Instant at);

  void StreamBroke(ReadyList& ready);
  void RefuseAll(const Failure& failure, ReadyList& ready);
  void SentCallBroke(Call& call, ReadyList& ready);
  void QueuedCallBroke(Call& call, ReadyList& ready);
  void FinishStream();
  void CancelStream();
  void ReconnectLater();
  void CloseCall(Call& call, ReadyList& ready);

  static void Deliver(ReadyList& ready);

  const ClientOptions& options_;
  grpc::CompletionQueue events_;
  std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;

  std::mutex mutex_;
  std::condition_variable changed_;  // Room, or a stream.
  int waiting_for_change_ = 0;
  bool closing_ = false;

  std::deque<Call> calls_;  // Records, used and free.
  std::vector<size_t> free_;
  size_t unanswered_ = 0;  // Records in use.
  size_t in_flight_ = 0;   // Of those: sent or abandoned.
  std::deque<Call*> queue_;
  std::vector<uint64_t> cancels_;  // Ids to be cancelled with the next frame.

  std::unique_ptr<Stream> stream_;
  uint64_t stream_number_ = 1;  // Of the present stream, or of the next.
  bool open_ = false;           // Frames may be written.
  bool writing_ = false;
  Instant down_since_ = Clock::now();
  std::string last_failure_ = "not connected yet";
  std::chrono::milliseconds backoff_;
  std::mt19937_64 random_{std::random_device{}()};
  grpc::Alarm reconnect_alarm_;

  grpc::Alarm expiry_alarm_;
  bool expiry_alarm_set_ = false;
  Instant expiry_at_ = Instant::max();  // No call expires before.
  grpc::Alarm close_alarm_;

  std::thread thread_;
};

}  // namespace dbsidecar::internal
