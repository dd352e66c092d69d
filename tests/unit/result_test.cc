#include "pool/result.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace dbsidecar::pool {
namespace {

TEST(RowBufferTest, HasNoRowsAtFirstWithOrWithoutColumns) {
  RowBuffer rows;
  EXPECT_EQ(rows.row_count(), 0u);
  rows.SetColumnCount(3);
  EXPECT_EQ(rows.column_count(), 3u);
  EXPECT_EQ(rows.row_count(), 0u);
}

TEST(RowBufferTest, CellsAreAddedRowByRow) {
  RowBuffer rows;
  rows.SetColumnCount(2);
  for (int64_t i = 0; i < 6; ++i) rows.AddInteger(i);
  EXPECT_EQ(rows.row_count(), 3u);
  EXPECT_EQ(rows.at(0, 1).integer, 1);
  EXPECT_EQ(rows.at(2, 0).integer, 4);
}

TEST(RowBufferTest, EveryKindOfCellKeepsItsValue) {
  RowBuffer rows;
  rows.SetColumnCount(5);
  rows.AddNull();
  rows.AddInteger(INT64_MIN);
  rows.AddDouble(0.1);
  rows.AddText("h\xc3\xa9");
  rows.AddBlob(std::string_view("\0\xff", 2));
  EXPECT_EQ(rows.at(0, 0).kind, CellKind::kNull);
  EXPECT_EQ(rows.at(0, 1).kind, CellKind::kInteger);
  EXPECT_EQ(rows.at(0, 1).integer, INT64_MIN);
  EXPECT_EQ(rows.at(0, 2).kind, CellKind::kDouble);
  EXPECT_EQ(rows.at(0, 2).real, 0.1);
  EXPECT_EQ(rows.at(0, 3).kind, CellKind::kText);
  EXPECT_EQ(rows.bytes(rows.at(0, 3)), "h\xc3\xa9");
  EXPECT_EQ(rows.at(0, 4).kind, CellKind::kBlob);
  EXPECT_EQ(rows.bytes(rows.at(0, 4)), std::string_view("\0\xff", 2));
}

TEST(RowBufferTest, AnEmptyTextIsNotNull) {
  RowBuffer rows;
  rows.SetColumnCount(2);
  rows.AddText("");
  rows.AddNull();
  EXPECT_EQ(rows.at(0, 0).kind, CellKind::kText);
  EXPECT_EQ(rows.bytes(rows.at(0, 0)), "");
  EXPECT_EQ(rows.at(0, 1).kind, CellKind::kNull);
}

TEST(RowBufferTest, EarlierCellsSurviveTheGrowthOfTheBuffer) {
  RowBuffer rows;
  rows.SetColumnCount(1);
  for (int i = 0; i < 10'000; ++i) rows.AddText(std::to_string(i));
  EXPECT_EQ(rows.bytes(rows.at(0, 0)), "0");
  EXPECT_EQ(rows.bytes(rows.at(5'000, 0)), "5000");
  EXPECT_EQ(rows.bytes(rows.at(9'999, 0)), "9999");
}

TEST(RowBufferTest, TheLimitCountsTheBytesOfEveryCellAndTwoMore) {
  RowBuffer rows;
  rows.SetColumnCount(4);
  EXPECT_EQ(rows.data_bytes(), 0u);
  rows.AddNull();
  EXPECT_EQ(rows.data_bytes(), 2u);
  rows.AddText("abc");
  EXPECT_EQ(rows.data_bytes(), 7u);
  rows.AddInteger(1);
  EXPECT_EQ(rows.data_bytes(), 17u);
  rows.AddDouble(1);
  EXPECT_EQ(rows.data_bytes(), 27u);
}

}  // namespace
}  // namespace dbsidecar::pool
