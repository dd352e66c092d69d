#include "server/admin_service.h"

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>

#include <chrono>
#include <thread>
#include <utility>

#include "dbsidecar/v1/admin.grpc.pb.h"
#include "server/deadline.h"
#include "server/grpc_status.h"
#include "server/operations.h"

namespace dbsidecar::server {
namespace {

using grpc::ServerContext;
using grpc::Status;

Status StatusOf(const Operations::Trouble& trouble) {
  return trouble ? ToGrpcStatus(*trouble) : Status::OK;
}

Operations::Patience PatienceOf(ServerContext* context) {
  return {.deadline = DeadlineOf(*context),
          .has_left = [context] { return context->IsCancelled(); }};
}

class AdminService final : public v1::Admin::Service {
 public:
  explicit AdminService(Operations& operations) : operations_(operations) {}

  Status Pause(ServerContext* context, const v1::PauseRequest* request,
               v1::PauseResponse* response) override {
    return StatusOf(operations_.Pause(*request, PatienceOf(context), *response));
  }
  Status Resume(ServerContext*, const v1::ResumeRequest* request,
                v1::ResumeResponse* response) override {
    return StatusOf(operations_.Resume(*request, *response));
  }
  Status Reload(ServerContext*, const v1::ReloadRequest* request,
                v1::ReloadResponse* response) override {
    return StatusOf(operations_.Reload(*request, *response));
  }
  Status Drain(ServerContext*, const v1::DrainRequest* request,
               v1::DrainResponse* response) override {
    return StatusOf(operations_.Drain(*request, *response));
  }
  Status Quit(ServerContext*, const v1::QuitRequest*, v1::QuitResponse* response) override {
    return StatusOf(operations_.Quit(*response));
  }
  Status ListStatements(ServerContext*, const v1::ListStatementsRequest* request,
                        v1::ListStatementsResponse* response) override {
    return StatusOf(operations_.ListStatements(*request, *response));
  }
  Status CancelStatement(ServerContext* context, const v1::CancelStatementRequest* request,
                         v1::CancelStatementResponse* response) override {
    return StatusOf(operations_.CancelStatement(*request, PatienceOf(context), *response));
  }
  Status ListSessions(ServerContext*, const v1::ListSessionsRequest* request,
                      v1::ListSessionsResponse* response) override {
    return StatusOf(operations_.ListSessions(*request, *response));
  }
  Status CancelSession(ServerContext* context, const v1::CancelSessionRequest* request,
                       v1::CancelSessionResponse* response) override {
    return StatusOf(operations_.CancelSession(*request, PatienceOf(context), *response));
  }
  Status ResizePool(ServerContext*, const v1::ResizePoolRequest* request,
                    v1::ResizePoolResponse* response) override {
    return StatusOf(operations_.ResizePool(*request, *response));
  }
  Status ResetStatistics(ServerContext*, const v1::ResetStatisticsRequest* request,
                         v1::ResetStatisticsResponse* response) override {
    return StatusOf(operations_.ResetStatistics(*request, *response));
  }
  Status SetLogLevel(ServerContext*, const v1::SetLogLevelRequest* request,
                     v1::SetLogLevelResponse* response) override {
    return StatusOf(operations_.SetLogLevel(*request, *response));
  }

 private:
  Operations& operations_;
};

class AdminServerOnGrpc final : public AdminServer {
 public:
  AdminServerOnGrpc(std::vector<ListenAddress> addresses, Operations& operations)
      : addresses_(std::move(addresses)), service_(operations) {}
  ~AdminServerOnGrpc() override {
    if (server_ != nullptr) {
      server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
      server_->Wait();
    }
    queue_->Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_->Next(&tag, &ok)) {
    }
  }

  bool Start() {
    grpc::ServerBuilder builder;
    std::vector<int> ports(addresses_.size(), 0);
    for (size_t i = 0; i < ports.size(); ++i) {
      builder.AddListeningPort(addresses_[i].ToString(), grpc::InsecureServerCredentials(),
                               &ports[i]);
    }
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.RegisterService(&service_);
    queue_ = builder.AddCompletionQueue();
    const mode_t before = umask(S_IXUSR | S_IRWXG | S_IRWXO);  // From the first moment on.
    server_ = builder.BuildAndStart();
    umask(before);
    if (server_ == nullptr) return false;
    for (size_t i = 0; i < ports.size(); ++i) {
      if (!addresses_[i].IsUnix()) {
        addresses_[i].port = static_cast<uint16_t>(ports[i]);
      } else {
        // Whoever may write to it may connect: this user alone.
        if (chmod(addresses_[i].path.c_str(), S_IRUSR | S_IWUSR) != 0) return false;
      }
    }
    return true;
  }

  const std::vector<ListenAddress>& addresses() const override { return addresses_; }

 private:
  std::vector<ListenAddress> addresses_;
  AdminService service_;
  // Nothing comes to it. That it is there keeps the threads of the synchronous methods from
  // polling, and so from taking events that the hot calls' threads wait for (docs/adr/0016).
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

std::unique_ptr<AdminServer> AdminServer::Listen(const std::vector<ListenAddress>& addresses,
                                                 Operations& operations) {
  auto server = std::make_unique<AdminServerOnGrpc>(addresses, operations);
  if (!server->Start()) return nullptr;
  return server;
}

}  // namespace dbsidecar::server
