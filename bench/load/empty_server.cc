// The least that a call through gRPC costs: a server that answers every Query with nothing, on the
// completion-queue API with one thread, as the sidecar's.
//
//   empty_server ADDRESS...     serves until a signal ends it
#include <grpcpp/grpcpp.h>

#include <iostream>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "dbsidecar/v1/sidecar.grpc.pb.h"

namespace dbsidecar::bench {
namespace {

using Service = v1::Sidecar::WithRawMethod_Query<v1::Sidecar::Service>;

// How many calls wait to be accepted, as in the sidecar.
constexpr int kAcceptors = 16;

class EmptyCall {
 public:
  EmptyCall(Service& service, grpc::ServerCompletionQueue& queue)
      : service_(service), queue_(queue), responder_(&context_) {
    service_.RequestQuery(&context_, &request_, &responder_, &queue_, &queue_, this);
  }

  void Proceed(bool ok) {
    if (!ok || answered_) {
      delete this;
      return;
    }
    answered_ = true;
    new EmptyCall(service_, queue_);
    grpc::Slice nothing;
    responder_.Finish(grpc::ByteBuffer(&nothing, 1), grpc::Status::OK, this);
  }

 private:
  Service& service_;
  grpc::ServerCompletionQueue& queue_;
  grpc::ServerContext context_;
  grpc::ByteBuffer request_;
  grpc::ServerAsyncResponseWriter<grpc::ByteBuffer> responder_;
  bool answered_ = false;
};

int Serve(const std::vector<std::string>& addresses) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  Service service;
  grpc::ServerBuilder builder;
  for (const std::string& address : addresses) {
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  }
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    std::cerr << "cannot listen there\n";
    return 1;
  }
  for (int i = 0; i < kAcceptors; ++i) new EmptyCall(service, *queue);
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) static_cast<EmptyCall*>(tag)->Proceed(ok);
  return 0;
}

}  // namespace
}  // namespace dbsidecar::bench

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: empty_server ADDRESS...\n";
    return 2;
  }
  return dbsidecar::bench::Serve({argv + 1, argv + argc});
}
