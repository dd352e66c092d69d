// Writes that wait together commit together, and each has its own outcome; reads that wait together
// share a snapshot; nobody waits behind a statement that takes long.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <set>

#include "tests/support/failing_vfs.h"
#include "tests/support/raw_sqlite.h"
#include "tests/support/sqlite_fixture.h"

namespace dbsidecar::pool {
namespace {

using std::chrono::microseconds;

// Run until they are interrupted.
constexpr char kEndlessRead[] =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
constexpr char kEndlessWrite[] =
    "INSERT INTO t(id) SELECT 1000000 + i FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT "
    "i + 1 FROM n) SELECT i FROM n)";

uint32_t BigEndian(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

// The transactions in a WAL file (https://www.sqlite.org/fileformat2.html, section 4.1): frames
// that carry the size of the database end one.
int CommitsIn(const std::string& wal) {
  std::ifstream file(wal, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  constexpr size_t kHeader = 32;
  constexpr size_t kFrameHeader = 24;
  if (bytes.size() < kHeader) return 0;
  const size_t frame = kFrameHeader + BigEndian(bytes, 8);
  int commits = 0;
  for (size_t at = kHeader; at + frame <= bytes.size(); at += frame) {
    commits += BigEndian(bytes, at + 4) != 0 ? 1 : 0;
  }
  return commits;
}

std::string Told(const ProbeEvent& event) {
  switch (event.kind) {
    case ProbeEvent::Kind::kReply:
      return event.outcome.error.has_value() ? event.outcome.error->sql.sqlstate : "ok";
    case ProbeEvent::Kind::kHandedBack:
      return "handed back";
    case ProbeEvent::Kind::kConnected:
    case ProbeEvent::Kind::kConnectFailed:
    case ProbeEvent::Kind::kPinged:
    case ProbeEvent::Kind::kReset:
    case ProbeEvent::Kind::kWrongLane:
    case ProbeEvent::Kind::kLost:
    case ProbeEvent::Kind::kClosed:
      return "something else";
  }
  return "";
}

class SqliteGroupTest : public SqliteFileTest {
 protected:
  SqliteGroupTest() : writer_((FailingVfs::Install(), loop_), *driver_, kWriter, 1) {
    writer_.OpenWell();
    writer_.RunWell("CREATE TABLE t (id INTEGER PRIMARY KEY, u INT UNIQUE, c INT CHECK (c > 0))");
    writer_.RunWell("CREATE TABLE parent (id INTEGER PRIMARY KEY)");
    writer_.RunWell(
        "CREATE TABLE child (id INTEGER PRIMARY KEY, parent INT REFERENCES parent DEFERRABLE "
        "INITIALLY DEFERRED)");
    writer_.RunWell(
        "CREATE TRIGGER refuse BEFORE INSERT ON t WHEN NEW.id = -1 BEGIN SELECT "
        "RAISE(ROLLBACK, 'no'); END");
  }

  // Hands all over at once, and returns their events by position once each has one.
  std::vector<ProbeEvent> RunTogether(const std::vector<std::string>& texts) {
    calls_.clear();
    std::vector<Call*> calls;
    for (const std::string& text : texts) {
      calls_.push_back(std::make_unique<ProbeCall>(text));
      calls.push_back(calls_.back().get());
    }
    commits_before_ = Commits();
    writer_.StartTogether(calls);
    std::map<const Call*, ProbeEvent> events;
    for (size_t i = 0; i < texts.size(); ++i) {
      ProbeEvent event = writer_.Wait();
      const Call* call = event.call;
      EXPECT_TRUE(events.emplace(call, std::move(event)).second) << "told twice";
    }
    std::vector<ProbeEvent> in_order;
    in_order.reserve(calls.size());
    for (Call* call : calls) in_order.push_back(events[call]);
    return in_order;
  }
  std::vector<std::string> ToldTogether(const std::vector<std::string>& texts) {
    std::vector<std::string> told;
    for (const ProbeEvent& event : RunTogether(texts)) told.push_back(Told(event));
    return told;
  }
  int Commits() { return CommitsIn(path_ + "-wal"); }
  int NewCommits() { return Commits() - commits_before_; }
  int64_t Count(const std::string& what = "t") {
    return writer_.RunWell("SELECT count(*) FROM " + what).rows.at(0, 0).integer;
  }

  ConnectionProbe writer_;
  std::vector<std::unique_ptr<ProbeCall>> calls_;
  int commits_before_ = 0;
};

using Texts = std::vector<std::string>;

TEST_F(SqliteGroupTest, WritesThatWaitTogetherCommitOnceAndHaveTheirOwnResults) {
  Texts texts;
  for (int i = 1; i <= 30; ++i)
    texts.push_back("INSERT INTO t(id) VALUES (" + std::to_string(i) + ")");
  texts.push_back("UPDATE t SET c = 1 WHERE id <= 10");
  texts.push_back("DELETE FROM t WHERE id = 99");
  texts.push_back("DELETE FROM t WHERE id > 25 RETURNING id");
  const std::vector<ProbeEvent> events = RunTogether(texts);
  EXPECT_EQ(NewCommits(), 1);
  for (size_t i = 0; i < 30; ++i) {
    ASSERT_EQ(Told(events[i]), "ok");
    EXPECT_EQ(events[i].outcome.result.last_insert_id, static_cast<int64_t>(i) + 1);
    EXPECT_EQ(events[i].outcome.result.rows_affected, 1);
    EXPECT_EQ(events[i].outcome.result.command_tag, "INSERT 0 1");
  }
  EXPECT_EQ(events[30].outcome.result.rows_affected, 10);
  EXPECT_EQ(events[30].outcome.result.last_insert_id, 0);
  EXPECT_EQ(events[31].outcome.result.rows_affected, 0);
  EXPECT_EQ(events[32].outcome.result.rows_affected, 5);
  EXPECT_EQ(events[32].outcome.result.rows.row_count(), 5u);
  EXPECT_EQ(Count(), 25);
}

TEST_F(SqliteGroupTest, AFailureLeavesItsNeighboursAsTheyAre) {
  const Texts told =
      ToldTogether({"INSERT INTO t VALUES (1, 1, 1)", "INSERT INTO t VALUES (2, 1, 1)",
                    "INSERT INTO t VALUES (3, 3, -1)", "INSERT INTO t VALUES (1, 4, 4)",
                    "INSERT INTO t VALUES (5, 5, 5), (6, 1, 1)", "INSERT INTO t VALUES (7, 7, 7)"});
  EXPECT_EQ(told, (Texts{"ok", "23505", "23514", "23505", "23505", "ok"}));
  EXPECT_EQ(NewCommits(), 1);
  EXPECT_EQ(Count(), 2);
}

TEST_F(SqliteGroupTest, AnErrorThatRollsBackTheTransactionHitsOnlyItsOwnStatement) {
  for (const char* guilty :
       {"INSERT OR ROLLBACK INTO t VALUES (3, 1, 1)", "INSERT INTO t(id) VALUES (-1)"}) {
    writer_.RunWell("DELETE FROM t");
    const Texts told =
        ToldTogether({"INSERT INTO t VALUES (1, 1, 1)", "INSERT INTO t VALUES (2, 1, 1)", guilty,
                      "INSERT INTO t VALUES (4, 4, 4)"});
    EXPECT_EQ(told[0], "ok") << guilty;
    EXPECT_EQ(told[1], "23505") << guilty;
    EXPECT_NE(told[2], "ok") << guilty;
    EXPECT_EQ(told[3], "ok") << guilty;
    EXPECT_EQ(Count(), 2) << guilty;
  }
}

TEST_F(SqliteGroupTest, ADeferredConstraintFailsOnlyTheStatementThatBreaksIt) {
  const Texts told =
      ToldTogether({"INSERT INTO parent VALUES (1)", "INSERT INTO child VALUES (1, 1)",
                    "INSERT INTO child VALUES (2, 99)", "INSERT INTO child VALUES (3, 1)",
                    "DELETE FROM parent", "INSERT INTO t(id) VALUES (1)"});
  EXPECT_EQ(told, (Texts{"ok", "ok", "23503", "ok", "23503", "ok"}));
  EXPECT_EQ(NewCommits(), 3) << "the others did not stay together";
  EXPECT_EQ(Count("child"), 2);
  EXPECT_EQ(Count("parent"), 1);
}

TEST_F(SqliteGroupTest, WhatOnConflictFailKeepsIsKept) {
  writer_.RunWell("INSERT INTO t VALUES (9, 9, 9)");
  const Texts told = ToldTogether({"INSERT INTO t VALUES (1, 1, 1)",
                                   "INSERT OR FAIL INTO t VALUES (2, 2, 2), (9, 3, 3)",
                                   "INSERT INTO t VALUES (4, 4, 4)"});
  EXPECT_EQ(told, (Texts{"ok", "23505", "ok"}));
  EXPECT_EQ(Count(), 4);  // As the same statement leaves it in autocommit.
}

TEST_F(SqliteGroupTest, AResultThatIsTooLargeUndoesItsOwnStatement) {
  ProbeCall before("INSERT INTO t VALUES (1, 1, 1)");
  ProbeCall large("INSERT INTO t(id) VALUES (2), (3), (4) RETURNING id");
  large.statement.limits.rows_max = 2;
  ProbeCall after("INSERT INTO t VALUES (5, 5, 5)");
  writer_.StartTogether({&before, &large, &after});
  std::map<const Call*, ProbeEvent> events;
  for (int i = 0; i < 3; ++i) {
    ProbeEvent event = writer_.Wait();
    events[event.call] = std::move(event);
  }
  EXPECT_EQ(Told(events[&before]), "ok");
  ASSERT_TRUE(events[&large].outcome.error.has_value());
  EXPECT_EQ(events[&large].outcome.error->kind, ErrorKind::kResultTooLarge);
  EXPECT_EQ(Told(events[&after]), "ok");
  EXPECT_EQ(Count(), 2);
}

TEST_F(SqliteGroupTest, WhatCannotRunInATransactionRunsBetweenThem) {
  const Texts told =
      ToldTogether({"INSERT INTO t(id) VALUES (1)", "VACUUM", "INSERT INTO t(id) VALUES (2)",
                    "CREATE TABLE more (id INT)", "INSERT INTO more VALUES (1)",
                    "ALTER TABLE t ADD COLUMN d INT", "INSERT INTO t(id, d) VALUES (3, 3)",
                    "INSERT INTO nowhere VALUES (1)", "selec", "INSERT INTO t(id) VALUES (4)"});
  EXPECT_EQ(told, (Texts{"ok", "ok", "ok", "ok", "ok", "ok", "ok", "42P01", "42601", "ok"}));
  EXPECT_EQ(Count(), 4);
}

TEST_F(SqliteGroupTest, NobodyIsHeldUpByAWriteThatTakesLong) {
  ProbeCall before("INSERT INTO t(id) VALUES (1)");
  ProbeCall endless(kEndlessWrite);
  ProbeCall after("INSERT INTO t(id) VALUES (2)");
  writer_.StartTogether({&before, &endless, &after});
  std::map<const Call*, std::string> told;
  for (int i = 0; i < 2; ++i) {
    const ProbeEvent event = writer_.Wait();
    told[event.call] = Told(event);
  }
  EXPECT_EQ(told[&before], "ok");
  EXPECT_EQ(told[&after], "handed back");
  writer_.Cancel(endless);
  const ProbeEvent event = writer_.Wait();
  EXPECT_EQ(event.call, &endless);
  EXPECT_EQ(Told(event), "57014");
  EXPECT_EQ(Count(), 1);
}

TEST_F(SqliteGroupTest, WhoWaitsBehindALockOfAnotherProcessIsHandedBack) {
  RawSqlite other(path_);
  other.Run("BEGIN IMMEDIATE");
  ProbeCall first("INSERT INTO t(id) VALUES (1)");
  ProbeCall second("INSERT INTO t(id) VALUES (2)");
  writer_.StartTogether({&first, &second});
  const ProbeEvent back = writer_.Wait();
  EXPECT_EQ(back.call, &second);
  EXPECT_EQ(Told(back), "handed back");
  other.Run("COMMIT");
  const ProbeEvent done = writer_.Wait();
  EXPECT_EQ(done.call, &first);
  EXPECT_EQ(Told(done), "ok");
}

TEST_F(SqliteGroupTest, WhoWaitsBehindAReadThatTakesLongIsHandedBackAndTheFinishedAreTold) {
  ConnectionProbe reader(loop_, *driver_, kReader, 2);
  reader.OpenWell();
  ProbeCall before("SELECT 1");
  ProbeCall endless(kEndlessRead);
  ProbeCall after("SELECT 2");
  reader.StartTogether({&before, &endless, &after});
  const ProbeEvent first = reader.Wait();
  EXPECT_EQ(first.call, &before);
  EXPECT_EQ(Told(first), "ok");
  const ProbeEvent second = reader.Wait();
  EXPECT_EQ(second.call, &after);
  EXPECT_EQ(Told(second), "handed back");
  reader.Cancel(endless);
  EXPECT_EQ(Told(reader.Wait()), "57014");
}

TEST_F(SqliteGroupTest, ReadsThatWaitTogetherSeeWhatWasWrittenBeforeThem) {
  ConnectionProbe reader(loop_, *driver_, kReader, 2);
  reader.OpenWell();
  for (int i = 1; i <= 200; ++i) {
    writer_.RunWell("INSERT INTO t(id) VALUES (" + std::to_string(i) + ")");
    ProbeCall a("SELECT count(*) FROM t");
    ProbeCall wrong("SELECT missing FROM t");
    ProbeCall b("SELECT count(*) FROM t");
    ProbeCall write("DELETE FROM t");
    reader.StartTogether({&a, &wrong, &b, &write});
    for (const Call* call : {&a, &wrong, &b, &write}) {
      const ProbeEvent event = reader.Wait();
      ASSERT_EQ(event.call, call);
      if (call == &wrong) {
        EXPECT_EQ(Told(event), "42703");
      } else if (call == &write) {
        EXPECT_EQ(event.kind, ProbeEvent::Kind::kWrongLane);
      } else {
        EXPECT_EQ(event.outcome.result.rows.at(0, 0).integer, i);
      }
    }
  }
}

TEST_F(SqliteGroupTest, AReadIsSharedOnceItIsKnownToBeShort) {
  ConnectionProbe reader(loop_, *driver_, kReader, 2);
  reader.OpenWell();
  const std::string quick = "SELECT 1";
  const std::string slow =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) SELECT "
      "count(*) FROM n";
  EXPECT_FALSE(Classify(quick).is_short);
  // A loaded machine may stop the thread in the middle of a run.
  for (int i = 0; i < 1000 && !Classify(quick).is_short; ++i) reader.RunWell(quick);
  EXPECT_TRUE(Classify(quick).is_short);
  for (int i = 0; i < 10; ++i) reader.RunWell(slow);
  EXPECT_FALSE(Classify(slow).is_short);
}

// Each call writes a row of its own, so what it was told can be compared with what is there.
TEST_F(SqliteGroupTest, WhoeverIsToldOfSuccessHasTakenEffectAndNobodyElseWhateverIsCancelled) {
  const unsigned seed = testing::UnitTest::GetInstance()->random_seed() != 0
                            ? static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed())
                            : std::random_device()();
  SCOPED_TRACE("--gtest_random_seed=" + std::to_string(seed % 100000));
  std::mt19937 random(seed % 100000);
  int64_t id = 0;
  std::set<int64_t> expected;
  int interrupted = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<std::unique_ptr<ProbeCall>> calls;
    std::vector<Call*> together;
    std::map<const Call*, int64_t> id_of;
    for (int i = 0; i < 8; ++i) {
      ++id;
      const std::string number = std::to_string(id);
      const bool long_one = random() % 4 == 0;
      // A long one runs for about a millisecond, in which the cancel has a chance to come.
      calls.push_back(std::make_unique<ProbeCall>(
          long_one ? "INSERT INTO t(id) SELECT " + number +
                         " WHERE (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                         "WHERE i < 10000) SELECT count(*) FROM n) > 0"
                   : "INSERT INTO t(id) VALUES (" + number + ")"));
      together.push_back(calls.back().get());
      id_of[together.back()] = id;
    }
    writer_.StartTogether(together);
    for (int i = 0; i < 2; ++i) {
      std::this_thread::sleep_for(microseconds(random() % 1500));
      writer_.Cancel(*together[random() % together.size()]);
    }
    for (size_t i = 0; i < together.size(); ++i) {
      const ProbeEvent event = writer_.Wait();
      ASSERT_TRUE(id_of.contains(event.call)) << "told twice, or of another round";
      const int64_t written = id_of[event.call];
      id_of.erase(event.call);
      const std::string told = Told(event);
      if (told == "ok") {
        EXPECT_EQ(event.outcome.result.last_insert_id, written);
        expected.insert(written);
      } else if (told == "57014") {
        ++interrupted;
      } else {
        EXPECT_EQ(told, "handed back");
      }
    }
  }
  const Result rows = writer_.RunWell("SELECT id FROM t ORDER BY id");
  std::set<int64_t> found;
  for (size_t i = 0; i < rows.rows.row_count(); ++i) found.insert(rows.rows.at(i, 0).integer);
  EXPECT_EQ(found, expected);
  EXPECT_GT(interrupted, 0);
}

class SqliteFailingGroupTest : public SqliteGroupTest {
 protected:
  ~SqliteFailingGroupTest() override { FailingVfs::Fail(SQLITE_OK); }
};

TEST_F(SqliteFailingGroupTest, NobodyIsToldOfSuccessWhenTheCommitFailsAndAllAreRunAgain) {
  FailingVfs::Fail(SQLITE_FULL, 1);
  const Texts told = ToldTogether({"INSERT INTO t(id) VALUES (1)", "INSERT INTO t(id) VALUES (1)",
                                   "INSERT INTO t(id) VALUES (2)"});
  EXPECT_EQ(FailingVfs::failed(), 1);
  EXPECT_EQ(told, (Texts{"ok", "23505", "ok"}));
  EXPECT_EQ(Count(), 2);
}

TEST_F(SqliteFailingGroupTest, AFullDiskIsToldToEveryWriteAndNoneTookEffect) {
  FailingVfs::Fail(SQLITE_FULL);
  const Texts told = ToldTogether({"INSERT INTO t(id) VALUES (1)", "INSERT INTO t(id) VALUES (2)"});
  EXPECT_EQ(told, (Texts{"53100", "53100"}));
  FailingVfs::Fail(SQLITE_OK);
  EXPECT_EQ(Count(), 0);
}

TEST_F(SqliteFailingGroupTest, ADiskThatFailsInACommitLeavesTheOutcomeUnknownAndNothingIsRunTwice) {
  FailingVfs::Fail(SQLITE_IOERR_WRITE, 1);
  const std::vector<ProbeEvent> events =
      RunTogether({"INSERT INTO t(id) VALUES (1)", "INSERT INTO t(id) VALUES (1)",
                   "INSERT INTO t(id) VALUES (2)"});
  EXPECT_EQ(Told(events[0]), "58030");
  EXPECT_EQ(Told(events[1]), "23505");
  EXPECT_EQ(Told(events[2]), "58030");
  EXPECT_TRUE(events[0].outcome.error->outcome_unknown);
  EXPECT_FALSE(events[1].outcome.error->outcome_unknown);
  EXPECT_TRUE(events[2].outcome.error->outcome_unknown);
  for (const ProbeEvent& event : events) EXPECT_EQ(event.condition, Condition::kBroken);
}

using SqliteMemoryGroupTest = SqliteMemoryTest;

TEST_F(SqliteMemoryGroupTest, ReadsAndWritesOfOneConnectionRunTogether) {
  probe_.RunWell("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  ProbeCall a("INSERT INTO t VALUES (1)");
  ProbeCall b("SELECT count(*) FROM t");
  ProbeCall c("INSERT INTO t VALUES (1)");
  ProbeCall d("INSERT INTO t VALUES (2)");
  ProbeCall e("SELECT count(*) FROM t");
  probe_.StartTogether({&a, &b, &c, &d, &e});
  EXPECT_EQ(Told(probe_.Wait()), "ok");
  EXPECT_EQ(probe_.Wait().outcome.result.rows.at(0, 0).integer, 1);
  EXPECT_EQ(Told(probe_.Wait()), "23505");
  EXPECT_EQ(Told(probe_.Wait()), "ok");
  EXPECT_EQ(probe_.Wait().outcome.result.rows.at(0, 0).integer, 2);
}

}  // namespace
}  // namespace dbsidecar::pool
