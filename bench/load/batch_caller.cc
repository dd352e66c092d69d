#include <grpcpp/grpcpp.h>

#include <vector>

#include "bench/load/caller.h"
#include "bench/load/wire.h"
#include "dbsidecar/v1/sidecar.grpc.pb.h"

namespace dbsidecar::bench {
namespace {

// Gathers the statements of a transaction until the one that commits; nothing waits for the answer
// of an earlier one.
class BatchCaller final : public Caller {
 public:
  BatchCaller(std::shared_ptr<grpc::Channel> channel, size_t slots)
      : stub_(v1::Sidecar::NewStub(std::move(channel))), calls_(slots) {}

  void Run() override {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
      Call& call = *static_cast<Call*>(tag);
      call.request.Clear();
      answered_(static_cast<size_t>(&call - calls_.data()), OutcomeOf(call.status));
    }
  }

  void Send(size_t slot, const Statement& statement) override {
    Call& call = calls_[slot];
    Encode(statement, *call.request.add_steps());
    const bool more_comes = (statement.begins || statement.inside) && !statement.commits;
    if (more_comes) {
      answered_(slot, {});
      return;
    }
    call.context = std::make_unique<grpc::ClientContext>();
    call.reader = stub_->AsyncBatch(call.context.get(), call.request, &queue_);
    call.reader->Finish(&call.response, &call.status, &call);
  }

  void Stop() override { queue_.Shutdown(); }

 private:
  struct Call {
    std::unique_ptr<grpc::ClientContext> context;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::BatchResponse>> reader;
    v1::BatchRequest request;
    v1::BatchResponse response;
    grpc::Status status;
  };

  std::unique_ptr<v1::Sidecar::Stub> stub_;
  grpc::CompletionQueue queue_;
  std::vector<Call> calls_;
};

}  // namespace

std::unique_ptr<Caller> MakeBatchCaller(const std::string& address, size_t slots) {
  auto channel = Connect(address);
  return channel ? std::make_unique<BatchCaller>(std::move(channel), slots) : nullptr;
}

}  // namespace dbsidecar::bench
