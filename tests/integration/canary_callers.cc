#include "tests/integration/canary_callers.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <stop_token>
#include <thread>

namespace dbsidecar::integration {
namespace {

// A unary caller has time for trouble; over Pipeline the same shares would leave little else.
constexpr CanaryShares kUnaryShares{.cancelled = 15, .short_deadline = 15};
constexpr CanaryShares kManyShares{.cancelled = 2, .short_deadline = 3};

constexpr size_t kInFlightMax = 64;
constexpr size_t kClientInFlightMax = 16;
constexpr size_t kFrameMax = 24;
// Of one stream, before another is begun.
constexpr size_t kStreamCallsMin = 2000;
constexpr size_t kStreamCallsSpread = 30'000;
// One in so many streams is broken instead of ended.
constexpr size_t kBroken = 4;
constexpr seconds kStreamMax{300};
// Every call is answered within its own time; whatever is open so long after the last answer is
// never going to be.
const milliseconds kSilenceMax = kCanaryQueryTimeout + 1s + 4 * kScheduling;

void Judge(const CanaryScene& scene, const CanaryInFlight::Entry& entry, CanaryAnswer answer) {
  answer.took = Clock::now() - entry.sent;
  scene.ledger.Answered(entry.call, answer);
}

void ReportSilence(const CanaryScene& scene, CanaryInFlight& in_flight, const std::string& where) {
  for (const CanaryInFlight::Entry& entry : in_flight.TakeAll()) {
    CanaryAnswer none;
    none.code = -1;
    none.took = Clock::now() - entry.sent;
    scene.ledger.Fault("no answer, " + where + ": " + Describe(entry.call, none));
    scene.ledger.Abandoned(entry.call);
  }
}

// --- Pipeline. ---

class PipelineStream {
 public:
  // `sizes` is not `chooser`: when a frame is sent depends on time, what is in it must not.
  PipelineStream(const CanaryScene& scene, v1::Sidecar::Stub& stub, CanaryChooser& chooser,
                 CanaryChooser& sizes)
      : scene_(scene), chooser_(chooser), sizes_(sizes) {
    context_.set_deadline(std::chrono::system_clock::now() + kStreamMax);
    stream_ = stub.Pipeline(&context_);
  }

  void Run() {
    const size_t calls = kStreamCallsMin + sizes_.Below(kStreamCallsSpread);
    breaks_ = sizes_.Below(kBroken) == 0;
    std::thread reader([this] { Read(); });
    const auto end = Clock::now() + kStreamMax / 2;
    size_t sent = 0;
    size_t next = 1;
    while (sent < calls && !scene_.over && Clock::now() < end) {
      const bool room = in_flight_.WaitForRoom(kInFlightMax - next, 100ms);
      SendFrame(room ? next : 0);
      if (!room) continue;
      sent += next;
      next = 1 + sizes_.Below(kFrameMax);
    }
    End();
    reader.join();
    const grpc::Status status = stream_->Finish();
    if (!breaks_ && !status.ok()) {
      scene_.ledger.Fault("a Pipeline stream ended with " + status.error_message());
    }
  }

 private:
  void SendFrame(size_t calls) {
    v1::PipelineRequest frame;
    for (size_t i = 0; i < calls; ++i) AddCall(frame);
    for (const uint64_t id : in_flight_.TakeDueCancels()) frame.add_calls()->set_cancel_id(id);
    if (frame.calls_size() > 0) stream_->Write(frame);
  }

  void AddCall(v1::PipelineRequest& frame) {
    CanaryCall chosen = chooser_.Next();
    v1::Call& call = *frame.add_calls();
    *call.mutable_query() = chosen.request;
    if (chosen.timeout) {
      call.mutable_timeout()->set_nanos(static_cast<int32_t>(chosen.timeout->count()) * 1'000'000);
    }
    call.set_id(in_flight_.Add(std::move(chosen)));
  }

  void End() {
    if (breaks_) {
      leaving_ = true;
      context_.TryCancel();
      return;
    }
    stream_->WritesDone();
    if (in_flight_.WaitUntilEmpty(kSilenceMax)) return;
    ReportSilence(scene_, in_flight_, "over Pipeline");
    context_.TryCancel();
  }

  // To the end of the stream, so that an answer too many is seen, too.
  void Read() {
    v1::PipelineResponse frame;
    while (stream_->Read(&frame)) {
      for (const v1::Reply& reply : frame.replies()) Take(reply);
    }
    for (const CanaryInFlight::Entry& entry : in_flight_.TakeAll()) {
      if (!leaving_) scene_.ledger.Fault("the stream has ended without an answer");
      scene_.ledger.Abandoned(entry.call);
    }
  }

  void Take(const v1::Reply& reply) {
    const std::optional<CanaryInFlight::Entry> entry = in_flight_.Take(reply.id());
    if (!entry) {
      scene_.ledger.Fault("an answer for no call in flight: " +
                          reply.ShortDebugString().substr(0, 500));
    } else if (reply.has_response()) {
      Judge(scene_, *entry, AnswerOf(reply.response()));
    } else {
      Judge(scene_, *entry, AnswerOf(reply.error()));
    }
  }

  const CanaryScene& scene_;
  CanaryChooser& chooser_;
  CanaryChooser& sizes_;
  CanaryInFlight in_flight_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::PipelineRequest, v1::PipelineResponse>> stream_;
  bool breaks_ = false;
  std::atomic<bool> leaving_{false};
};

// --- The C++ client. ---

dbsidecar::Params ParamsOf(const v1::QueryRequest& request) {
  dbsidecar::Params params;
  for (const v1::Value& value : request.params()) {
    if (value.has_string_value()) {
      params.Add(value.string_value());
    } else {
      params.Add(value.int_value());
    }
  }
  return params;
}

std::string TextOf(const dbsidecar::Cell& cell) {
  if (const auto* number = std::get_if<int64_t>(&cell)) return std::to_string(*number);
  if (const auto* text = std::get_if<std::string_view>(&cell)) return std::string(*text);
  return "<neither a number nor text>";
}

CanaryAnswer AnswerOf(const dbsidecar::Result& result) {
  CanaryAnswer answer;
  answer.rows = static_cast<uint32_t>(result.size());
  if (result.columns() == 0 || result.empty()) return answer;
  answer.column = result.column(0).name;
  answer.first = TextOf(result[0].At(0));
  if (result.columns() > 1) answer.second = TextOf(result[0].At(1));
  return answer;
}

CanaryAnswer AnswerOf(const dbsidecar::Failure& failure) {
  CanaryAnswer answer;
  answer.code = static_cast<int>(failure.code);
  answer.reason = failure.reason;
  answer.error = failure.message;
  answer.outcome_unknown = failure.outcome_unknown;
  if (failure.sql) {
    answer.sqlstate = failure.sql->sqlstate;
    answer.error += " | " + failure.sql->detail;
  }
  return answer;
}

class ClientCaller {
 public:
  ClientCaller(const CanaryScene& scene, dbsidecar::Client& client, uint64_t seed)
      : scene_(scene), client_(client), chooser_(seed, kManyShares) {}

  void Run() {
    while (!scene_.over) {
      const bool room = in_flight_->WaitForRoom(kClientInFlightMax - 1, 100ms);
      CancelThoseDue();
      if (room) Call();
    }
    if (!in_flight_->WaitUntilEmpty(kSilenceMax)) {
      ReportSilence(scene_, *in_flight_, "through the client");
    }
  }

 private:
  void Call() {
    CanaryCall chosen = chooser_.Next();
    const dbsidecar::Params params = ParamsOf(chosen.request);
    const std::string sql = chosen.request.sql();
    dbsidecar::CallOptions options{.read_only = chosen.request.read_only()};
    if (chosen.timeout) options.timeout = *chosen.timeout;
    const bool cancels = chosen.cancel_after.has_value();
    const uint64_t id = in_flight_->Add(std::move(chosen));
    if (cancels) options.stop = stops_[id].get_token();
    client_.QueryThen(
        options, sql, params, [scene = scene_, in_flight = in_flight_, id](Outcome outcome) {
          const std::optional<CanaryInFlight::Entry> entry = in_flight->Take(id);
          if (!entry) {
            scene.ledger.Fault("the client called back for no call in flight");
          } else {
            Judge(scene, *entry,
                  outcome.ok() ? AnswerOf(outcome.result()) : AnswerOf(outcome.failure()));
          }
        });
  }

  void CancelThoseDue() {
    for (const uint64_t id : in_flight_->TakeDueCancels()) stops_[id].request_stop();
    // The oldest, which were answered, or asked to stop, long ago.
    if (stops_.size() > 2 * kClientInFlightMax) stops_.erase(stops_.begin());
  }

  const CanaryScene scene_;
  dbsidecar::Client& client_;
  CanaryChooser chooser_;
  // Shared with the callbacks, which may come later than anyone waits.
  std::shared_ptr<CanaryInFlight> in_flight_ = std::make_shared<CanaryInFlight>();
  std::map<uint64_t, std::stop_source> stops_;
};

}  // namespace

// --- In flight. ---

uint64_t CanaryInFlight::Add(CanaryCall call) {
  const std::lock_guard lock(mutex_);
  const uint64_t id = ++last_id_;
  const Clock::time_point now = Clock::now();
  if (call.cancel_after) cancels_.emplace(now + *call.cancel_after, id);
  calls_.emplace(id, Entry{.call = std::move(call), .sent = now});
  return id;
}

std::optional<CanaryInFlight::Entry> CanaryInFlight::Take(uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto it = calls_.find(id);
  if (it == calls_.end()) return std::nullopt;
  std::optional<Entry> entry = std::move(it->second);
  calls_.erase(it);
  if (entry->call.cancel_after) cancels_.erase({entry->sent + *entry->call.cancel_after, id});
  ++taken_;
  if (calls_.size() <= wanted_) changed_.notify_one();
  return entry;
}

std::vector<uint64_t> CanaryInFlight::TakeDueCancels() {
  const std::lock_guard lock(mutex_);
  std::vector<uint64_t> due;
  const Clock::time_point now = Clock::now();
  while (!cancels_.empty() && cancels_.begin()->first <= now) {
    due.push_back(cancels_.begin()->second);
    cancels_.erase(cancels_.begin());
  }
  return due;
}

Clock::time_point CanaryInFlight::NextCancel() const {
  return cancels_.empty() ? Clock::time_point::max() : cancels_.begin()->first;
}

bool CanaryInFlight::WaitForRoom(size_t count, milliseconds limit) {
  std::unique_lock lock(mutex_);
  const Clock::time_point end = std::min(Clock::now() + limit, NextCancel());
  wanted_ = count;
  return changed_.wait_until(lock, end, [&] { return calls_.size() <= count; });
}

bool CanaryInFlight::WaitUntilEmpty(milliseconds limit) {
  std::unique_lock lock(mutex_);
  wanted_ = std::numeric_limits<size_t>::max();
  while (!calls_.empty()) {
    const uint64_t taken = taken_;
    if (!changed_.wait_for(lock, limit, [&] { return taken_ != taken; })) return false;
  }
  return true;
}

std::vector<CanaryInFlight::Entry> CanaryInFlight::TakeAll() {
  const std::lock_guard lock(mutex_);
  std::vector<Entry> all;
  for (auto& [id, entry] : calls_) all.push_back(std::move(entry));
  calls_.clear();
  cancels_.clear();
  changed_.notify_one();
  return all;
}

// --- Callers. ---

void CallUnary(const CanaryScene& scene, uint64_t seed) {
  CanaryChooser chooser(seed, kUnaryShares);
  QueryClient client(scene.sidecar.NewChannel());
  while (!scene.over) {
    const CanaryCall call = chooser.Next();
    // Without a deadline of its own it must be the sidecar that ends it.
    const auto pending = client.Start(call.request, call.timeout.value_or(20s));
    if (call.cancel_after) {
      std::this_thread::sleep_for(*call.cancel_after);
      pending->Cancel();
    }
    const QueryOutcome& outcome = pending->Wait();
    CanaryAnswer answer = AnswerOf(outcome.response);
    if (!outcome.ok()) {
      v1::Error error;
      error.set_code(outcome.status.error_code());
      error.set_message(outcome.status.error_message());
      error.set_reason(outcome.reason);
      *error.mutable_sql() = outcome.sql;
      answer = AnswerOf(error);
    }
    answer.took = outcome.took;
    scene.ledger.Answered(call, answer);
  }
}

void CallOverPipeline(const CanaryScene& scene, uint64_t seed) {
  CanaryChooser chooser(seed, kManyShares);
  CanaryChooser sizes(~seed, kManyShares);
  const auto stub = v1::Sidecar::NewStub(scene.sidecar.NewChannel());
  while (!scene.over) PipelineStream(scene, *stub, chooser, sizes).Run();
}

void CallThroughClient(const CanaryScene& scene, dbsidecar::Client& client, uint64_t seed) {
  ClientCaller(scene, client, seed).Run();
}

}  // namespace dbsidecar::integration
