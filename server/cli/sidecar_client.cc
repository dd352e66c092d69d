#include "server/cli/sidecar_client.h"

#include "dbsidecar/v1/sidecar.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "server/cli/client_channel.h"

namespace dbsidecar::server::cli {
namespace {

// How long a call without a time limit of its own waits for a connection.
constexpr std::chrono::milliseconds kConnectMax = std::chrono::seconds(10);

}  // namespace

struct SidecarClient::Connection : ClientChannel {
  explicit Connection(const std::string& address)
      : ClientChannel(address),
        sidecar(v1::Sidecar::NewStub(channel())),
        health(grpc::health::v1::Health::NewStub(channel())) {}

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

void SidecarClient::Cancel() { connection_->Cancel(); }

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
    if (endless) context.set_deadline(ClientChannel::Deadline::max());
    return ReadWhileWanted(context, *connection_->sidecar->Listen(&context, request), heard);
  });
}

CallOutcome SidecarClient::WatchMetrics(
    const v1::MetricsRequest& request, std::chrono::milliseconds timeout,
    const std::function<bool(const v1::MetricsResponse&)>& heard) {
  const bool endless = timeout == std::chrono::milliseconds::zero();
  return connection_->Run(endless ? kConnectMax : timeout, [&](grpc::ClientContext& context) {
    if (endless) context.set_deadline(ClientChannel::Deadline::max());
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
