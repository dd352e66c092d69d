// A channel to a sidecar and the calls over it, for the two clients of the verbs. Includes gRPC.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "server/cli/call_outcome.h"

namespace dbsidecar::server::cli {

class ClientChannel {
 public:
  using Deadline = std::chrono::system_clock::time_point;

  // Does not connect yet.
  explicit ClientChannel(const std::string& address);

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  // `call` gets a grpc::ClientContext& and returns a grpc::Status.
  template <typename Call>
  CallOutcome Run(std::chrono::milliseconds timeout, const Call& call) {
    const Deadline deadline = std::chrono::system_clock::now() + timeout;
    CallOutcome outcome{.connected = Connect(deadline)};
    grpc::ClientContext context;
    context.set_deadline(deadline);
    SetCurrent(&context);
    const grpc::Status status = call(context);
    SetCurrent(nullptr);
    outcome.code = static_cast<int>(status.error_code());
    outcome.message = status.error_message();
    outcome.details = status.error_details();
    return outcome;
  }

  // Cancels the call under way, if there is one. Any thread.
  void Cancel();

 private:
  // Whether a connection is up. Returns early when an attempt has failed.
  bool Connect(Deadline deadline);
  void SetCurrent(grpc::ClientContext* context);

  const std::shared_ptr<grpc::Channel> channel_;
  std::mutex mutex_;
  grpc::ClientContext* current_ = nullptr;  // Guarded by `mutex_`.
};

}  // namespace dbsidecar::server::cli
