// The history from looks to answers, and its file.
#include "server/history/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "server/history/history_series.h"
#include "tests/support/temporary_folder.h"

namespace dbsidecar::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

// Requests without an end are of now.
const History::Time kNow = std::chrono::time_point_cast<seconds>(std::chrono::system_clock::now());

// One look each second, up to now.
class Looks {
 public:
  explicit Looks(History::Time at) : at_(at) {}

  void Make(History& history, int count, milliseconds apart = seconds(1)) {
    for (int i = 0; i < count; ++i) {
      sample_.time += apart;
      at_ += apart;
      sample_.stats.name = "default";
      sample_.stats.total = ++total_;
      history.Add(at_, {sample_});
    }
  }

 private:
  History::Time at_;
  FiguresSample sample_;
  size_t total_ = 0;
};

v1::HistorySeries Ask(const History& history, int64_t seconds_back, int64_t step = 1) {
  v1::MetricsHistoryRequest request;
  request.add_series("total");
  const int64_t now = kNow.time_since_epoch() / seconds(1);
  request.mutable_start_time()->set_seconds(now - seconds_back + 1);
  request.mutable_end_time()->set_seconds(now + 1);
  request.mutable_step()->set_seconds(step);
  v1::MetricsHistoryResponse response;
  const auto trouble = history.Fill(request, response);
  EXPECT_FALSE(trouble) << trouble->message;
  return response.series_size() == 1 ? response.series(0) : v1::HistorySeries();
}

TEST(HistoryTest, ALookTellsOfTheSecondThatItEnds) {
  History history("");
  Looks(kNow - seconds(5)).Make(history, 5);
  EXPECT_THAT(Ask(history, 4).means(), testing::ElementsAre(2, 3, 4, 5));
}

TEST(HistoryTest, LooksThatMissASecondLeaveNoHole) {
  History history("");
  // The last two are 1.05 s apart: one in the second before the last but one, one in the last.
  Looks(kNow - milliseconds(10'500)).Make(history, 10, milliseconds(1050));
  const v1::HistorySeries series = Ask(history, 9);
  ASSERT_EQ(series.means_size(), 9);
  for (const double value : series.means()) EXPECT_FALSE(std::isnan(value));
}

TEST(HistoryTest, AStandstillIsAHole) {
  History history("");
  Looks looks(kNow - seconds(13));
  looks.Make(history, 3);
  looks.Make(history, 1, seconds(10));
  EXPECT_THAT(Ask(history, 11).means(),
              testing::ElementsAre(3, testing::IsNan(), testing::IsNan(), testing::IsNan(),
                                   testing::IsNan(), testing::IsNan(), testing::IsNan(),
                                   testing::IsNan(), testing::IsNan(), testing::IsNan(), 4));
}

TEST(HistoryTest, MemoryIsBounded) {
  History history("");
  Looks(kNow - seconds(100'000)).Make(history, 100'000);
  EXPECT_EQ(history.bytes(), HistoryStore::BytesOf(ProcessSeries().size() + PoolSeries().size()));
  EXPECT_LT(history.bytes(), 2'000'000u) << "what the option's help says";
}

TEST(HistoryFileTest, TheHistoryOutlivesTheProcessAndKnowsWhenThereWasNone) {
  const TemporaryFolder folder;
  const std::string file = folder / "history.db";
  {
    History before(file, kNow - seconds(200));
    Looks(kNow - seconds(200)).Make(before, 101);
  }
  History after(file, kNow);
  Looks(kNow - seconds(6)).Make(after, 6);
  const v1::HistorySeries series = Ask(after, 199);
  ASSERT_EQ(series.means_size(), 199);
  EXPECT_EQ(series.means(0), 2);
  EXPECT_EQ(series.means(99), 101);
  EXPECT_TRUE(std::isnan(series.means(100)));
  EXPECT_TRUE(std::isnan(series.means(193)));
  EXPECT_EQ(series.means(198), 6);
}

TEST(HistoryFileTest, MinutesOfDaysAgoAreReadAndOlderOnesRemoved) {
  const TemporaryFolder folder;
  const std::string file = folder / "history.db";
  const History::Time days_ago = kNow - std::chrono::hours(3 * 24);
  {
    History before(file, days_ago);
    Looks(days_ago - seconds(180)).Make(before, 180);
  }
  {
    const History between(file, kNow);
    v1::MetricsHistoryRequest request;
    request.add_series("total");
    request.mutable_start_time()->set_seconds(days_ago.time_since_epoch() / seconds(1) - 180);
    request.mutable_end_time()->set_seconds(days_ago.time_since_epoch() / seconds(1));
    v1::MetricsHistoryResponse response;
    ASSERT_FALSE(between.Fill(request, response));
    double largest = 0;
    for (const double value : response.series(0).maxima()) {
      if (!std::isnan(value)) largest = std::max(largest, value);
    }
    EXPECT_GE(largest, 179);
    EXPECT_EQ(response.series(0).step().seconds(), 60);
  }
  const History::Time later = kNow + std::chrono::hours(10 * 24);
  {
    History much_later(file, later);
    Looks(later - seconds(3)).Make(much_later, 3);
  }
  auto opened = HistoryFile::Open(file);
  ASSERT_TRUE(opened.ok());
  int rows = 0;
  int64_t oldest = later.time_since_epoch() / seconds(1);
  const auto count = [&](const HistoryRow& row) {
    ++rows;
    oldest = std::min(oldest, row.time);
  };
  ASSERT_TRUE((*opened)->ReadMinutes(0, count).ok());
  ASSERT_TRUE((*opened)->ReadSeconds(0, count).ok());
  EXPECT_GE(rows, 4);
  EXPECT_GT(oldest, (later - seconds(100)).time_since_epoch() / seconds(1));
}

std::string WhyNot(const std::string& path) {
  const auto file = HistoryFile::Open(path);
  return file.ok() ? "" : std::string(file.status().message());
}

TEST(HistoryFileTest, AFileThatCannotBeUsedIsRefusedWithTheReasonAndLeftAlone) {
  const TemporaryFolder folder;
  EXPECT_THAT(WhyNot(folder / "none/history.db"), HasSubstr("unable to open"));
  std::ofstream(folder / "text") << std::string(5000, 'x');
  EXPECT_THAT(WhyNot(folder / "text"), HasSubstr("not a SQLite database"));
  EXPECT_EQ(std::filesystem::file_size(folder / "text"), 5000u);
  sqlite3* other = nullptr;
  sqlite3_open((folder / "other.db").c_str(), &other);
  sqlite3_exec(other, "create table t (a)", nullptr, nullptr, nullptr);
  sqlite3_close(other);
  EXPECT_THAT(WhyNot(folder / "other.db"), HasSubstr("something else"));
  const auto first = HistoryFile::Open(folder / "history.db");
  ASSERT_TRUE(first.ok());
  EXPECT_THAT(WhyNot(folder / "history.db"), HasSubstr("another process uses it"));
}

TEST(HistoryFileTest, WithADamagedFileTheHistoryIsInMemoryOnly) {
  const TemporaryFolder folder;
  const std::string file = folder / "history.db";
  {
    History before(file, kNow - seconds(100));
    Looks(kNow - seconds(100)).Make(before, 100);
  }
  const auto size = std::filesystem::file_size(file);
  {
    std::fstream damage(file, std::ios::in | std::ios::out | std::ios::binary);
    for (std::streamoff at = 3 * 4096; at < static_cast<std::streamoff>(size); at += 4096) {
      damage.seekp(at);
      damage << std::string(200, '\xee');
    }
  }
  History after(file, kNow);
  Looks(kNow - seconds(3)).Make(after, 3);
  EXPECT_EQ(Ask(after, 2).means(1), 3);
  EXPECT_EQ(std::filesystem::file_size(file), size) << "it is left alone";
}

TEST(HistoryFileTest, AFileOfAnOlderVersionGetsTheNewSeries) {
  const TemporaryFolder folder;
  const std::string path = folder / "history.db";
  ASSERT_EQ(WhyNot(path), "");
  sqlite3* file = nullptr;
  sqlite3_open(path.c_str(), &file);
  EXPECT_EQ(sqlite3_exec(file,
                         "alter table seconds drop column waiting;"
                         "alter table seconds add column of_a_newer_version real;"
                         "insert into seconds (time, pool, total) values (100, 'default', 7)",
                         nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(file);
  auto opened = HistoryFile::Open(path);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  std::vector<float> values;
  ASSERT_TRUE((*opened)->ReadSeconds(0, [&](const HistoryRow& row) { values = row.values; }).ok());
  ASSERT_EQ(values.size(), PoolSeries().size());
  EXPECT_EQ(values[2], 7);
  EXPECT_TRUE(std::isnan(values[3]));
}

}  // namespace
}  // namespace dbsidecar::server
