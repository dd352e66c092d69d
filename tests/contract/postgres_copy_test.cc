// COPY on PostgreSQL: from a source and into a sink, outside pipeline mode.
#include <fmt/format.h>

#include <deque>
#include <string>
#include <thread>

#include "tests/contract/database.h"
#include "tests/contract/test_sink.h"

namespace dbsidecar::contract {
namespace {

using pool::ErrorKind;
using pool::Outcome;
using pool::SessionUse;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Gives what the test has put into it.
class TestSource final : public pool::CopySource {
 public:
  Next TakeNext(std::string& data) override {
    const std::lock_guard lock(mutex_);
    ++asked_;
    if (!pieces_.empty()) {
      data = std::move(pieces_.front());
      if (!endless_)
        pieces_.pop_front();
      else
        pieces_.front() = data;
      return Next::kData;
    }
    if (last_ == Next::kAbort) data = "no more";
    return last_;
  }
  void Put(std::string piece) {
    const std::lock_guard lock(mutex_);
    pieces_.push_back(std::move(piece));
  }
  void End(Next how) {
    const std::lock_guard lock(mutex_);
    last_ = how;
  }
  void MakeEndless() { endless_ = true; }
  int asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  std::mutex mutex_;
  std::deque<std::string> pieces_;
  Next last_ = Next::kNothing;
  bool endless_ = false;
  int asked_ = 0;
};

class PostgresCopy : public PostgresTest {
 protected:
  PostgresCopy() { Psql("create table t (id int primary key, s text)"); }

  struct In {
    explicit In(const std::string& sql, SessionUse use = {}) : call(sql) {
      call.statement.form = pool::StatementForm::kCopyIn;
      call.session = use;
      call.source = &source;
      call.sink = &sink;
    }
    void Resume(RunningPool& pool) {
      pool.Do([&] { pool.pool().Resume(call.id); });
    }
    TestSource source;
    TestSink sink;
    TestCall call;
  };
  struct Out {
    explicit Out(const std::string& sql, size_t capacity = 0, SessionUse use = {})
        : sink(capacity), call(sql) {
      call.statement.form = pool::StatementForm::kCopyOut;
      call.session = use;
      call.sink = &sink;
    }
    std::string bytes() {
      std::string all;
      for (const pool::Part& part : sink.parts()) all += part.copy.bytes;
      return all + call.Await().copy.bytes;
    }
    TestSink sink;
    TestCall call;
  };

  std::string Count() const { return Psql("select count(*) from t"); }
};

TEST_F(PostgresCopy, RowsGoInAndComeOutAsTheyWere) {
  const auto pool = NewPool(1);
  In in("copy t from stdin");
  in.source.Put("1\tone\n2\t");
  in.source.Put("two\n3\t\\N\n");
  in.source.End(pool::CopySource::Next::kEnd);
  pool->Submit(in.call);
  const Outcome& outcome = in.call.Await();
  ASSERT_FALSE(outcome.error) << ErrorText(outcome);
  EXPECT_EQ(outcome.result.command_tag, "COPY 3");
  EXPECT_EQ(outcome.copy_bytes, 17u);
  Out out("copy t to stdout");
  pool->Submit(out.call);
  EXPECT_EQ(out.bytes(), "1\tone\n2\ttwo\n3\t\\N\n");
  EXPECT_EQ(out.call.Await().result.command_tag, "COPY 3");
  EXPECT_EQ(out.call.Await().copy_bytes, 17u);
  EXPECT_EQ(pool->Text("select count(*) from t where id = $1::int", {Integer(2)}), "1");
  EXPECT_EQ(pool->Stats().counters.opened, 1u);
}

TEST_F(PostgresCopy, TheFormatComesFirst) {
  const auto pool = NewPool(1);
  Out out("copy (select i, 'x' from generate_series(1, 100000) i) to stdout (format binary)");
  pool->Submit(out.call);
  ASSERT_FALSE(out.call.Await().error) << ErrorText(out.call.Await());
  ASSERT_GT(out.sink.count(), 2u);
  ASSERT_TRUE(out.sink.parts()[0].copy.format);
  EXPECT_TRUE(out.sink.parts()[0].copy.format->binary);
  EXPECT_EQ(out.sink.parts()[0].copy.format->columns, 2u);
  for (size_t i = 1; i < out.sink.count(); ++i) EXPECT_FALSE(out.sink.parts()[i].copy.format);
  EXPECT_EQ(out.bytes().substr(0, 6), "PGCOPY");
  Out empty("copy t to stdout (format csv)");
  pool->Submit(empty.call);
  const Outcome& none = empty.call.Await();
  EXPECT_EQ(none.result.command_tag, "COPY 0");
  EXPECT_TRUE(empty.sink.count() == 1 || none.copy.format);
}

TEST_F(PostgresCopy, OnlyCopyFromStdinAndToStdoutAreTaken) {
  const auto pool = NewPool(1);
  for (const char* sql :
       {"copy t to stdout", "copy t from '/etc/passwd'", "copy t from program 'id'", "select 1",
        "copy t from stdin; drop table t", "insert into t values (1)", "selec", ""}) {
    In in(sql);
    in.source.End(pool::CopySource::Next::kEnd);
    pool->Submit(in.call);
    EXPECT_EQ(KindOf(in.call.Await()), ErrorKind::kInvalidArgument) << sql;
  }
  for (const char* sql : {"copy t from stdin", "copy t to '/tmp/x'", "copy t to program 'cat'",
                          "select 1", "copy t to stdout; select 1"}) {
    Out out(sql);
    pool->Submit(out.call);
    EXPECT_EQ(KindOf(out.call.Await()), ErrorKind::kInvalidArgument) << sql;
  }
}

TEST_F(PostgresCopy, SettingsHoldForOneCopyAlone) {
  const auto pool = NewPool(1);
  Out out("copy (select current_setting('TimeZone')) to stdout");
  out.call.statement.settings.time_zone = "Asia/Tokyo";
  pool->Submit(out.call);
  EXPECT_EQ(out.bytes(), "Asia/Tokyo\n");
  EXPECT_EQ(pool->Text("select current_setting('TimeZone') <> 'Asia/Tokyo'"), "t");
}

TEST_F(PostgresCopy, AnAbortLeavesNothingBehind) {
  const auto pool = NewPool(1);
  In in("copy t from stdin");
  in.source.Put("1\tone\n");
  pool->Submit(in.call);
  ASSERT_TRUE(in.sink.AwaitParts(1));
  in.source.End(pool::CopySource::Next::kAbort);
  in.Resume(*pool);
  EXPECT_EQ(KindOf(in.call.Await()), ErrorKind::kCancelled);
  EXPECT_NE(in.call.Await().error->message.find("no more"), std::string::npos);
  EXPECT_EQ(Count(), "0");
  EXPECT_EQ(pool->Text("select 7"), "7");
  EXPECT_EQ(pool->Stats().counters.opened, 1u);
}

TEST_F(PostgresCopy, ACancelInTheMiddleLeavesNothingBehindAndFreesTheConnection) {
  const auto pool = NewPool(1);
  for (const bool starved : {true, false}) {
    In in("copy t from stdin");
    in.source.Put(starved ? "1\tone\n" : "1\tone\n" + std::string(60'000, 'x'));
    if (!starved) in.source.MakeEndless();
    pool->Submit(in.call);
    ASSERT_TRUE(in.sink.AwaitParts(1));
    std::this_thread::sleep_for(milliseconds(50));
    const pool::Instant cancelled = pool::Clock::now();
    pool->Cancel(in.call);
    EXPECT_EQ(pool->Text("select 7"), "7");
    EXPECT_LT(pool::Clock::now() - cancelled, seconds(1));
    EXPECT_TRUE(in.call.Await().error);
    in.call.AwaitDone();
    EXPECT_EQ(Count(), "0");
  }
  Out out("copy (select generate_series(1, 100000000)) to stdout", 2);
  pool->Submit(out.call);
  ASSERT_TRUE(out.sink.AwaitParts(2));
  const pool::Instant cancelled = pool::Clock::now();
  pool->Cancel(out.call);
  EXPECT_EQ(pool->Text("select 7"), "7");
  EXPECT_LT(pool::Clock::now() - cancelled, seconds(1));
  EXPECT_EQ(KindOf(out.call.Await()), ErrorKind::kCancelled);
  EXPECT_EQ(pool->Stats().counters.opened, 1u);
}

TEST_F(PostgresCopy, MalformedDataIsTheDatabasesErrorAndComesBeforeAllIsSent) {
  const auto pool = NewPool(1);
  In in("copy t from stdin");
  in.source.Put("1\tone\nx\ttwo\n");
  pool->Submit(in.call);
  // The caller does not end its side, and sends nothing more.
  const Outcome& outcome = in.call.Await();
  EXPECT_EQ(SqlState(outcome), "22P02");
  EXPECT_EQ(outcome.error->sql.where, "COPY t, line 2, column id: \"x\"");
  EXPECT_EQ(Count(), "0");
  In duplicate("copy t from stdin");
  duplicate.source.Put("1\tone\n1\ttwo\n");
  duplicate.source.End(pool::CopySource::Next::kEnd);
  pool->Submit(duplicate.call);
  EXPECT_EQ(SqlState(duplicate.call.Await()), "23505");
  EXPECT_EQ(duplicate.call.Await().error->sql.constraint, "t_pkey");
  EXPECT_EQ(pool->Text("select 7"), "7");
  EXPECT_EQ(pool->Stats().counters.opened, 1u);
}

TEST_F(PostgresCopy, NoticesAreNotTakenForErrors) {
  Psql(
      "create function remark() returns trigger language plpgsql as $$ begin raise notice "
      "'%', repeat('E', 500); return new; end $$; create trigger r before insert on t for each row "
      "execute function remark()");
  const auto pool = NewPool(1);
  ASSERT_TRUE(pool->AwaitWarm());
  In in("copy t from stdin");
  for (int i = 0; i < 5000; ++i) in.source.Put(fmt::format("{}\tx\n", i));
  in.source.End(pool::CopySource::Next::kEnd);
  pool->Submit(in.call);
  EXPECT_FALSE(in.call.Await().error) << ErrorText(in.call.Await());
  EXPECT_EQ(Count(), "5000");
  EXPECT_EQ(in.call.Await().notices.size(), 100u);
}

TEST_F(PostgresCopy, FlowControlReachesBothWays) {
  const auto pool = NewPool(1);
  // The database is held up, so no more is taken from the source than buffers hold.
  Psql("create table held (like t)");
  const auto blocker = NewPool(1);
  TestCall lock("lock table held in access exclusive mode");
  lock.session.kind = SessionUse::Kind::kBegin;
  blocker->Submit(lock);
  ASSERT_FALSE(lock.Await().error) << ErrorText(lock.Await());
  In in("copy held from stdin");
  in.source.Put("1\t" + std::string(60'000, 'x') + "\n");
  in.source.MakeEndless();
  pool->Submit(in.call);
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_EQ(in.source.asked(), 0) << "before the COPY has begun";
  TestCall end("");
  end.session.kind = SessionUse::Kind::kEnd;
  end.session.end = SessionUse::End::kRollback;
  const std::string token = lock.Await().session;
  end.session.token = token;
  blocker->Submit(end);
  ASSERT_TRUE(in.sink.AwaitParts(1));
  pool->Cancel(in.call);
  in.call.AwaitDone();
  // And a sink that takes no more holds the server up.
  Psql("create sequence s");
  Out out("copy (select nextval('s'), repeat('x', 1000) from generate_series(1, 50000)) to stdout",
          2);
  pool->Submit(out.call);
  ASSERT_TRUE(out.sink.AwaitParts(2));
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_LT(std::stoll(Psql("select last_value from s")), 15'000);
  EXPECT_EQ(out.sink.count(), 2u);
}

TEST_F(PostgresCopy, ACallerThatSendsNothingLosesTheCopy) {
  pool::PoolOptions options = TestOptions(1);
  options.stream_stall_timeout = milliseconds(300);
  options.query_timeout = milliseconds(200);
  const auto pool = NewPool(options);
  In in("copy t from stdin");
  in.source.Put("1\tone\n");
  pool->Submit(in.call);
  const Outcome& outcome = in.call.Await();
  EXPECT_EQ(KindOf(outcome), ErrorKind::kDeadline);
  EXPECT_NE(outcome.error->message.find("took or sent nothing"), std::string::npos)
      << outcome.error->message;
  EXPECT_GE(in.call.took(), milliseconds(300));
  in.call.AwaitDone();
  EXPECT_EQ(Count(), "0");
}

TEST_F(PostgresCopy, CopiesRunInSessions) {
  const auto pool = NewPool(1);
  SessionUse use;
  use.kind = SessionUse::Kind::kBegin;
  In in("copy t from stdin", use);
  in.source.Put("1\tone\n");
  in.source.End(pool::CopySource::Next::kEnd);
  pool->Submit(in.call);
  const std::string token = in.call.Await().session;
  ASSERT_EQ(token.size(), 32u) << ErrorText(in.call.Await());
  EXPECT_EQ(Count(), "0");
  use.kind = SessionUse::Kind::kContinue;
  use.token = token;
  Out out("copy t to stdout", 0, use);
  pool->Submit(out.call);
  EXPECT_EQ(out.bytes(), "1\tone\n");
  use.commit = true;
  In last("copy t from stdin (format csv)", use);
  last.source.Put("2,two\n");
  last.source.End(pool::CopySource::Next::kEnd);
  pool->Submit(last.call);
  EXPECT_EQ(last.call.Await().end_tag, "COMMIT") << ErrorText(last.call.Await());
  EXPECT_EQ(Count(), "2");
}

TEST_F(PostgresCopy, ALostConnectionIsNotAPartOfTheData) {
  const auto pool = NewPool(1);
  In in("copy t from stdin");
  in.source.Put("1\tone\n");
  pool->Submit(in.call);
  ASSERT_TRUE(in.sink.AwaitParts(1));
  TerminateAll();
  EXPECT_TRUE(in.call.Await().error);
  EXPECT_EQ(Count(), "0");
  Out out("copy (select generate_series(1, 100000000)) to stdout", 2);
  pool->Submit(out.call);
  ASSERT_TRUE(out.sink.AwaitParts(2));
  TerminateAll();
  while (!out.call.answered()) {
    pool->Do([&] { pool->pool().Resume(out.call.id); });
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_TRUE(out.call.Await().error);
  EXPECT_EQ(pool->Text("select 7"), "7");
}

}  // namespace
}  // namespace dbsidecar::contract
