// Query as a test wants to call it, and its answer with the error details unpacked.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "dbsidecar/v1/sidecar.grpc.pb.h"

namespace dbsidecar::test_support {

struct Bytes {
  std::string bytes;
};

inline void SetValue(v1::Value& value, bool boolean) { value.set_bool_value(boolean); }
inline void SetValue(v1::Value& value, std::integral auto number) { value.set_int_value(number); }
inline void SetValue(v1::Value& value, double number) { value.set_double_value(number); }
inline void SetValue(v1::Value& value, const char* text) { value.set_string_value(text); }
inline void SetValue(v1::Value& value, const std::string& text) { value.set_string_value(text); }
inline void SetValue(v1::Value& value, const Bytes& raw) { value.set_bytes_value(raw.bytes); }
inline void SetValue(v1::Value& value, const v1::Value& other) { value = other; }
inline void SetValue(v1::Value&, std::nullptr_t) {}

template <typename... Params>
v1::QueryRequest MakeQuery(const std::string& sql, const Params&... params) {
  v1::QueryRequest request;
  request.set_sql(sql);
  (SetValue(*request.add_params(), params), ...);
  return request;
}

struct QueryOutcome {
  grpc::Status status;
  v1::QueryResponse response;
  std::chrono::nanoseconds took{};
  // From the status details; empty if there were none.
  std::string reason;
  std::string domain;
  std::optional<std::chrono::nanoseconds> retry_delay;
  v1::SqlError sql;

  bool ok() const { return status.ok(); }
  const v1::ResultSet& result() const { return response.result(); }
  // The cell of a columnar result as text (booleans "t" and "f"); nothing for NULL. "<no cell>" if
  // there is none at this place.
  std::optional<std::string> Cell(int row, int column) const;
  // The first cell; "<NULL>" for NULL and "<error ...>" for a failed call.
  std::string Scalar() const;
};

// For the messages of failed assertions.
std::ostream& operator<<(std::ostream& out, const QueryOutcome& outcome);

// Fills the outcome's error details from its status.
void UnpackDetails(QueryOutcome& outcome);

// One call that can be cancelled from any thread. Waits for its end when it goes.
class PendingQuery {
 public:
  PendingQuery(v1::Sidecar::Stub& stub, v1::QueryRequest request,
               std::chrono::milliseconds timeout);
  ~PendingQuery();
  PendingQuery(const PendingQuery&) = delete;
  PendingQuery& operator=(const PendingQuery&) = delete;

  void Cancel();
  bool Finished() const;
  // Blocks until the call has ended; it always does, because it has a deadline.
  const QueryOutcome& Wait();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class QueryClient {
 public:
  static constexpr std::chrono::milliseconds kTimeout = std::chrono::seconds(20);

  explicit QueryClient(std::shared_ptr<grpc::Channel> channel);

  QueryOutcome Run(const v1::QueryRequest& request, std::chrono::milliseconds timeout = kTimeout);
  template <typename... Params>
  QueryOutcome Query(const std::string& sql, const Params&... params) {
    return Run(MakeQuery(sql, params...));
  }
  std::unique_ptr<PendingQuery> Start(v1::QueryRequest request,
                                      std::chrono::milliseconds timeout = kTimeout);
  // Any unary method with bytes that no stub would send. `*response` gets the reply's bytes.
  QueryOutcome RunRaw(const std::string& method, const std::string& bytes,
                      std::string* response = nullptr);

  v1::Sidecar::Stub& stub() { return *stub_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Sidecar::Stub> stub_;
};

}  // namespace dbsidecar::test_support
