#include "server/health_service.h"

#include <optional>

namespace dbsidecar::server {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

namespace {

// How many streams wait to be accepted on a queue.
constexpr int kAcceptors = 2;

}  // namespace

// One Watch from acceptance to the last event about it; deletes itself.
class HealthService::Watcher {
 public:
  Watcher(HealthService& service, grpc::ServerCompletionQueue& queue)
      : service_(service), queue_(queue), writer_(&context_) {
    context_.AsyncNotifyWhenDone(ended_.Tag());
    service_.RequestWatch(&context_, &request_, &writer_, &queue_, &queue_, accepted_.Tag());
  }

  // Writes the status unless that was the last one written. REQUIRES: the service's mutex is held.
  void Update() {
    const ServingStatus status = service_.StatusOf(request_.service());
    if (writing_ || gone_ || status == written_status_) return;
    written_status_ = status;
    writing_ = true;
    HealthCheckResponse response;
    response.set_status(status);
    writer_.Write(response, written_.Tag());
  }

 private:
  void OnAccepted(bool ok) {
    if (!ok) {  // The server shuts down; no stream came.
      delete this;
      return;
    }
    new Watcher(service_, queue_);
    const std::lock_guard lock(service_.mutex_);
    service_.watchers_.insert(this);
    Update();
  }

  void OnWritten(bool ok) {
    bool last = false;
    {
      const std::lock_guard lock(service_.mutex_);
      writing_ = false;
      last = gone_;
      if (ok) Update();
    }
    if (last) delete this;
  }

  // The client has left, or the server stops.
  void OnEnded(bool /*ok*/) {
    bool last = false;
    {
      const std::lock_guard lock(service_.mutex_);
      service_.watchers_.erase(this);
      gone_ = true;
      last = !writing_;
    }
    if (last) delete this;
  }

  HealthService& service_;
  grpc::ServerCompletionQueue& queue_;
  grpc::ServerContext context_;
  HealthCheckRequest request_;
  grpc::ServerAsyncWriter<HealthCheckResponse> writer_;
  std::optional<ServingStatus> written_status_;
  bool writing_ = false;
  bool gone_ = false;

  StepOf<Watcher> accepted_{*this, &Watcher::OnAccepted};
  StepOf<Watcher> written_{*this, &Watcher::OnWritten};
  StepOf<Watcher> ended_{*this, &Watcher::OnEnded};
};

void HealthService::SetServing(const std::string& service, bool serving) {
  const std::lock_guard lock(mutex_);
  statuses_[service] = serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
  for (Watcher* watcher : watchers_) watcher->Update();
}

HealthService::ServingStatus HealthService::StatusOf(const std::string& service) const {
  const auto it = statuses_.find(service);
  return it == statuses_.end() ? HealthCheckResponse::SERVICE_UNKNOWN : it->second;
}

grpc::Status HealthService::Check(grpc::ServerContext*, const HealthCheckRequest* request,
                                  HealthCheckResponse* response) {
  const std::lock_guard lock(mutex_);
  const ServingStatus status = StatusOf(request->service());
  if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
    return {grpc::StatusCode::NOT_FOUND, "unknown service \"" + request->service() + "\""};
  }
  response->set_status(status);
  return grpc::Status::OK;
}

void HealthService::AcceptWatches(CompletionQueues& queues) {
  queues.ForEach(kAcceptors,
                 [this](grpc::ServerCompletionQueue& queue) { new Watcher(*this, queue); });
}

}  // namespace dbsidecar::server
