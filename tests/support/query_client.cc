#include "tests/support/query_client.h"

#include <grpcpp/generic/generic_stub.h>

#include <charconv>
#include <condition_variable>
#include <mutex>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace dbsidecar::test_support {
namespace {

using Clock = std::chrono::steady_clock;

std::string DoubleText(double number) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof(text), number);
  return std::string(text, end.ptr);
}

std::string ValueText(const v1::Value& value) {
  switch (value.kind_case()) {
    case v1::Value::kBoolValue:
      return value.bool_value() ? "t" : "f";
    case v1::Value::kIntValue:
      return std::to_string(value.int_value());
    case v1::Value::kDoubleValue:
      return DoubleText(value.double_value());
    case v1::Value::kStringValue:
      return value.string_value();
    case v1::Value::kBytesValue:
      return value.bytes_value();
    case v1::Value::KIND_NOT_SET:
      break;
  }
  return "<NULL>";
}

std::optional<std::string> ColumnCell(const v1::Column& column, int row) {
  for (const uint32_t null_row : column.nulls()) {
    if (static_cast<int>(null_row) == row) return std::nullopt;
  }
  if (row < column.ints_size()) return std::to_string(column.ints(row));
  if (row < column.doubles_size()) return DoubleText(column.doubles(row));
  if (row < column.bools_size()) return column.bools(row) ? "t" : "f";
  if (row < column.strings_size()) return column.strings(row);
  if (row < column.blobs_size()) return column.blobs(row);
  if (row < column.mixed_size()) return ValueText(column.mixed(row));
  // All arrays empty: every row is NULL.
  return std::nullopt;
}

grpc::ByteBuffer BufferOf(const std::string& bytes) {
  grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

}  // namespace

std::optional<std::string> QueryOutcome::Cell(int row, int column) const {
  if (row >= static_cast<int>(result().row_count())) return "<no cell>";
  if (column < result().data_size()) return ColumnCell(result().data(column), row);
  if (row < result().rows_size() && column < result().rows(row).values_size()) {
    const v1::Value& value = result().rows(row).values(column);
    if (value.kind_case() == v1::Value::KIND_NOT_SET) return std::nullopt;
    return ValueText(value);
  }
  return "<no cell>";
}

std::string QueryOutcome::Scalar() const {
  if (!ok()) return "<error " + status.error_message() + ">";
  return Cell(0, 0).value_or("<NULL>");
}

std::ostream& operator<<(std::ostream& out, const QueryOutcome& outcome) {
  if (outcome.ok()) return out << "OK " << outcome.response.ShortDebugString().substr(0, 500);
  return out << "code " << outcome.status.error_code() << ", reason " << outcome.reason
             << ", SQLSTATE " << outcome.sql.sqlstate() << ", after "
             << std::chrono::duration_cast<std::chrono::milliseconds>(outcome.took).count()
             << " ms: " << outcome.status.error_message();
}

void UnpackDetails(QueryOutcome& outcome) {
  google::rpc::Status details;
  if (!details.ParseFromString(outcome.status.error_details())) return;
  for (const auto& detail : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (detail.UnpackTo(&info)) {
      outcome.reason = info.reason();
      outcome.domain = info.domain();
    } else if (detail.UnpackTo(&retry)) {
      outcome.retry_delay = std::chrono::seconds(retry.retry_delay().seconds()) +
                            std::chrono::nanoseconds(retry.retry_delay().nanos());
    } else {
      detail.UnpackTo(&outcome.sql);
    }
  }
}

struct PendingQuery::State {
  grpc::ClientContext context;
  v1::QueryRequest request;
  QueryOutcome outcome;
  Clock::time_point start;
  mutable std::mutex mutex;
  std::condition_variable ended;
  bool finished = false;
};

PendingQuery::PendingQuery(v1::Sidecar::Stub& stub, v1::QueryRequest request,
                           std::chrono::milliseconds timeout)
    : state_(std::make_unique<State>()) {
  State* state = state_.get();
  state->request = std::move(request);
  state->start = Clock::now();
  state->context.set_deadline(std::chrono::system_clock::now() + timeout);
  stub.async()->Query(&state->context, &state->request, &state->outcome.response,
                      [state](grpc::Status status) {
                        const std::lock_guard lock(state->mutex);
                        state->outcome.took = Clock::now() - state->start;
                        state->outcome.status = std::move(status);
                        UnpackDetails(state->outcome);
                        state->finished = true;
                        state->ended.notify_all();
                      });
}

PendingQuery::~PendingQuery() { Wait(); }

void PendingQuery::Cancel() { state_->context.TryCancel(); }

bool PendingQuery::Finished() const {
  const std::lock_guard lock(state_->mutex);
  return state_->finished;
}

const QueryOutcome& PendingQuery::Wait() {
  std::unique_lock lock(state_->mutex);
  state_->ended.wait(lock, [this] { return state_->finished; });
  return state_->outcome;
}

QueryClient::QueryClient(std::shared_ptr<grpc::Channel> channel)
    : channel_(std::move(channel)), stub_(v1::Sidecar::NewStub(channel_)) {}

QueryOutcome QueryClient::Run(const v1::QueryRequest& request, std::chrono::milliseconds timeout) {
  QueryOutcome outcome;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  const auto start = Clock::now();
  outcome.status = stub_->Query(&context, request, &outcome.response);
  outcome.took = Clock::now() - start;
  UnpackDetails(outcome);
  return outcome;
}

std::unique_ptr<PendingQuery> QueryClient::Start(v1::QueryRequest request,
                                                 std::chrono::milliseconds timeout) {
  return std::make_unique<PendingQuery>(*stub_, std::move(request), timeout);
}

QueryOutcome QueryClient::RunRaw(const std::string& method, const std::string& bytes,
                                 std::string* response) {
  QueryOutcome outcome;
  grpc::GenericStub generic(channel_);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kTimeout);
  grpc::CompletionQueue queue;
  const auto start = Clock::now();
  const auto call = generic.PrepareUnaryCall(&context, method, BufferOf(bytes), &queue);
  call->StartCall();
  grpc::ByteBuffer reply;
  call->Finish(&reply, &outcome.status, this);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  outcome.took = Clock::now() - start;
  UnpackDetails(outcome);
  if (response != nullptr && outcome.ok()) *response = BytesOf(reply);
  return outcome;
}

}  // namespace dbsidecar::test_support
