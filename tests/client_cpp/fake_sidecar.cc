#include "tests/client_cpp/fake_sidecar.h"

#include <stdexcept>
#include <thread>

#include "tests/support/child_process.h"

namespace dbsidecar::client_test {

v1::PipelineRequest FakeStream::ReadFrame() {
  v1::PipelineRequest frame;
  if (!raw_.Read(&frame)) frame.Clear();
  return frame;
}

v1::Call FakeStream::ReadCall() {
  while (next_ == frame_.calls_size()) {
    next_ = 0;
    if (!raw_.Read(&frame_)) {
      frame_.Clear();
      return {};
    }
  }
  return frame_.calls(next_++);
}

void FakeStream::ReadUntilEnd() {
  v1::PipelineRequest frame;
  while (raw_.Read(&frame)) {
  }
}

void AddNumber(v1::PipelineResponse& frame, uint64_t id, int64_t number,
               const std::string& session) {
  v1::Reply& reply = *frame.add_replies();
  reply.set_id(id);
  v1::ResultSet& result = *reply.mutable_response()->mutable_result();
  v1::ColumnInfo& column = *result.add_columns();
  column.set_name("number");
  column.set_type_oid(20);
  result.set_row_count(1);
  result.add_data()->add_ints(number);
  result.set_rows_affected(-1);
  result.set_command_tag("SELECT 1");
  reply.mutable_response()->set_session(session);
}

v1::Error MakeError(int code, const std::string& reason, const std::string& sqlstate) {
  v1::Error error;
  error.set_code(code);
  error.set_reason(reason);
  error.set_message("as scripted");
  if (!sqlstate.empty()) error.mutable_sql()->set_sqlstate(sqlstate);
  return error;
}

void FakeStream::AnswerNumber(uint64_t id, int64_t number, const std::string& session) {
  v1::PipelineResponse frame;
  AddNumber(frame, id, number, session);
  Write(frame);
}

void FakeStream::AnswerError(uint64_t id, const v1::Error& error) {
  v1::PipelineResponse frame;
  frame.add_replies()->set_id(id);
  *frame.mutable_replies(0)->mutable_error() = error;
  Write(frame);
}

void FakeStream::AnswerEnd(uint64_t id, const std::string& command_tag) {
  v1::PipelineResponse frame;
  frame.add_replies()->set_id(id);
  frame.mutable_replies(0)->mutable_session_ended()->set_command_tag(command_tag);
  Write(frame);
}

class FakeSidecar::Service final : public v1::Sidecar::Service {
 public:
  explicit Service(FakeSidecar& owner) : owner_(owner) {}
  grpc::Status Pipeline(grpc::ServerContext* /*context*/, FakeStream::Raw* raw) override {
    FakeStream stream(*raw, ++owner_.streams_);
    return owner_.handler_(stream);
  }

 private:
  FakeSidecar& owner_;
};

FakeSidecar::FakeSidecar(Handler handler)
    : handler_(std::move(handler)),
      address_("unix:" + test_support::MakeTemporaryFolder("fake-sidecar") + "/socket"),
      service_(std::make_unique<Service>(*this)) {
  Start();
}

FakeSidecar::~FakeSidecar() { Stop(); }

void FakeSidecar::Start() {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
  builder.RegisterService(service_.get());
  builder.SetMaxReceiveMessageSize(-1);
  // A stream that is not read holds its client's writes back soon, and always at the same place.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 65535);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) throw std::runtime_error("cannot listen at " + address_);
}

void FakeSidecar::Stop() {
  if (server_ == nullptr) return;
  // At once: what runs is cancelled.
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
}

grpc::Status Echo(FakeStream& stream) {
  while (true) {
    const v1::PipelineRequest request = stream.ReadFrame();
    if (request.calls().empty()) return grpc::Status::OK;
    v1::PipelineResponse replies;
    for (const v1::Call& call : request.calls()) {
      if (call.id() != 0) AddNumber(replies, call.id(), call.query().params(0).int_value());
    }
    stream.Write(replies);
  }
}

bool Eventually(const std::function<bool()>& condition) {
  const auto end = Clock::now() + 10s;
  while (!condition()) {
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

}  // namespace dbsidecar::client_test
