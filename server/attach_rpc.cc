#include "server/attach_rpc.h"

#include <grpcpp/alarm.h>

#include <algorithm>
#include <string>
#include <utility>

#include "pool/session.h"
#include "server/event_stream.h"
#include "server/grpc_status.h"
#include "server/log.h"
#include "server/process_figures.h"
#include "server/request_parser.h"

namespace dbsidecar::server {
namespace {

// How many streams wait to be accepted on a queue.
constexpr int kAcceptors = 4;
constexpr pool::Duration kHeartbeat = std::chrono::seconds(5);
constexpr pool::Duration kHeartbeatMin = std::chrono::seconds(1);
constexpr pool::Duration kHeartbeatMax = std::chrono::hours(1);
// Events that wait for a client that does not read.
constexpr size_t kEventsMax = 1000;

pool::Error Draining() {
  return pool::OwnError(pool::ErrorKind::kDraining, "the sidecar is stopping");
}

}  // namespace

// Its steps, the alarm's too, run on its queue's thread; the pool calls it on the loop's.
class AttachStream final : public EventStream, public pool::AttachedClient {
 public:
  AttachStream(RpcContext& context, AttachRpc& attach, grpc::ServerCompletionQueue& on)
      : EventStream(context, on, Rpc::kAttach), attach_(attach) {
    rpc().service().RequestAttach(&context_, &request_, &writer_, &queue(), &queue(),
                                  accepted_.Tag());
  }

  // --- Loop thread. ---

  void OnAttached() {
    v1::AttachResponse event;
    event.mutable_attached()->set_client_id(client_id);
    SetDuration(heartbeat_, *event.mutable_attached()->mutable_heartbeat_interval());
    event.mutable_attached()->set_version(DBSIDECAR_VERSION);
    Tell(event);
    attached_.store(true);
  }

  // AttachedClient.
  void OnSessionRevoked(const std::string& token, std::string_view reason) override {
    v1::AttachResponse event;
    event.mutable_session_revoked()->set_session(token);
    event.mutable_session_revoked()->set_reason(std::string(reason));
    Tell(event);
  }

  // --- Any thread. ---

  void Tell(const v1::AttachResponse& event) {
    if (waiting() >= kEventsMax) {
      Discard();
      Finish(ToGrpcStatus(pool::OwnError(pool::ErrorKind::kSubscriberDropped,
                                         "the client does not read its Attach stream")));
    } else if (Append(EncodeEvent(event))) {
      Write();
    }
  }

 private:
  void AcceptAnother() override { new AttachStream(rpc(), attach_, queue()); }

  void Begin(grpc::ByteBuffer& bytes) override {
    v1::AttachRequest request;
    if (!grpc::SerializationTraits<v1::AttachRequest>::Deserialize(&bytes, &request).ok()) {
      Refuse(pool::ErrorKind::kInvalidArgument,
             "the request is not an AttachRequest: it is not Protobuf, or one of its text fields "
             "is not valid UTF-8");
    } else if (!IsTimeLimit(request.heartbeat_interval())) {
      Refuse(pool::ErrorKind::kInvalidArgument,
             "`heartbeat_interval` must be between 0 and 10 years");
    } else if (!attach_.Add(*this)) {
      Finish(ToGrpcStatus(Draining()));
    } else {
      Attach(request);
    }
  }

  void Refuse(pool::ErrorKind kind, std::string why) {
    Finish(ToGrpcStatus(pool::OwnError(kind, std::move(why))));
  }

  void Attach(const v1::AttachRequest& request) {
    client_name = request.client_name();
    if (request.has_heartbeat_interval()) {
      heartbeat_ =
          std::clamp(ToDuration(request.heartbeat_interval()), kHeartbeatMin, kHeartbeatMax);
    }
    client_id = pool::NewSessionToken();
    Log(LogLevel::kInfo, "client.attached", {{"name", client_name}});
    pooled_ = true;
    Hold();
    rpc().pools().Attach(*this, [this] { OnAttached(); });
    SetAlarm();
  }

  void Ended() override {
    if (!pooled_) return;
    Log(LogLevel::kInfo, "client.left", {{"name", client_name}});
    over_already_ = true;
    alarm_.Cancel();
    attach_.Remove(*this);
    rpc().pools().Detach(*this, [this] { Release(); });
  }

  void SetAlarm() {
    Hold();
    alarm_.Set(&queue(), std::chrono::system_clock::now() + heartbeat_, beat_.Tag());
  }

  void OnBeat(bool /*ok*/) {
    if (!over_already_) {
      // One that is still on its way, or what waits behind it, is sign enough.
      if (attached_.load() && waiting() == 0) Beat();
      SetAlarm();
    }
    Release();
  }

  void Beat() {
    v1::AttachResponse event;
    SetTimestamp(std::chrono::system_clock::now(), *event.mutable_heartbeat()->mutable_time());
    Tell(event);
  }

  AttachRpc& attach_;
  pool::Duration heartbeat_ = kHeartbeat;
  grpc::Alarm alarm_;
  bool pooled_ = false;
  bool over_already_ = false;
  std::atomic<bool> attached_{false};
  StepOf<AttachStream> beat_{*this, &AttachStream::OnBeat};
};

void AttachRpc::Accept(CompletionQueues& queues) {
  queues.ForEach(kAcceptors, [this](grpc::ServerCompletionQueue& queue) {
    new AttachStream(rpc_, *this, queue);
  });
}

bool AttachRpc::Add(AttachStream& stream) {
  const std::lock_guard lock(mutex_);
  return !draining_ && streams_.insert(&stream).second;
}

void AttachRpc::Remove(AttachStream& stream) {
  const std::lock_guard lock(mutex_);
  streams_.erase(&stream);
}

void AttachRpc::Drain(pool::Duration remaining) {
  v1::AttachResponse event;
  SetDuration(remaining, *event.mutable_draining()->mutable_remaining());
  const std::lock_guard lock(mutex_);
  draining_ = true;
  for (AttachStream* stream : streams_) stream->Tell(event);
}

void AttachRpc::End() {
  const std::lock_guard lock(mutex_);
  for (AttachStream* stream : streams_) stream->Finish(ToGrpcStatus(Draining()));
}

}  // namespace dbsidecar::server
