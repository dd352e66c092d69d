#include "bench/load/wire.h"

#include <grpcpp/grpcpp.h>

namespace dbsidecar::bench {

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  const auto end = std::chrono::system_clock::now() + std::chrono::seconds(10);
  return channel->WaitForConnected(end) ? channel : nullptr;
}

void Encode(const Statement& statement, const std::string& session, v1::QueryRequest& request) {
  request.Clear();
  request.set_sql(statement.sql.data(), statement.sql.size());
  for (size_t i = 0; i < statement.parameter_count; ++i) {
    request.add_params()->set_int_value(statement.parameters[i]);
  }
  request.set_read_only(statement.read_only);
  if (statement.begins) request.mutable_session()->mutable_begin();
  if (statement.inside) request.mutable_session()->set_session(session);
  if (statement.commits) request.mutable_session()->set_commit(true);
}

}  // namespace dbsidecar::bench
