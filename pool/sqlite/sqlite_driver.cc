#include "pool/sqlite/sqlite_driver.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>

#include "pool/check.h"
#include "pool/sqlite/sqlite_connection.h"
#include "pool/sqlite/statement_text.h"

namespace dbsidecar::pool {
namespace {

std::string NewMemoryTarget() {
  static std::atomic<uint64_t> count{0};
  return fmt::format("file:/dbsidecar-{}?vfs=memdb", ++count);
}

// A thread that is awake works through what waits for it; to wake another one costs more than a
// short statement, and gains only where many wait.
constexpr size_t kSharedMax = 4;
constexpr size_t kSharedDepth = 256;
constexpr size_t kSharedSpread = 16;
constexpr std::string_view kReader = "reader";
constexpr std::string_view kWriter = "writer";

LaneShape Shape(std::string_view name, size_t min, size_t max) {
  // Half of them are left for reads that are not short.
  const size_t shared_max = std::clamp<size_t>(max / 2, 1, kSharedMax);
  return {.min = min,
          .max = max,
          .sharing = LaneSharing{.shared_max = shared_max,
                                 .shared_depth = kSharedDepth,
                                 .shared_spread = kSharedSpread,
                                 .all = max == 1},
          .name = name};
}

class SqliteDriver final : public Driver {
 public:
  SqliteDriver(SqliteConfig config, EventLoop& loop) : shared_(std::move(config), loop) {
    if (shared_.location.kind == SqliteLocation::Kind::kMemory) KeepMemory();
  }
  ~SqliteDriver() override { sqlite3_close(memory_keeper_); }

  std::string_view name() const override { return "sqlite"; }

  std::vector<LaneShape> Lanes(size_t min, size_t max) const override {
    one_connection_ = max < 2;
    switch (shared_.location.kind) {
      case SqliteLocation::Kind::kMemory:
        return {Shape(kWriter, 1, 1)};
      case SqliteLocation::Kind::kReadOnlyFile:
        return {Shape(kReader, min, max)};
      case SqliteLocation::Kind::kFile:
        break;
    }
    if (one_connection_) return {Shape(kWriter, min, max)};
    const size_t writer_min = std::min<size_t>(1, min);
    return {Shape(kReader, min - writer_min, max - 1), Shape(kWriter, writer_min, 1)};
  }

  std::string_view LaneName(size_t lane) const override {
    return lane == kWriterLane || has_one_lane() ? "writer" : "reader";
  }

  Classification Classify(const Statement& statement) override {
    return statement.form == StatementForm::kScript ? ClassifyScript()
                                                    : shared_.Classify(statement.sql);
  }
  // The rest is told by compiling it.
  std::string Fingerprint(std::string_view sql) const override { return TextFingerprint(sql); }
  std::string WithoutConstants(std::string_view sql) const override {
    return TextWithoutConstants(sql);
  }

  std::optional<Error> Describe(const Statement& statement, Description& into) override {
    into.needs_own_connection = NameCommand(statement.sql).words == "VACUUM";
    into.fingerprint = TextFingerprint(statement.sql);
    return std::nullopt;
  }

  bool has_sessions() const override { return true; }
  bool has(StatementForm form) const override {
    return form == StatementForm::kSingle || form == StatementForm::kScript;
  }

  // It cannot change lanes later, so only a transaction that says it reads goes to a reader.
  size_t SessionLane(const SessionUse& use, const Classification& classification) const override {
    if (has_one_lane()) return 0;
    switch (use.kind) {
      case SessionUse::Kind::kBegin:
        return use.begin.read_only ? kReaderLane : kWriterLane;
      case SessionUse::Kind::kPin:
        return kWriterLane;
      case SessionUse::Kind::kNone:  // auto_pin.
        return classification.transaction_control ? kWriterLane : classification.lane;
      case SessionUse::Kind::kContinue:
      case SessionUse::Kind::kEnd:
        break;
    }
    return classification.lane;
  }

  std::unique_ptr<Connection> NewConnection(ConnectionId id, size_t lane,
                                            ConnectionEvents& events) override {
    return std::make_unique<SqliteConnection>(id, RoleOf(lane), shared_, events);
  }

  DatabaseFacts facts() const override {
    DatabaseFacts facts;
    facts.server_version = sqlite3_libversion();
    facts.role = "embedded";
    return facts;
  }

  bool facts_take_a_place() const override { return false; }
  void RefreshFacts(std::function<void(bool learnt)> done) override {
    shared_.loop.Post([done = std::move(done)] { done(true); });
  }

 private:
  bool has_one_lane() const {
    return one_connection_ || shared_.location.kind != SqliteLocation::Kind::kFile;
  }

  // Nobody knows what it does before it is done.
  Classification ClassifyScript() const {
    Classification classification;
    classification.lane = has_one_lane() ? kReaderLane : kWriterLane;
    classification.transaction_control = true;
    return classification;
  }

  // A database in memory ends with the last handle on it. This one keeps it from ending whenever
  // the pool replaces its connection.
  void KeepMemory() {
    shared_.location.target = NewMemoryTarget();
    const int code =
        sqlite3_open_v2(shared_.location.target.c_str(), &memory_keeper_,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI, nullptr);
    DBSIDECAR_CHECK(code == SQLITE_OK);
  }

  SqliteSession::Role RoleOf(size_t lane) const {
    switch (shared_.location.kind) {
      case SqliteLocation::Kind::kMemory:
        return SqliteSession::Role::kWriter;
      case SqliteLocation::Kind::kReadOnlyFile:
        return SqliteSession::Role::kReadOnly;
      case SqliteLocation::Kind::kFile:
        break;
    }
    const bool writes = one_connection_ || lane == kWriterLane;
    return writes ? SqliteSession::Role::kWriter : SqliteSession::Role::kReader;
  }

  SqliteShared shared_;
  sqlite3* memory_keeper_ = nullptr;
  // Where the budget is a single connection there is one lane, and its connection writes too.
  mutable bool one_connection_ = false;
};

}  // namespace

std::unique_ptr<Driver> NewSqliteDriver(SqliteConfig config, EventLoop& loop) {
  return std::make_unique<SqliteDriver>(std::move(config), loop);
}

}  // namespace dbsidecar::pool
