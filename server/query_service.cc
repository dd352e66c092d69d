#include "server/query_service.h"

#include <google/protobuf/arena.h>
#include <grpcpp/alarm.h>

#include "pool/call.h"
#include "server/database.h"
#include "server/error_mapping.h"
#include "server/result_encoder.h"

namespace dbsidecar::server {
namespace {

// Results up to this size are written on the loop's thread, which spares a hand-over; larger ones
// would hold up everyone else's replies.
constexpr uint64_t kEncodeOnLoopMax = 32 * 1024;

// How many calls wait to be accepted on a queue, so that a burst need not wait for one another.
constexpr int kAcceptors = 16;

pool::Instant DeadlineOf(const grpc::ServerContext& context) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return pool::kNever;
  const auto left = deadline - std::chrono::system_clock::now();
  // gRPC's "never" may be a time that is merely far away.
  if (left > std::chrono::hours(24 * 365)) return pool::kNever;
  return pool::Clock::now() + left;
}

// What a completion queue hands back: a step of a call.
class Step {
 public:
  virtual ~Step() = default;
  virtual void Run(bool ok) = 0;
};

// One Query from acceptance to the last event about it; deletes itself.
class QueryCall final : public pool::Call {
 public:
  QueryCall(QueryService& service, grpc::ServerCompletionQueue& queue)
      : service_(service), queue_(queue), responder_(&context_) {
    context_.AsyncNotifyWhenDone(&ended_);
    service_.service().RequestQuery(&context_, &request_bytes_, &responder_, &queue_, &queue_,
                                    &received_);
  }

  void Answer(pool::Outcome outcome) override {
    outcome_ = std::move(outcome);
    if (outcome_.result.rows.data_bytes() <= kEncodeOnLoopMax) {
      Write();
    } else {
      alarm_.Set(&queue_, gpr_now(GPR_CLOCK_REALTIME), &encode_);
    }
  }

  void Done() override { Release(); }

 private:
  // Binds a step to one of the call's functions.
  class Bound final : public Step {
   public:
    Bound(QueryCall& call, void (QueryCall::*run)(bool)) : call_(call), run_(run) {}
    void Run(bool ok) override { (call_.*run_)(ok); }

   private:
    QueryCall& call_;
    void (QueryCall::*run_)(bool);
  };

  void OnReceived(bool ok) {
    if (!ok) {  // The server shuts down; no call came.
      delete this;
      return;
    }
    new QueryCall(service_, queue_);
    service_.CallOpened();
    request_ = google::protobuf::Arena::CreateMessage<v1::QueryRequest>(&arena_);
    if (!Parse()) {
      Refuse(
          "the request is not a QueryRequest: it is not Protobuf, or one of its text fields is "
          "not valid UTF-8 (send such data as bytes_value)");
      return;
    }
    if (std::optional<pool::Error> refusal = CheckRequest(*request_, service_.limits())) {
      Refuse(std::move(*refusal));
      return;
    }
    Submit();
  }

  bool Parse() {
    grpc::ProtoBufferReader reader(&request_bytes_);
    return reader.status().ok() && request_->ParseFromZeroCopyStream(&reader);
  }

  void Submit() {
    id = service_.NextCallId();
    statement = ToStatement(*request_, service_.limits());
    deadline = DeadlineOf(context_);
    const auto tag = request_->tags().find("caller");
    if (tag != request_->tags().end()) caller = tag->second;
    holders_.fetch_add(1);
    submitted_.store(true);
    service_.database().Submit(*this);
  }

  // The caller has its answer, or has left.
  void OnEnded(bool /*ok*/) {
    if (submitted_.load() && context_.IsCancelled()) service_.database().Cancel(id);
    Release();
  }

  void OnEncode(bool /*ok*/) { Write(); }
  void OnFinished(bool /*ok*/) {
    service_.CallClosed();
    Release();
  }

  void Write() {
    if (outcome_.error.has_value()) {
      FinishWith(*outcome_.error);
      return;
    }
    auto* response = google::protobuf::Arena::CreateMessage<v1::QueryResponse>(&arena_);
    EncodeOutcome(outcome_, request_->format(), request_->want_timing(), *response);
    if (service_.limits().result_bytes_max != 0 &&
        response->ByteSizeLong() > service_.limits().result_bytes_max) {
      FinishWith(pool::ResultTooLarge(statement.limits, outcome_.result.rows_affected >= 0));
      return;
    }
    grpc::ByteBuffer bytes;
    bool own = false;
    const grpc::Status status =
        grpc::SerializationTraits<v1::QueryResponse>::Serialize(*response, &bytes, &own);
    responder_.Finish(bytes, status, &finished_);
  }

  void Refuse(std::string why) {
    Refuse({.kind = pool::ErrorKind::kInvalidArgument,
            .message = std::move(why),
            .sql = {},
            .outcome_unknown = false});
  }
  void Refuse(pool::Error error) { FinishWith(error); }

  void FinishWith(const pool::Error& error) {
    const google::rpc::Status status = ToRpcStatus(error);
    if (error.outcome_unknown) {
      // Tells gRPC's own retries to keep away (gRFC A6).
      context_.AddTrailingMetadata("grpc-retry-pushback-ms", "-1");
    }
    responder_.FinishWithError(grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                                            status.message(), status.SerializeAsString()),
                               &finished_);
  }

  void Release() {
    if (holders_.fetch_sub(1) == 1) delete this;
  }

  QueryService& service_;
  grpc::ServerCompletionQueue& queue_;
  grpc::ServerContext context_;
  grpc::ByteBuffer request_bytes_;
  grpc::ServerAsyncResponseWriter<grpc::ByteBuffer> responder_;
  grpc::Alarm alarm_;
  google::protobuf::Arena arena_;
  v1::QueryRequest* request_ = nullptr;
  pool::Outcome outcome_;
  std::atomic<bool> submitted_{false};
  // OnEnded and OnFinished; and the pool, once the call is submitted.
  std::atomic<int> holders_{2};

  Bound received_{*this, &QueryCall::OnReceived};
  Bound ended_{*this, &QueryCall::OnEnded};
  Bound encode_{*this, &QueryCall::OnEncode};
  Bound finished_{*this, &QueryCall::OnFinished};
};

void Drive(grpc::ServerCompletionQueue* queue) {
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) static_cast<Step*>(tag)->Run(ok);
}

}  // namespace

QueryService::QueryService(SidecarService& service, Database& database, RequestLimits limits,
                           int threads, grpc::ServerBuilder& builder)
    : service_(service), database_(database), limits_(limits) {
  for (int i = 0; i < threads; ++i) queues_.push_back(builder.AddCompletionQueue());
}

void QueryService::Start() {
  for (const auto& queue : queues_) {
    for (int i = 0; i < kAcceptors; ++i) new QueryCall(*this, *queue);
    threads_.emplace_back(&Drive, queue.get());
  }
}

QueryService::~QueryService() {
  for (const auto& queue : queues_) queue->Shutdown();
  for (std::thread& thread : threads_) thread.join();
  for (const auto& queue : queues_) {
    // Without Start there was no thread to empty them.
    if (threads_.empty()) Drive(queue.get());
  }
}

}  // namespace dbsidecar::server
