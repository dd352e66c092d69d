// gRPC's completion queues for the hot RPCs, with a thread for each, which may take turns of the
// event loop.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <vector>

#include "server/deep_thread.h"

namespace dbsidecar::server {

// What a completion queue hands back: a step of a call.
class Step {
 public:
  virtual ~Step() = default;
  virtual void Run(bool ok) = 0;

  // To be given to gRPC, which hands it back: whatever was done before is seen by Run.
  void* Tag();
  // The step behind a tag.
  static Step& Of(void* tag);
};

// Binds a step to one of its owner's functions.
template <typename Owner>
class StepOf final : public Step {
 public:
  StepOf(Owner& owner, void (Owner::*run)(bool)) : owner_(owner), run_(run) {}
  void Run(bool ok) override { (owner_.*run_)(ok); }

 private:
  Owner& owner_;
  void (Owner::*run_)(bool);
};

class CompletionQueues {
 public:
  CompletionQueues(grpc::ServerBuilder& builder, int count);
  // REQUIRES: the server is shut down. Runs what is still to come from the queues.
  ~CompletionQueues();

  // Starts the threads. REQUIRES: the server has been started.
  void Start();

  // Calls `accept` with each queue, `times` times.
  template <typename Accept>
  void ForEach(int times, Accept accept) {
    for (const auto& queue : queues_) {
      for (int i = 0; i < times; ++i) accept(*queue);
    }
  }

 private:
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues_;
  std::vector<std::unique_ptr<DeepThread>> threads_;
};

}  // namespace dbsidecar::server
