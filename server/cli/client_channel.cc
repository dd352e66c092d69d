#include "server/cli/client_channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

namespace dbsidecar::server::cli {
namespace {

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  // The sidecar limits its results itself.
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  // A proxy for the Internet is never the way to the process next door.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // `wait` watches a process start: be there soon after it listens.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

ClientChannel::ClientChannel(const std::string& address) : channel_(OpenChannel(address)) {}

bool ClientChannel::Connect(Deadline deadline) {
  grpc_connectivity_state state = channel_->GetState(true);
  while (state == GRPC_CHANNEL_IDLE || state == GRPC_CHANNEL_CONNECTING) {
    if (!channel_->WaitForStateChange(state, deadline)) return false;
    state = channel_->GetState(true);
  }
  return state == GRPC_CHANNEL_READY;
}

void ClientChannel::SetCurrent(grpc::ClientContext* context) {
  const std::lock_guard lock(mutex_);
  current_ = context;
}

void ClientChannel::Cancel() {
  const std::lock_guard lock(mutex_);
  if (current_ != nullptr) current_->TryCancel();
}

}  // namespace dbsidecar::server::cli
