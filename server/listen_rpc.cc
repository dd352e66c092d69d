#include "server/listen_rpc.h"

#include <utility>

#include "server/grpc_status.h"
#include "server/listen_messages.h"

namespace dbsidecar::server {
namespace {

// How many streams wait to be accepted on a queue.
constexpr int kAcceptors = 16;

class ListenStream final : public EventStream, public pool::Subscriber {
 public:
  ListenStream(RpcContext& context, ListenRpc& listen, grpc::ServerCompletionQueue& on)
      : EventStream(context, on, Rpc::kListen), listen_(listen) {
    rpc().service().RequestListen(&context_, &request_, &writer_, &queue(), &queue(),
                                  accepted_.Tag());
  }

  // --- Subscriber; loop thread. ---

  void OnListening() override { Tell(EncodeEvent(ListeningEvent(channels))); }
  void OnNotification(const pool::Notification& notification) override {
    Tell(listen_.Encoded(pool_name, notification));
  }
  void OnGap(const pool::NotificationGap& gap) override {
    if (waiting() < listen_.buffer_max()) {
      Tell(EncodeEvent(GapEvent(gap)));
      return;
    }
    // Gaps, too, are not buffered without a limit.
    OnEnded(pool::OwnError(pool::ErrorKind::kSubscriberDropped,
                           "the subscriber does not read, and its buffer is full (listen-buffer)"));
    rpc().pools().Unsubscribe(id);
  }
  void OnEnded(const pool::Error& error) override {
    if (error.kind == pool::ErrorKind::kSubscriberDropped) {
      const size_t discarded = Discard();
      Append(EncodeEvent(DroppedEvent(discarded, listen_.buffer_max())));
    }
    Finish(ToGrpcStatus(error));
  }
  void Done() override { Release(); }
  size_t Backlog() const override { return waiting(); }

 private:
  void AcceptAnother() override { new ListenStream(rpc(), listen_, queue()); }

  void Begin(grpc::ByteBuffer& bytes) override {
    v1::ListenRequest request;
    if (!grpc::SerializationTraits<v1::ListenRequest>::Deserialize(&bytes, &request).ok()) {
      Finish(ToGrpcStatus(pool::OwnError(
          pool::ErrorKind::kInvalidArgument,
          "the request is not a ListenRequest: it is not Protobuf, or one of its text fields is "
          "not valid UTF-8")));
      return;
    }
    if (const std::optional<pool::Error> refusal = CheckListen(request)) {
      Finish(ToGrpcStatus(*refusal));
      return;
    }
    id = rpc().pools().NextCallId();
    pool_name = request.pool();
    channels = ChannelsOf(request);
    subscribed_ = true;
    Hold();
    rpc().pools().Subscribe(*this);
  }

  void Ended() override {
    if (subscribed_) rpc().pools().Unsubscribe(id);
  }

  void Taken(size_t left) override {
    if (left == listen_.buffer_max() / 2) rpc().pools().SubscriberCaughtUp();
  }

  void Tell(grpc::Slice event) {
    if (Append(std::move(event))) listen_.WriteSoon(*this);
  }

  ListenRpc& listen_;
  bool subscribed_ = false;  // Queue thread.
};

}  // namespace

void ListenRpc::Accept(CompletionQueues& queues) {
  queues.ForEach(kAcceptors, [this](grpc::ServerCompletionQueue& queue) {
    new ListenStream(rpc_, *this, queue);
  });
}

const grpc::Slice& ListenRpc::Encoded(const std::string& pool,
                                      const pool::Notification& notification) {
  if (encoded_number_ != notification.number || encoded_pool_ != pool) {
    encoded_ = EncodeEvent(NotificationEvent(notification));
    encoded_pool_ = pool;
    encoded_number_ = notification.number;
  }
  return encoded_;
}

void ListenRpc::WriteSoon(EventStream& stream) {
  if (to_write_.empty()) rpc_.pools().AtTurnEnd(*this);
  stream.Hold();
  to_write_.push_back(&stream);
}

void ListenRpc::OnTurnEnd() {
  rpc_.encoder().Post([streams = std::exchange(to_write_, {})] {
    for (EventStream* stream : streams) {
      stream->Write();
      stream->Release();
    }
  });
}

}  // namespace dbsidecar::server
