// A sidecar that a test scripts: a gRPC server in this process whose Pipeline streams do what the
// test's handler says.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dbsidecar/v1/sidecar.grpc.pb.h"

namespace dbsidecar::client_test {

using namespace std::chrono_literals;  // NOLINT(build/namespaces)
using Clock = std::chrono::steady_clock;

// Sanitizers make everything slower; ThreadSanitizer most, because it looks at each of the many
// reports from gRPC, which is not instrumented, before it drops it.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr int kSlower = 10;
#else
inline constexpr int kSlower = 1;
#endif

// The bytes of a parameter that does not fit into the window of a stream that is not read.
inline constexpr size_t kTooLargeToPass = 300'000;

// One stream, as the handler sees it.
class FakeStream {
 public:
  using Raw = grpc::ServerReaderWriter<v1::PipelineResponse, v1::PipelineRequest>;
  FakeStream(Raw& raw, int number) : raw_(raw), number_(number) {}

  int number() const { return number_; }  // From 1.
  // The next frame; one without calls if the client has left.
  v1::PipelineRequest ReadFrame();
  // The next call; one with id 0 (and no cancel_id) if the client has left.
  v1::Call ReadCall();
  // Reads and drops until the client has left.
  void ReadUntilEnd();

  bool Write(const v1::PipelineResponse& frame) { return raw_.Write(frame); }
  // A frame of one reply: a row with one integer.
  void AnswerNumber(uint64_t id, int64_t number, const std::string& session = "");
  void AnswerError(uint64_t id, const v1::Error& error);
  void AnswerEnd(uint64_t id, const std::string& command_tag);

 private:
  Raw& raw_;
  int number_;
  v1::PipelineRequest frame_;
  int next_ = 0;
};

void AddNumber(v1::PipelineResponse& frame, uint64_t id, int64_t number,
               const std::string& session = "");
v1::Error MakeError(int code, const std::string& reason, const std::string& sqlstate = "");

class FakeSidecar {
 public:
  // Runs on a thread for each stream; the stream ends with its status.
  using Handler = std::function<grpc::Status(FakeStream&)>;

  // Listens at once.
  explicit FakeSidecar(Handler handler);
  ~FakeSidecar();
  FakeSidecar(const FakeSidecar&) = delete;
  FakeSidecar& operator=(const FakeSidecar&) = delete;

  const std::string& address() const { return address_; }
  int streams() const { return streams_; }
  // Breaks all streams and no longer listens.
  void Stop();
  // At the same address.
  void Start();

 private:
  class Service;

  const Handler handler_;
  std::string address_;
  std::atomic<int> streams_{0};
  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
};

// Answers every statement with the number in its first parameter.
grpc::Status Echo(FakeStream& stream);

// True once `condition` holds; false if it does not within 10 s.
bool Eventually(const std::function<bool()>& condition);

double MillisecondsSince(Clock::time_point start);

}  // namespace dbsidecar::client_test
