// Lanes, opening, and how it fails.
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "tests/support/raw_sqlite.h"
#include "tests/support/sqlite_fixture.h"

namespace dbsidecar::pool {
namespace {

class SqliteOpenTest : public SqliteFileTest {
 protected:
  ProbeEvent OpenBadly(const std::string& location, size_t lane = kWriter) {
    const std::unique_ptr<Driver> driver = NewDriver(location);
    ConnectionProbe probe(loop_, *driver, lane);
    probe.Open();
    ProbeEvent event = probe.Wait();
    EXPECT_EQ(event.kind, ProbeEvent::Kind::kConnectFailed) << location;
    return event;
  }
  void ExpectRejected(const std::string& location, const std::string& sqlstate,
                      const std::string& words) {
    for (const size_t lane : {kReader, kWriter}) {
      const ProbeEvent event = OpenBadly(location, lane);
      EXPECT_TRUE(event.ok) << "not permanent: " << event.error.message;
      EXPECT_EQ(event.error.kind, ErrorKind::kConnectRejected);
      EXPECT_EQ(event.error.sql.sqlstate, sqlstate) << event.error.message;
      EXPECT_NE(event.error.message.find(words), std::string::npos) << event.error.message;
    }
  }
  void WriteFile(const std::string& path, const std::string& bytes, size_t at = 0) {
    std::fstream file(path, at == 0 ? std::ios::out : std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(at));
    file << bytes;
  }
  static std::string TextAt(const Result& result, size_t row, size_t column) {
    return std::string(result.rows.bytes(result.rows.at(row, column)));
  }
};

TEST_F(SqliteOpenTest, LanesShareTheBudget) {
  const auto shape = [](Driver& driver, size_t min, size_t max) {
    std::string text;
    for (const LaneShape& lane : driver.Lanes(min, max)) {
      text += std::to_string(lane.min) + "-" + std::to_string(lane.max) + " ";
    }
    return text;
  };
  EXPECT_EQ(shape(*driver_, 2, 10), "1-9 1-1 ");
  EXPECT_EQ(shape(*driver_, 1, 10), "0-9 1-1 ");
  EXPECT_EQ(shape(*driver_, 0, 2), "0-1 0-1 ");
  EXPECT_EQ(shape(*driver_, 1, 1), "1-1 ");
  EXPECT_EQ(shape(*NewDriver(":memory:"), 5, 10), "1-1 ");
  EXPECT_EQ(shape(*NewDriver("file:x?mode=ro"), 5, 10), "5-10 ");
}

TEST_F(SqliteOpenTest, WhereThereIsOneConnectionAllQueueForIt) {
  const auto all_share = [](Driver& driver, size_t max) {
    std::vector<bool> lanes;
    for (const LaneShape& lane : driver.Lanes(1, max)) lanes.push_back(lane.sharing.value().all);
    return lanes;
  };
  EXPECT_EQ(all_share(*driver_, 10), (std::vector<bool>{false, true}));
  EXPECT_EQ(all_share(*driver_, 2), (std::vector<bool>{true, true}));
  EXPECT_EQ(all_share(*NewDriver(":memory:"), 10), (std::vector<bool>{true}));
}

TEST_F(SqliteOpenTest, ConnectionsAreSetUpAsConfigured) {
  ConnectionProbe reader(loop_, *driver_, kReader, 1);
  ConnectionProbe writer(loop_, *driver_, kWriter, 2);
  for (ConnectionProbe* probe : {&reader, &writer}) {
    probe->OpenWell();
    EXPECT_EQ(probe->RunWell("PRAGMA synchronous").rows.at(0, 0).integer, 1);
    EXPECT_EQ(probe->RunWell("PRAGMA cache_size").rows.at(0, 0).integer, 1000);
    EXPECT_EQ(probe->RunWell("PRAGMA foreign_keys").rows.at(0, 0).integer, 1);
    EXPECT_EQ(TextAt(probe->RunWell("PRAGMA journal_mode"), 0, 0), "wal");
    EXPECT_EQ(probe->RunWell("PRAGMA temp_store").rows.at(0, 0).integer, 2);
  }
}

TEST_F(SqliteOpenTest, FactsNameTheVersionOfSqlite) {
  EXPECT_EQ(driver_->name(), "sqlite");
  EXPECT_EQ(driver_->facts().server_version, sqlite3_libversion());
  EXPECT_EQ(driver_->facts().role, "embedded");
  std::promise<void> refreshed;
  loop_.Do([&] { driver_->RefreshFacts([&](bool) { refreshed.set_value(); }); });
  EXPECT_EQ(refreshed.get_future().wait_for(kPatience), std::future_status::ready);
}

TEST_F(SqliteOpenTest, AReaderMayBeTheFirstToOpenANewFile) {
  ConnectionProbe reader(loop_, *driver_, kReader);
  reader.OpenWell();
  EXPECT_EQ(reader.RunWell("SELECT count(*) FROM sqlite_schema").rows.at(0, 0).integer, 0);
}

TEST_F(SqliteOpenTest, ManyConnectionsOpenANewFileAtOnce) {
  for (int round = 0; round < 10; ++round) {
    const std::unique_ptr<Driver> driver = NewDriver(folder_ / ("new" + std::to_string(round)));
    std::vector<std::unique_ptr<ConnectionProbe>> probes;
    for (ConnectionId id = 1; id <= 8; ++id) {
      const size_t lane = id == 1 ? kWriter : kReader;
      probes.push_back(std::make_unique<ConnectionProbe>(loop_, *driver, lane, id));
    }
    for (auto& probe : probes) probe->Open();
    for (auto& probe : probes) {
      const ProbeEvent event = probe->Wait();
      EXPECT_EQ(event.kind, ProbeEvent::Kind::kConnected) << event.error.message;
    }
  }
}

TEST_F(SqliteOpenTest, MemoryOutlivesItsConnections) {
  const std::unique_ptr<Driver> driver = NewDriver(":memory:");
  const std::unique_ptr<Driver> other = NewDriver(":memory:");
  {
    ConnectionProbe first(loop_, *driver, 0, 1);
    first.OpenWell();
    first.RunWell("CREATE TABLE t (a)");
    first.RunWell("INSERT INTO t VALUES (7)");
  }
  ConnectionProbe second(loop_, *driver, 0, 2);
  second.OpenWell();
  EXPECT_EQ(second.RunWell("SELECT a FROM t").rows.at(0, 0).integer, 7);
  ConnectionProbe elsewhere(loop_, *other, 0, 1);
  elsewhere.OpenWell();
  EXPECT_EQ(elsewhere.RunBadly("SELECT a FROM t").sql.sqlstate, "42P01");
}

TEST_F(SqliteOpenTest, APoolOfOneConnectionReadsAndWrites) {
  driver_->Lanes(1, 1);
  ConnectionProbe probe(loop_, *driver_, 0);
  probe.OpenWell();
  probe.RunWell("CREATE TABLE t (a)");
  EXPECT_EQ(probe.RunWell("INSERT INTO t VALUES (1)").rows_affected, 1);
}

TEST_F(SqliteOpenTest, AMissingFolderIsNamed) {
  ExpectRejected(folder_ / "missing/test.db", "08001", "missing does not exist");
  ExpectRejected("file:" + (folder_ / "missing/test.db") + "?mode=rwc", "08001", "missing does");
}

TEST_F(SqliteOpenTest, APathThroughAFileIsNamed) {
  WriteFile(folder_ / "file", "text");
  ExpectRejected(folder_ / "file/test.db", "08001", "/file does not exist or cannot be entered");
}

TEST_F(SqliteOpenTest, AFolderIsNoDatabase) {
  std::filesystem::create_directory(folder_ / "folder");
  ExpectRejected(folder_ / "folder", "08001", "is a directory");
}

TEST_F(SqliteOpenTest, AFolderThatTakesNoFilesIsAClearError) {
  const ProbeEvent event = OpenBadly("/proc/test.db");
  EXPECT_EQ(event.error.sql.sqlstate, "08001") << event.error.message;
  EXPECT_NE(event.error.message.find("/proc/test.db"), std::string::npos) << event.error.message;
}

TEST_F(SqliteOpenTest, AFileOfAnotherKindIsNoDatabase) {
  WriteFile(path_, std::string(4096, 'x'));
  ExpectRejected(path_, "XX001", "is not an SQLite database");
}

TEST_F(SqliteOpenTest, ADamagedSchemaIsFoundAtOpen) {
  {
    RawSqlite raw(path_);
    raw.Run("CREATE TABLE t (a)");
  }
  WriteFile(path_, std::string(3900, '\xFF'), 100);
  ExpectRejected(path_, "XX001", "is damaged");
}

TEST_F(SqliteOpenTest, DamageFoundByAStatementBreaksTheConnection) {
  {
    RawSqlite raw(path_);
    raw.Run("CREATE TABLE t (a)");
    raw.Run("INSERT INTO t VALUES (zeroblob(100000))");
    raw.Run("INSERT INTO t VALUES (1)");
  }
  WriteFile(path_, std::string(4096, '\xFF'), 4096);
  ConnectionProbe reader(loop_, *driver_, kReader);
  reader.OpenWell();
  const ProbeEvent event = reader.Run("SELECT count(*), sum(length(a)) FROM t");
  ASSERT_TRUE(event.outcome.error.has_value());
  EXPECT_EQ(event.outcome.error->sql.sqlstate, "XX001") << event.outcome.error->message;
  EXPECT_EQ(event.condition, Condition::kBroken);
}

TEST_F(SqliteOpenTest, AReadOnlyUriReadsAndRefusesToWrite) {
  RawSqlite raw(path_);
  raw.Run("CREATE TABLE t (a)");
  const std::unique_ptr<Driver> driver = NewDriver("file:" + path_ + "?mode=ro");
  ConnectionProbe probe(loop_, *driver, 0);
  probe.OpenWell();
  EXPECT_EQ(probe.RunWell("SELECT count(*) FROM t").rows.at(0, 0).integer, 0);
  const Error error = probe.RunBadly("INSERT INTO t VALUES (1)");
  EXPECT_EQ(error.sql.sqlstate, "25006") << error.message;
}

TEST_F(SqliteOpenTest, AReadOnlyUriOfAMissingFileCreatesNothing) {
  const ProbeEvent event = OpenBadly("file:" + path_ + "?mode=ro", 0);
  EXPECT_TRUE(event.ok);
  EXPECT_NE(event.error.message.find("does not exist"), std::string::npos) << event.error.message;
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(SqliteOpenTest, PingAndResetAnswer) {
  for (const size_t lane : {kReader, kWriter}) {
    ConnectionProbe probe(loop_, *driver_, lane);
    probe.OpenWell();
    probe.Ping();
    ProbeEvent event = probe.Wait();
    EXPECT_EQ(event.kind, ProbeEvent::Kind::kPinged);
    EXPECT_TRUE(event.ok);
    probe.Reset();
    event = probe.Wait();
    EXPECT_EQ(event.kind, ProbeEvent::Kind::kReset);
    EXPECT_TRUE(event.ok);
  }
}

TEST_F(SqliteOpenTest, AResetOpensTheDatabaseAnewWhereASessionLeftTraces) {
  ConnectionProbe writer(loop_, *driver_, kWriter);
  writer.OpenWell();
  ProbeCall pin("CREATE TEMP TABLE x (a)");
  pin.session.kind = SessionUse::Kind::kPin;
  EXPECT_EQ(writer.Run(pin).condition, Condition::kDirty);
  writer.Reset();
  EXPECT_TRUE(writer.Wait().ok);
  EXPECT_EQ(writer.RunBadly("SELECT * FROM x").sql.sqlstate, "42P01");
  ProbeCall again("PRAGMA foreign_keys = OFF");
  again.session.kind = SessionUse::Kind::kPin;
  EXPECT_EQ(writer.Run(again).condition, Condition::kDirty);
  std::filesystem::remove(path_);
  std::filesystem::create_directory(path_);
  writer.Reset();
  EXPECT_FALSE(writer.Wait().ok) << "so the pool closes it";
  writer.Close();
  EXPECT_EQ(writer.Wait().kind, ProbeEvent::Kind::kClosed);
}

TEST_F(SqliteOpenTest, OnlyATransactionThatSaysItReadsIsLentAReader) {
  SessionUse use;
  use.kind = SessionUse::Kind::kBegin;
  EXPECT_EQ(driver_->SessionLane(use, {}), kWriter);
  use.begin.read_only = true;
  EXPECT_EQ(driver_->SessionLane(use, {}), kReader);
  use.kind = SessionUse::Kind::kPin;
  EXPECT_EQ(driver_->SessionLane(use, {}), kWriter);
  use.kind = SessionUse::Kind::kNone;
  use.auto_pin = true;
  EXPECT_EQ(driver_->SessionLane(use, Classify("select 1")), kReader);
  EXPECT_EQ(driver_->SessionLane(use, Classify(" /* */ begin")), kWriter);
  EXPECT_EQ(driver_->SessionLane(use, Classify("END")), kWriter);
  driver_->Lanes(1, 1);
  EXPECT_EQ(driver_->SessionLane(use, Classify("begin")), 0u);
}

TEST_F(SqliteOpenTest, AReaderStaysOneAfterAReset) {
  ConnectionProbe probe(loop_, *driver_, kReader);
  probe.OpenWell();
  probe.Reset();
  probe.Wait();
  EXPECT_EQ(probe.Run("CREATE TABLE t (a)").kind, ProbeEvent::Kind::kWrongLane);
}

}  // namespace
}  // namespace dbsidecar::pool
