#include "bench/load/wire.h"

#include <grpcpp/grpcpp.h>

namespace dbsidecar::bench {

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  const auto end = std::chrono::system_clock::now() + std::chrono::seconds(10);
  return channel->WaitForConnected(end) ? channel : nullptr;
}

Outcome OutcomeOf(const grpc::Status& status) {
  if (status.ok()) return {};
  const bool unimplemented = status.error_code() == grpc::StatusCode::UNIMPLEMENTED;
  return {.verdict = unimplemented ? Verdict::kUnimplemented : Verdict::kFailed,
          .error = status.error_message()};
}

namespace {

// Text and parameters, which a request and a step of a batch have alike.
template <typename Message>
void EncodeStatement(const Statement& statement, Message& message) {
  message.set_sql(statement.sql.data(), statement.sql.size());
  for (size_t i = 0; i < statement.parameter_count; ++i) {
    message.add_params()->set_int_value(statement.parameters[i]);
  }
}

}  // namespace

void Encode(const Statement& statement, v1::BatchStep& step) { EncodeStatement(statement, step); }

void Encode(const Statement& statement, const std::string& session, v1::QueryRequest& request) {
  request.Clear();
  EncodeStatement(statement, request);
  request.set_read_only(statement.read_only);
  if (statement.begins) request.mutable_session()->mutable_begin();
  if (statement.inside) request.mutable_session()->set_session(session);
  if (statement.commits) request.mutable_session()->set_commit(true);
}

}  // namespace dbsidecar::bench
