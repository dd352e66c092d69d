#include "tests/support/fake_driver.h"

#include <algorithm>
#include <utility>

#include "pool/check.h"

namespace dbsidecar::test_support {

using pool::Call;
using pool::Condition;
using pool::ConnectionEvents;
using pool::ConnectionId;
using pool::Error;
using pool::ErrorKind;
using pool::Outcome;

namespace {

Error ErrorOf(ErrorKind kind, std::string message, bool outcome_unknown = false) {
  return {
      .kind = kind, .message = std::move(message), .sql = {}, .outcome_unknown = outcome_unknown};
}

Outcome DatabaseFailure(std::string sqlstate, std::string message) {
  Outcome outcome;
  outcome.error = ErrorOf(ErrorKind::kDatabase, message);
  outcome.error->sql.sqlstate = std::move(sqlstate);
  outcome.error->sql.message = std::move(message);
  return outcome;
}

Outcome OneCell(std::string_view text) {
  Outcome outcome;
  outcome.result.columns.push_back({.name = "value", .declared_type = {}});
  outcome.result.rows.SetColumnCount(1);
  outcome.result.rows.AddText(text);
  outcome.result.command_tag = "SELECT 1";
  return outcome;
}

}  // namespace

class FakeConnection final : public pool::Connection {
 public:
  FakeConnection(FakeDriver& driver, ConnectionId id, size_t lane, ConnectionEvents& events)
      : driver_(driver),
        id_(id),
        lane_(lane),
        events_(events),
        self_(std::make_shared<FakeConnection*>(this)) {
    driver_.connections_.insert(this);
  }
  ~FakeConnection() override {
    *self_ = nullptr;
    driver_.connections_.erase(this);
  }

  void Open() override {
    driver_.NoteOpened();
    switch (driver_.NextConnect()) {
      case FakeDriver::Connect::kSucceed:
        Report([this] { events_.OnConnected(id_); });
        break;
      case FakeDriver::Connect::kFail:
        FailConnect("connection refused", false);
        break;
      case FakeDriver::Connect::kReject:
        FailConnect("password authentication failed", true);
        break;
      case FakeDriver::Connect::kNever:
        break;
    }
  }

  void Ping() override {
    ++driver_.figures_.pings;
    if (driver_.script.ping == FakeDriver::Ping::kNever) return;
    const bool ok = driver_.script.ping == FakeDriver::Ping::kAnswer;
    Report([this, ok] { events_.OnPinged(id_, ok); });
  }

  void Reset() override {
    ++driver_.figures_.resets;
    Report([this] { events_.OnReset(id_, true); });
  }

  void Execute(Call& call) override {
    DBSIDECAR_CHECK(running_ == nullptr && !closing_);
    running_ = &call;
    const std::string_view sql = call.statement.sql;
    if (sql == "lose") {
      Outcome outcome;
      outcome.error = ErrorOf(ErrorKind::kConnectionLost, "the server closed the connection",
                              !call.statement.read_only);
      Reply(std::move(outcome), Condition::kBroken);
    } else if (sql == "syntax error") {
      Reply(DatabaseFailure("42601", "syntax error"), Condition::kClean);
    } else if (sql == "dirty") {
      Reply(OneCell("dirty"), Condition::kDirty);
    } else if (sql == "write") {
      Write(call);
    } else if (sql.starts_with("stream ")) {
      parts_left_ = std::stoi(std::string(sql.substr(7)));
      next_part_ = 1;
      Report([this] { SendParts(); });
    } else if (sql.starts_with("select ")) {
      Reply(OneCell(sql.substr(7)), Condition::kClean);
    } else {
      DBSIDECAR_CHECK(sql == "sleep" || sql == "deaf");
    }
  }

  void Cancel(Call& call) override {
    const bool interruptible =
        call.statement.sql == "sleep" || call.statement.sql.starts_with("stream ");
    if (running_ == &call && interruptible) {
      Reply(DatabaseFailure("57014", "canceling statement due to user request"), Condition::kClean);
    }
  }

  void Resume(Call& call) override {
    Report([this, &call] {
      if (running_ == &call) SendParts();
    });
  }

  void Close() override {
    DBSIDECAR_CHECK(!closing_);
    closing_ = true;
    ++driver_.figures_.closes;
    if (driver_.script.close_at_once) FinishClose();
  }

  void FinishClose() {
    if (!closing_ || std::exchange(let_go_, true)) return;
    Post([this] {
      driver_.NoteGone();
      events_.OnClosed(id_);
    });
  }

  void LoseIfIdle() {
    if (running_ != nullptr) return;
    Report([this] {
      events_.OnLost(id_, ErrorOf(ErrorKind::kConnectionLost, "the server closed the connection"));
    });
  }

 private:
  // Runs `task` on the loop, unless this is destroyed before.
  void Post(std::function<void()> task) {
    driver_.loop_.Post([self = self_, task = std::move(task)] {
      if (*self != nullptr) task();
    });
  }
  // The same, unless this is closed before.
  void Report(std::function<void()> task) {
    Post([this, task = std::move(task)] {
      if (!closing_) task();
    });
  }

  void FailConnect(std::string message, bool permanent) {
    Report([this, message = std::move(message), permanent] {
      driver_.NoteGone();
      events_.OnConnectFailed(id_, ErrorOf(ErrorKind::kNoConnection, message), permanent);
    });
  }

  void Write(Call& call) {
    const size_t writers = driver_.script.lanes - 1;
    if (lane_ == writers) {
      Reply(OneCell("written"), Condition::kClean);
      return;
    }
    driver_.learnt_lanes_[std::string(call.statement.sql)] = writers;
    Report([this, writers] {
      Call& moved = *std::exchange(running_, nullptr);
      events_.OnWrongLane(id_, moved, writers);
    });
  }

  void SendParts() {
    while (running_ != nullptr && parts_left_ > 0) {
      pool::Part part;
      part.result = OneCell(std::to_string(next_part_)).result;
      part.result.command_tag.clear();
      if (next_part_ > 1) part.result.columns.clear();
      ++next_part_;
      --parts_left_;
      if (!events_.OnPart(id_, *running_, std::move(part))) return;
    }
    Reply(Outcome{}, Condition::kClean);
  }

  void Reply(Outcome outcome, Condition condition) {
    Report([this, outcome = std::move(outcome), condition] {
      Call* call = std::exchange(running_, nullptr);
      if (call != nullptr) events_.OnReply(id_, *call, outcome, condition);
    });
  }

  FakeDriver& driver_;
  const ConnectionId id_;
  const size_t lane_;
  ConnectionEvents& events_;
  const std::shared_ptr<FakeConnection*> self_;
  Call* running_ = nullptr;
  int parts_left_ = 0;
  int next_part_ = 1;
  bool closing_ = false;
  bool let_go_ = false;
};

void FakeDriver::LoseIdleConnections() {
  for (FakeConnection* connection : connections_) connection->LoseIfIdle();
}

void FakeDriver::FinishCloses() {
  for (FakeConnection* connection : connections_) connection->FinishClose();
}

std::vector<pool::LaneShape> FakeDriver::Lanes(size_t min, size_t max) const {
  std::vector<pool::LaneShape> shapes(script.lanes, {.min = 0, .max = 1});
  shapes[0] = {.min = min, .max = max - (script.lanes - 1)};
  return shapes;
}

pool::Classification FakeDriver::Classify(const pool::Statement& statement) {
  pool::Classification classification;
  const auto learnt = learnt_lanes_.find(std::string(statement.sql));
  if (learnt != learnt_lanes_.end()) classification.lane = learnt->second;
  return classification;
}

std::unique_ptr<pool::Connection> FakeDriver::NewConnection(ConnectionId id, size_t lane,
                                                            ConnectionEvents& events) {
  return std::make_unique<FakeConnection>(*this, id, lane, events);
}

FakeDriver::Connect FakeDriver::NextConnect() {
  if (script.connects.empty()) return script.connect;
  const Connect next = script.connects.front();
  script.connects.pop_front();
  return next;
}

void FakeDriver::NoteOpened() {
  ++figures_.opened;
  ++figures_.existing;
  figures_.existing_max = std::max(figures_.existing_max, figures_.existing);
}

}  // namespace dbsidecar::test_support
