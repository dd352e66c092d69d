// Small questions about a sidecar that are not load. Each prints one line of JSON.
//
//   sidecar_probe ready ADDRESS              waits until it is ready: {"ready_at_ns"} on the
//                                            monotonic clock; may be started before the sidecar
//   sidecar_probe streams ADDRESS N CHANNELS opens N Pipeline streams over CHANNELS connections,
//                                            makes a call on each, {"streams"}; holds them until
//                                            standard input ends
//   sidecar_probe rows ADDRESS SQL           reads a result by QueryStream: {"rows", "seconds"}
#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "dbsidecar/v1/sidecar.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace dbsidecar::bench {
namespace {

using Clock = std::chrono::steady_clock;

// A connection of its own, not one that gRPC shares between channels.
std::shared_ptr<grpc::Channel> NewChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

void GiveTime(grpc::ClientContext& context, std::chrono::seconds time) {
  context.set_deadline(std::chrono::system_clock::now() + time);
}

bool Ready(const std::string& address) {
  grpc::ClientContext context;
  GiveTime(context, std::chrono::seconds(1));
  grpc::health::v1::HealthCheckRequest request;
  request.set_service("readiness");
  grpc::health::v1::HealthCheckResponse response;
  // A new channel each time: one that was refused waits before it tries again.
  const auto stub = grpc::health::v1::Health::NewStub(NewChannel(address));
  return stub->Check(&context, request, &response).ok() &&
         response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
}

int WaitUntilReady(const std::string& address) {
  const auto end = Clock::now() + std::chrono::seconds(60);
  while (!Ready(address)) {
    if (Clock::now() > end) {
      std::cerr << "not ready within 60 s: " << address << "\n";
      return 1;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const auto now = Clock::now().time_since_epoch();
  std::cout << fmt::format(R"({{"ready_at_ns": {}}})",
                           std::chrono::duration_cast<std::chrono::nanoseconds>(now).count())
            << std::endl;
  return 0;
}

struct Stream {
  std::unique_ptr<v1::Sidecar::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::PipelineRequest, v1::PipelineResponse>> calls;
};

bool CallOnce(Stream& stream) {
  v1::PipelineRequest frame;
  v1::Call& call = *frame.add_calls();
  call.set_id(1);
  call.mutable_query()->set_sql("SELECT 1");
  call.mutable_query()->set_read_only(true);
  v1::PipelineResponse replies;
  return stream.calls->Write(frame) && stream.calls->Read(&replies) &&
         replies.replies(0).has_response();
}

int HoldStreams(const std::string& address, int count, int channel_count) {
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  channels.reserve(static_cast<size_t>(channel_count));
  for (int i = 0; i < channel_count; ++i) channels.push_back(NewChannel(address));
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < count; ++i) {
    auto stream = std::make_unique<Stream>();
    stream->stub = v1::Sidecar::NewStub(channels[static_cast<size_t>(i % channel_count)]);
    GiveTime(stream->context, std::chrono::seconds(120));
    stream->calls = stream->stub->Pipeline(&stream->context);
    if (!CallOnce(*stream)) {
      stream->context.TryCancel();
      std::cerr << "stream " << i << ": " << stream->calls->Finish().error_message() << "\n";
      return 1;
    }
    streams.push_back(std::move(stream));
  }
  std::cout << fmt::format(R"({{"streams": {}}})", count) << std::endl;
  std::cin.ignore(std::numeric_limits<std::streamsize>::max());
  for (auto& stream : streams) {
    stream->context.TryCancel();
    stream->calls->Finish();
  }
  return 0;
}

int ReadRows(const std::string& address, const std::string& sql) {
  const auto stub = v1::Sidecar::NewStub(NewChannel(address));
  grpc::ClientContext context;
  GiveTime(context, std::chrono::seconds(120));
  v1::QueryRequest request;
  request.set_sql(sql);
  const auto start = Clock::now();
  const auto reader = stub->QueryStream(&context, request);
  v1::QueryResponse part;
  int64_t rows = 0;
  while (reader->Read(&part)) rows += part.result().row_count();
  const grpc::Status status = reader->Finish();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    const nlohmann::json line = {{"unavailable", "UNIMPLEMENTED: " + status.error_message()}};
    std::cout << line.dump() << "\n";
    return 0;
  }
  if (!status.ok()) {
    std::cerr << status.error_message() << "\n";
    return 1;
  }
  std::cout << fmt::format(R"({{"rows": {}, "seconds": {:.3f}}})", rows, seconds) << "\n";
  return 0;
}

int Run(const std::vector<std::string>& words) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  if (words.size() == 2 && words[0] == "ready") return WaitUntilReady(words[1]);
  if (words.size() == 4 && words[0] == "streams") {
    return HoldStreams(words[1], std::stoi(words[2]), std::stoi(words[3]));
  }
  if (words.size() == 3 && words[0] == "rows") return ReadRows(words[1], words[2]);
  std::cerr << "usage: sidecar_probe ready ADDRESS | streams ADDRESS N CHANNELS | rows ADDRESS "
               "SQL\n";
  return 2;
}

}  // namespace
}  // namespace dbsidecar::bench

int main(int argc, char** argv) {
  try {
    return dbsidecar::bench::Run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
