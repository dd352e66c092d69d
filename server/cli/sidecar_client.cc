#include "server/cli/sidecar_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <mutex>

#include "dbsidecar/v1/sidecar.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace dbsidecar::server::cli {
namespace {

using Deadline = std::chrono::system_clock::time_point;

// How long a call without a time limit of its own waits for a connection.
constexpr std::chrono::milliseconds kConnectMax = std::chrono::seconds(10);

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

// Whether a connection is up. Returns early when an attempt has failed.
bool Connect(grpc::Channel& channel, Deadline deadline) {
  grpc_connectivity_state state = channel.GetState(true);
  while (state == GRPC_CHANNEL_IDLE || state == GRPC_CHANNEL_CONNECTING) {
    if (!channel.WaitForStateChange(state, deadline)) return false;
    state = channel.GetState(true);
  }
  return state == GRPC_CHANNEL_READY;
}

}  // namespace

struct SidecarClient::Connection {
  explicit Connection(const std::string& address)
      : channel(OpenChannel(address)),
        sidecar(v1::Sidecar::NewStub(channel)),
        health(grpc::health::v1::Health::NewStub(channel)) {}

  template <typename Call>
  CallOutcome Run(std::chrono::milliseconds timeout, const Call& call) {
    const Deadline deadline = std::chrono::system_clock::now() + timeout;
    CallOutcome outcome{.connected = Connect(*channel, deadline)};
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

  void SetCurrent(grpc::ClientContext* context) {
    const std::lock_guard lock(mutex);
    current = context;
  }

  std::mutex mutex;
  grpc::ClientContext* current = nullptr;  // Guarded by `mutex`.
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::Sidecar::Stub> sidecar;
  std::unique_ptr<grpc::health::v1::Health::Stub> health;
};

SidecarClient::SidecarClient(const std::string& address)
    : connection_(std::make_unique<Connection>(address)) {}

SidecarClient::~SidecarClient() = default;

CallOutcome SidecarClient::Query(const v1::QueryRequest& request, std::chrono::milliseconds timeout,
                                 v1::QueryResponse& response) {
  return connection_->Run(timeout, [&](grpc::ClientContext& context) {
    return connection_->sidecar->Query(&context, request, &response);
  });
}

CallOutcome SidecarClient::Describe(const v1::DescribeRequest& request,
                                    std::chrono::milliseconds timeout,
                                    v1::DescribeResponse& response) {
  return connection_->Run(timeout, [&](grpc::ClientContext& context) {
    return connection_->sidecar->Describe(&context, request, &response);
  });
}

CallOutcome SidecarClient::QueryStream(const v1::QueryRequest& request,
                                       std::chrono::milliseconds timeout,
                                       const std::function<bool(v1::QueryResponse&)>& take) {
  return connection_->Run(timeout, [&](grpc::ClientContext& context) {
    const auto reader = connection_->sidecar->QueryStream(&context, request);
    v1::QueryResponse part;
    while (reader->Read(&part)) {
      if (!take(part)) context.TryCancel();
    }
    return reader->Finish();
  });
}

CallOutcome SidecarClient::Batch(const v1::BatchRequest& request, std::chrono::milliseconds timeout,
                                 v1::BatchResponse& response) {
  return connection_->Run(timeout, [&](grpc::ClientContext& context) {
    return connection_->sidecar->Batch(&context, request, &response);
  });
}

CallOutcome SidecarClient::EndSession(const v1::EndSessionRequest& request,
                                      std::chrono::milliseconds timeout,
                                      v1::EndSessionResponse& response) {
  return connection_->Run(timeout, [&](grpc::ClientContext& context) {
    return connection_->sidecar->EndSession(&context, request, &response);
  });
}

void SidecarClient::Cancel() {
  const std::lock_guard lock(connection_->mutex);
  if (connection_->current != nullptr) connection_->current->TryCancel();
}

CallOutcome SidecarClient::Script(const v1::ScriptRequest& request,
                                  std::chrono::milliseconds timeout, v1::ScriptResponse& response) {
  return connection_->Run(timeout, [&](grpc::ClientContext& context) {
    return connection_->sidecar->Script(&context, request, &response);
  });
}

CallOutcome SidecarClient::CopyIn(const v1::CopyInRequest& start, std::chrono::milliseconds timeout,
                                  const std::function<bool(v1::CopyInRequest&)>& next,
                                  v1::CopyInResponse& response) {
  return connection_->Run(timeout, [&](grpc::ClientContext& context) {
    const auto writer = connection_->sidecar->CopyIn(&context, &response);
    v1::CopyInRequest part;
    bool open = writer->Write(start);
    while (open && next(part)) open = writer->Write(part);
    writer->WritesDone();
    return writer->Finish();
  });
}

CallOutcome SidecarClient::CopyOut(const v1::CopyOutRequest& request,
                                   std::chrono::milliseconds timeout,
                                   const std::function<bool(const v1::CopyOutResponse&)>& take) {
  return connection_->Run(timeout, [&](grpc::ClientContext& context) {
    const auto reader = connection_->sidecar->CopyOut(&context, request);
    v1::CopyOutResponse part;
    while (reader->Read(&part)) {
      if (!take(part)) context.TryCancel();
    }
    return reader->Finish();
  });
}

CallOutcome SidecarClient::Health(const v1::HealthRequest& request,
                                  std::chrono::milliseconds timeout, v1::HealthResponse& response) {
  return connection_->Run(timeout, [&](grpc::ClientContext& context) {
    return connection_->sidecar->Health(&context, request, &response);
  });
}

CallOutcome SidecarClient::Metrics(const v1::MetricsRequest& request,
                                   std::chrono::milliseconds timeout,
                                   v1::MetricsResponse& response) {
  return connection_->Run(timeout, [&](grpc::ClientContext& context) {
    return connection_->sidecar->Metrics(&context, request, &response);
  });
}

namespace {

// Of a stream that goes on until it is not wanted any more, which is OK.
template <typename Message, typename Reader>
grpc::Status ReadWhileWanted(grpc::ClientContext& context, Reader& reader,
                             const std::function<bool(const Message&)>& heard) {
  Message event;
  bool wants_more = true;
  while (wants_more && reader.Read(&event)) wants_more = heard(event);
  if (!wants_more) context.TryCancel();
  const grpc::Status status = reader.Finish();
  return wants_more ? status : grpc::Status::OK;
}

}  // namespace

CallOutcome SidecarClient::Listen(const v1::ListenRequest& request,
                                  std::chrono::milliseconds timeout,
                                  const std::function<bool(const v1::ListenResponse&)>& heard) {
  const bool endless = timeout == std::chrono::milliseconds::zero();
  return connection_->Run(endless ? kConnectMax : timeout, [&](grpc::ClientContext& context) {
    if (endless) context.set_deadline(Deadline::max());
    return ReadWhileWanted(context, *connection_->sidecar->Listen(&context, request), heard);
  });
}

CallOutcome SidecarClient::WatchMetrics(
    const v1::MetricsRequest& request, std::chrono::milliseconds timeout,
    const std::function<bool(const v1::MetricsResponse&)>& heard) {
  const bool endless = timeout == std::chrono::milliseconds::zero();
  return connection_->Run(endless ? kConnectMax : timeout, [&](grpc::ClientContext& context) {
    if (endless) context.set_deadline(Deadline::max());
    return ReadWhileWanted(context, *connection_->sidecar->WatchMetrics(&context, request), heard);
  });
}

CallOutcome SidecarClient::Check(const grpc::health::v1::HealthCheckRequest& request,
                                 std::chrono::milliseconds timeout,
                                 grpc::health::v1::HealthCheckResponse& response) {
  return connection_->Run(timeout, [&](grpc::ClientContext& context) {
    return connection_->health->Check(&context, request, &response);
  });
}

}  // namespace dbsidecar::server::cli
