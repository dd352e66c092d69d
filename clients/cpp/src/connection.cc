// The stream, its events and its frames. What happens to calls is in connection_calls.cc.
#include "clients/cpp/src/connection.h"

#include <algorithm>
#include <utility>

#include "clients/cpp/src/encoding.h"
#include "clients/cpp/src/failures.h"
#include "clients/cpp/src/reply.h"
#include "dbsidecar/v1/pipeline.pb.h"

namespace dbsidecar::internal {
namespace {

constexpr char kMethod[] = "/dbsidecar.v1.Sidecar/Pipeline";

enum Event : int {
  kStarted = 1,
  kRead,
  kWritten,
  kFinished,
  kReconnect,
  kExpiry,
  kClose,
};

// ThreadSanitizer does not see that gRPC's queue, which is not instrumented, orders what the
// writing thread did before what the queue's thread does with the same memory. The mutex tells it.
#if defined(__SANITIZE_THREAD__)
constexpr bool kLockedWrites = true;
#else
constexpr bool kLockedWrites = false;
#endif

void* Tag(Event event) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): gRPC's tags are pointers.
  return reinterpret_cast<void*>(static_cast<intptr_t>(event));
}

gpr_timespec After(Clock::duration delay) {
  const auto nanos = std::chrono::nanoseconds(delay).count();
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(nanos, GPR_TIMESPAN));
}

std::shared_ptr<grpc::Channel> NewChannel(const std::string& target, const ClientOptions& options) {
  grpc::ChannelArguments arguments;
  // Each connection has a socket of its own; how large a result may be is the sidecar's to say.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
                   static_cast<int>(options.backoff_min.count()));
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS,
                   static_cast<int>(options.backoff_max.count()));
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

// Set on the threads of connections, where blocking would block the reading of replies.
thread_local const Connection* this_threads_connection = nullptr;

}  // namespace

bool OnConnectionThread() { return this_threads_connection != nullptr; }
bool Connection::OnOwnThread() const { return this_threads_connection == this; }

struct Connection::Stream {
  grpc::ClientContext context;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> rpc;
  grpc::ByteBuffer incoming;
  grpc::Status status;
  bool opened = false;    // Frames could be written.
  bool answered = false;  // At least one frame has come.
  bool given_up = false;  // By this side.
  bool finished = false;
};

Connection::Connection(const std::string& target, const ClientOptions& options)
    : options_(options),
      channel_(NewChannel(target, options)),
      stub_(channel_),
      backoff_(options.backoff_min) {
  Connect();
  thread_ = std::thread([this] { Loop(); });
}

Connection::~Connection() {
  {
    std::unique_lock lock(mutex_);
    closing_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return waiting_for_change_ == 0; });
  }
  close_alarm_.Set(&events_, gpr_now(GPR_CLOCK_MONOTONIC), Tag(kClose));
  thread_.join();
}

bool Connection::WaitUntilConnected(Instant deadline) {
  std::unique_lock lock(mutex_);
  ++waiting_for_change_;
  changed_.wait_until(lock, deadline, [&] { return open_ || closing_; });
  --waiting_for_change_;
  changed_.notify_all();
  return open_;
}

// --- Events. ---

void Connection::Loop() {
  this_threads_connection = this;
  void* tag = nullptr;
  bool ok = false;
  while (events_.Next(&tag, &ok)) {
    OnEvent(static_cast<int>(reinterpret_cast<intptr_t>(tag)), ok);
    WriteIfIdle();
  }
}

void Connection::OnEvent(int event, bool ok) {
  switch (static_cast<Event>(event)) {
    case kStarted:
      return OnStarted(ok);
    case kRead:
      return OnRead(ok);
    case kWritten:
      return OnWritten();
    case kFinished:
      return OnFinished();
    case kReconnect:
      if (ok) Connect();
      return;
    case kExpiry:
      return OnExpiryAlarm();
    case kClose:
      return OnClose();
  }
}

void Connection::Connect() {
  const std::lock_guard lock(mutex_);
  if (closing_) return;
  stream_ = std::make_unique<Stream>();
  stream_->rpc = stub_.PrepareCall(&stream_->context, kMethod, &events_);
  stream_->rpc->StartCall(Tag(kStarted));
}

void Connection::OnStarted(bool ok) {
  const std::lock_guard lock(mutex_);
  Stream& stream = *stream_;
  if (!ok) {
    stream.rpc->Finish(&stream.status, Tag(kFinished));
    return;
  }
  stream.opened = true;
  open_ = !closing_;
  changed_.notify_all();
  stream.rpc->Read(&stream.incoming, Tag(kRead));
}

void Connection::OnRead(bool ok) {
  Stream& stream = *stream_;
  std::shared_ptr<ReplyFrame> frame;
  if (ok) {
    frame = std::make_shared<ReplyFrame>(stream.incoming.Length());
    if (!frame->Parse(stream.incoming)) {
      frame.reset();
      stream.context.TryCancel();
    }
  }
  ReadyList ready;
  {
    const std::lock_guard lock(mutex_);
    if (frame == nullptr) {
      open_ = false;
      stream.rpc->Finish(&stream.status, Tag(kFinished));
      return;
    }
    stream.answered = true;
    backoff_ = options_.backoff_min;
    ready.reserve(static_cast<size_t>(frame->message().replies_size()));
    for (const v1::Reply& reply : frame->message().replies()) {
      Call* call = Find(reply.id());
      if (call == nullptr || call->stage < CallStage::kSent) continue;
      --in_flight_;
      if (call->session != nullptr) SessionReply(*call, reply, ready);
      if (call->stage == CallStage::kSent) {
        Take(*call, ToOutcome(frame, reply), ready);
      }
      Free(*call);
    }
  }
  Deliver(ready);
  WriteIfIdle();
  stream.rpc->Read(&stream.incoming, Tag(kRead));
}

void Connection::OnWritten() {
  const std::lock_guard lock(mutex_);
  writing_ = false;
  FinishStream();
}

void Connection::OnFinished() {
  ReadyList ready;
  {
    const std::lock_guard lock(mutex_);
    stream_->finished = true;
    StreamBroke(ready);
    // A write that is still under way would keep the stream; its call is dead.
    stream_->context.TryCancel();
    FinishStream();
  }
  Deliver(ready);
}

void Connection::OnExpiryAlarm() {
  ReadyList ready;
  {
    const std::lock_guard lock(mutex_);
    expiry_alarm_set_ = false;
    expiry_at_ = Instant::max();
    if (closing_) return;
    Expire(Clock::now(), ready);
    const Instant next = NextExpiry();
    if (next != Instant::max()) NoteExpiry(next);
  }
  Deliver(ready);
}

void Connection::OnClose() {
  ReadyList ready;
  {
    const std::lock_guard lock(mutex_);
    open_ = false;
    for (Call& call : calls_) CloseCall(call, ready);
    queue_.clear();
    cancels_.clear();
    expiry_alarm_.Cancel();
    reconnect_alarm_.Cancel();
    if (stream_ != nullptr) {
      stream_->context.TryCancel();
    } else {
      events_.Shutdown();
    }
  }
  Deliver(ready);
}

// --- Frames. ---

void Connection::WriteIfIdle() {
  std::unique_lock lock(mutex_);
  Write(lock);
}

// Unlocks, if there is something to write.
void Connection::Write(std::unique_lock<std::mutex>& lock) {
  const bool something =
      (!queue_.empty() && in_flight_ < options_.in_flight_max) || !cancels_.empty();
  if (writing_ || !open_ || !something) return;
  auto* frame = new std::string(NextFrame());
  const grpc::Slice slice(
      frame->data(), frame->size(), [](void* owner) { delete static_cast<std::string*>(owner); },
      frame);
  // Until the write has ended, `writing_` keeps the stream alive.
  writing_ = true;
  Stream& stream = *stream_;
  if (!kLockedWrites) lock.unlock();
  stream.rpc->Write(grpc::ByteBuffer(&slice, 1), Tag(kWritten));
  if (kLockedWrites) lock.unlock();
}

std::string Connection::NextFrame() {
  std::string frame;
  const Instant now = Clock::now();
  while (!queue_.empty() && in_flight_ < options_.in_flight_max) {
    Call& call = *queue_.front();
    const size_t bytes = FrameBytes(call);
    if (!frame.empty() && frame.size() + bytes > options_.frame_bytes_max) break;
    queue_.pop_front();
    if (call.opens) call.session->stream = stream_number_;
    AppendCall(call, now, frame);
    call.stage = CallStage::kSent;
    ++in_flight_;
  }
  // After the calls: the sidecar knows no others.
  for (const uint64_t id : cancels_) AppendCancel(id, frame);
  cancels_.clear();
  return frame;
}

// --- The end of a stream. ---

// Lets go of a stream that nothing refers to any more.
void Connection::FinishStream() {
  if (stream_ == nullptr || !stream_->finished || writing_) return;
  stream_.reset();
  if (closing_) {
    events_.Shutdown();
  } else {
    ReconnectLater();
  }
}

void Connection::ReconnectLater() {
  std::uniform_real_distribution<double> share(0.5, 1.0);
  const auto pause = std::chrono::duration_cast<Clock::duration>(backoff_ * share(random_));
  backoff_ = std::min(backoff_ * 2, options_.backoff_max);
  reconnect_alarm_.Set(&events_, After(pause), Tag(kReconnect));
}

void Connection::StreamBroke(ReadyList& ready) {
  const grpc::Status& status = stream_->status;
  last_failure_ = stream_->given_up ? "the sidecar owed answers for too long"
                  : status.ok()     ? "the sidecar ended the stream"
                                    : status.error_message();
  // Not at every attempt that fails: calls wait for `connect_timeout` from the loss on.
  if (stream_->opened) down_since_ = Clock::now();
  open_ = false;
  ++stream_number_;
  cancels_.clear();
  // These are about the sidecar, not about the path to it: it has run nothing, and another stream
  // would end alike.
  const auto code = status.error_code();
  const bool hopeless = !stream_->answered && (code == grpc::StatusCode::UNIMPLEMENTED ||
                                               code == grpc::StatusCode::UNAUTHENTICATED ||
                                               code == grpc::StatusCode::PERMISSION_DENIED);
  if (hopeless) {
    RefuseAll(MakeFailure(static_cast<StatusCode>(code), "UNSUPPORTED",
                          "the sidecar refuses the Pipeline stream: " + last_failure_),
              ready);
  }
  for (Call& call : calls_) {
    if (call.stage == CallStage::kSent || call.stage == CallStage::kAbandoned) {
      SentCallBroke(call, ready);
    }
  }
  const std::deque<Call*> queued = queue_;
  for (Call* call : queued) QueuedCallBroke(*call, ready);
  if (!queue_.empty()) NoteExpiry(NextExpiry());
}

// Its end will be reported like any other.
void Connection::CancelStream() {
  stream_->given_up = true;
  stream_->context.TryCancel();
}

// --- The alarm. ---

void Connection::NoteExpiry(Instant at) {
  if (at >= expiry_at_ || closing_) return;
  expiry_at_ = at;
  if (expiry_alarm_set_) {
    expiry_alarm_.Cancel();  // Its event looks for the next expiry.
    return;
  }
  expiry_alarm_set_ = true;
  expiry_alarm_.Set(&events_, After(at - Clock::now()), Tag(kExpiry));
}

}  // namespace dbsidecar::internal
