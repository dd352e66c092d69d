// Point selects through a sidecar, as fast as it answers: one row of the benchmark's table. With
// --statement=update it changes rows instead.
//
//   load_generator --addr=unix:/path --path=unary|pipeline|empty --in-flight=64 --seconds=5
//
// Prints one line of JSON: queries, errors, seconds, p50_us, p99_us.
#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "dbsidecar/v1/sidecar.grpc.pb.h"

namespace dbsidecar::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string addr = "127.0.0.1:50051";
  std::string path = "unary";
  int in_flight = 64;
  double seconds = 5;
  int rows = 1'000'000;
  bool read_only = true;
  std::string statement = "select";
};

Options Parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string flag = argument.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    if (flag == "--addr")
      options.addr = value;
    else if (flag == "--path")
      options.path = value;
    else if (flag == "--in-flight")
      options.in_flight = std::atoi(value.c_str());
    else if (flag == "--seconds")
      options.seconds = std::atof(value.c_str());
    else if (flag == "--rows")
      options.rows = std::atoi(value.c_str());
    else if (flag == "--read-only")
      options.read_only = value != "false";
    else if (flag == "--statement")
      options.statement = value;
    else {
      std::cerr << "unknown flag " << flag << "\n";
      std::exit(2);
    }
  }
  return options;
}

struct Tally {
  int64_t queries = 0;
  int64_t errors = 0;
  std::string first_error;
  std::vector<float> micros;

  void Add(Clock::time_point sent) {
    ++queries;
    micros.push_back(std::chrono::duration<float, std::micro>(Clock::now() - sent).count());
  }
  void Fail(const std::string& why) {
    if (errors++ == 0) first_error = why;
  }
};

class Workload {
 public:
  explicit Workload(const Options& options) : ids_(1, options.rows) {
    const bool writes = options.statement == "update";
    query_.set_sql(writes ? "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = $1"
                          : "SELECT abalance FROM pgbench_accounts WHERE aid = $1");
    query_.add_params();
    query_.set_read_only(options.read_only && !writes);
  }
  const v1::QueryRequest& Next() {
    query_.mutable_params(0)->set_int_value(ids_(random_));
    return query_;
  }

 private:
  v1::QueryRequest query_;
  std::mt19937 random_{42};
  std::uniform_int_distribution<int> ids_;
};

void RunUnary(const Options& options, grpc::Channel& channel, Tally& tally) {
  struct Call {
    std::unique_ptr<grpc::ClientContext> context;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::QueryResponse>> reader;
    v1::QueryResponse response;
    grpc::Status status;
    Clock::time_point sent;
  };
  auto stub = v1::Sidecar::NewStub(
      std::shared_ptr<grpc::Channel>(std::shared_ptr<grpc::Channel>(), &channel));
  grpc::CompletionQueue queue;
  Workload workload(options);
  std::vector<Call> calls(static_cast<size_t>(options.in_flight));
  const auto start = [&](Call& call) {
    call.context = std::make_unique<grpc::ClientContext>();
    call.response.Clear();
    call.sent = Clock::now();
    call.reader = stub->AsyncQuery(call.context.get(), workload.Next(), &queue);
    call.reader->Finish(&call.response, &call.status, &call);
  };
  for (Call& call : calls) start(call);
  const auto end = Clock::now() + std::chrono::duration<double>(options.seconds);
  int open = options.in_flight;
  void* tag = nullptr;
  bool ok = false;
  while (open > 0 && queue.Next(&tag, &ok)) {
    Call& call = *static_cast<Call*>(tag);
    if (call.status.ok()) {
      tally.Add(call.sent);
    } else {
      tally.Fail(call.status.error_message());
    }
    if (Clock::now() < end) {
      start(call);
    } else {
      --open;
    }
  }
}

// One thread: a frame carries whatever became due while the last one was being written.
void RunPipeline(const Options& options, grpc::Channel& channel, Tally& tally) {
  auto stub = v1::Sidecar::NewStub(
      std::shared_ptr<grpc::Channel>(std::shared_ptr<grpc::Channel>(), &channel));
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  enum Tag : intptr_t { kStarted = 1, kRead, kWritten, kDone, kFinished };
  // NOLINTNEXTLINE(performance-no-int-to-ptr): gRPC's tags are pointers.
  const auto tag_of = [](Tag tag) { return reinterpret_cast<void*>(tag); };
  auto stream = stub->AsyncPipeline(&context, &queue, tag_of(kStarted));
  Workload workload(options);
  v1::PipelineRequest frame;
  v1::PipelineResponse replies;
  std::vector<Clock::time_point> sent(static_cast<size_t>(options.in_flight) + 1);
  const auto end = Clock::now() + std::chrono::duration<double>(options.seconds);
  int open = 0;
  bool writing = false;
  const auto add = [&](uint64_t id) {
    v1::Call& call = *frame.add_calls();
    call.set_id(id);
    *call.mutable_query() = workload.Next();
    sent[id] = Clock::now();
    ++open;
  };
  const auto write = [&] {
    if (writing || frame.calls_size() == 0) return;
    writing = true;
    stream->Write(frame, tag_of(kWritten));
    frame.Clear();
  };
  bool half_closed = false;
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok)) {
    switch (static_cast<Tag>(reinterpret_cast<intptr_t>(tag))) {
      case kStarted:
        for (int i = 1; i <= options.in_flight; ++i) add(static_cast<uint64_t>(i));
        write();
        stream->Read(&replies, tag_of(kRead));
        break;
      case kWritten:
        writing = false;
        write();
        break;
      case kRead:
        if (!ok) {
          if (open > 0) tally.Fail("the stream ended");
          return;
        }
        for (const v1::Reply& reply : replies.replies()) {
          --open;
          if (reply.has_response()) {
            tally.Add(sent[reply.id()]);
          } else {
            tally.Fail(reply.error().message());
          }
          if (Clock::now() < end) add(reply.id());
        }
        write();
        if (open == 0 && !half_closed) {
          half_closed = true;
          return context.TryCancel();
        }
        stream->Read(&replies, tag_of(kRead));
        break;
      case kDone:
      case kFinished:
        return;
    }
  }
}

int Run(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  const Options options = Parse(argc, argv);
  Tally tally;
  tally.micros.reserve(8'000'000);
  const auto channel = grpc::CreateChannel(options.addr, grpc::InsecureChannelCredentials());
  channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10));
  const auto start = Clock::now();
  if (options.path == "pipeline") {
    RunPipeline(options, *channel, tally);
  } else {
    RunUnary(options, *channel, tally);
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::sort(tally.micros.begin(), tally.micros.end());
  const auto percentile = [&](double p) {
    return tally.micros.empty()
               ? 0.0f
               : tally
                     .micros[static_cast<size_t>(p * static_cast<double>(tally.micros.size() - 1))];
  };
  std::cout << fmt::format(
      "{{\"queries\": {}, \"errors\": {}, \"seconds\": {:.3f}, \"qps\": {:.0f}, \"p50_us\": "
      "{:.1f}, "
      "\"p99_us\": {:.1f}, \"p999_us\": {:.1f}}}\n",
      tally.queries, tally.errors, seconds, static_cast<double>(tally.queries) / seconds,
      percentile(0.5), percentile(0.99), percentile(0.999));
  if (tally.errors > 0) std::cerr << "first error: " << tally.first_error << "\n";
  std::cout.flush();
  std::_Exit(tally.errors == 0 ? 0 : 1);  // A cancelled stream is not waited for.
}

}  // namespace
}  // namespace dbsidecar::bench

int main(int argc, char** argv) { return dbsidecar::bench::Run(argc, argv); }
