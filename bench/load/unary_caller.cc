#include <grpcpp/grpcpp.h>

#include <vector>

#include "bench/load/caller.h"
#include "bench/load/wire.h"
#include "dbsidecar/v1/sidecar.grpc.pb.h"

namespace dbsidecar::bench {
namespace {

class UnaryCaller final : public Caller {
 public:
  UnaryCaller(std::shared_ptr<grpc::Channel> channel, size_t slots)
      : stub_(v1::Sidecar::NewStub(std::move(channel))), calls_(slots) {}

  void Run() override {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
      Call& call = *static_cast<Call*>(tag);
      answered_(static_cast<size_t>(&call - calls_.data()), OutcomeOf(call.status));
    }
  }

  void Send(size_t slot, const Statement& statement) override {
    Call& call = calls_[slot];
    Encode(statement, call.response.session(), request_);
    call.context = std::make_unique<grpc::ClientContext>();
    call.response.Clear();
    call.reader = stub_->AsyncQuery(call.context.get(), request_, &queue_);
    call.reader->Finish(&call.response, &call.status, &call);
  }

  void Stop() override { queue_.Shutdown(); }

 private:
  struct Call {
    std::unique_ptr<grpc::ClientContext> context;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::QueryResponse>> reader;
    v1::QueryResponse response;  // The last one: holds the open transaction's token.
    grpc::Status status;
  };

  std::unique_ptr<v1::Sidecar::Stub> stub_;
  grpc::CompletionQueue queue_;
  std::vector<Call> calls_;
  v1::QueryRequest request_;
};

}  // namespace

std::unique_ptr<Caller> MakeUnaryCaller(const std::string& address, size_t slots) {
  auto channel = Connect(address);
  return channel ? std::make_unique<UnaryCaller>(std::move(channel), slots) : nullptr;
}

}  // namespace dbsidecar::bench
