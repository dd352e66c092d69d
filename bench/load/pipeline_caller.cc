#include <latch>

#include "bench/load/caller.h"
#include "bench/load/client_statements.h"

namespace dbsidecar::bench {
namespace {

class PipelineCaller final : public Caller {
 public:
  explicit PipelineCaller(std::unique_ptr<Client> client) : client_(std::move(client)) {}

  void Run() override {
    stopped_.wait();
    client_.reset();
  }

  void Send(size_t slot, const Statement& statement) override {
    const CallOptions options{.read_only = statement.read_only};
    client_->QueryThen(options, statement.sql, ParamsOf(statement),
                       [this, slot](dbsidecar::Outcome outcome) {
                         answered_(slot, outcome.ok() ? Outcome{} : OutcomeOf(outcome.failure()));
                       });
  }

  void Stop() override { stopped_.count_down(); }

 private:
  std::unique_ptr<Client> client_;
  std::latch stopped_{1};
};

}  // namespace

std::unique_ptr<Caller> MakePipelineCaller(const std::string& address) {
  auto client = std::make_unique<Client>(address);
  if (!client->WaitUntilConnected(std::chrono::seconds(10))) return nullptr;
  return std::make_unique<PipelineCaller>(std::move(client));
}

}  // namespace dbsidecar::bench
