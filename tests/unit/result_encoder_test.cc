#include "server/result_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace dbsidecar::server {
namespace {

using std::chrono::nanoseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using v1::RESULT_FORMAT_COLUMNS;
using v1::RESULT_FORMAT_ROWS;
using v1::RESULT_FORMAT_TEXT_COLUMNS;

// pg_type.oid.
enum Oid : uint32_t {
  kBool = 16,
  kBytea = 17,
  kInt8 = 20,
  kInt2 = 21,
  kInt4 = 23,
  kText = 25,
  kOid = 26,
  kJson = 114,
  kFloat4 = 700,
  kFloat8 = 701,
  kDate = 1082,
  kTimestamp = 1114,
  kTimestamptz = 1184,
  kNumeric = 1700,
  kUuid = 2950,
};

constexpr std::nullopt_t kNull = std::nullopt;

// A text with one character that is not UTF-8.
constexpr char kLatin1[] = "caf\xe9";

struct Blob {
  std::string bytes;
};
using SqliteCell = std::variant<std::monostate, int64_t, double, std::string, Blob>;

// One column as PostgreSQL delivers it: every cell is text, and the OID says what it means.
pool::Outcome FromPostgres(uint32_t type_oid, std::vector<std::optional<std::string>> cells) {
  pool::Outcome outcome;
  outcome.result.columns = {{.name = "c", .type_oid = type_oid, .declared_type = ""}};
  outcome.result.rows.SetColumnCount(1);
  for (const std::optional<std::string>& cell : cells) {
    if (cell) {
      outcome.result.rows.AddText(*cell);
    } else {
      outcome.result.rows.AddNull();
    }
  }
  return outcome;
}

// One column as SQLite delivers it: each cell has its own type, whatever the column's.
pool::Outcome FromSqlite(std::vector<SqliteCell> cells, uint32_t type_oid = 0) {
  pool::Outcome outcome;
  outcome.result.columns = {{.name = "c", .type_oid = type_oid, .declared_type = ""}};
  outcome.result.typed_cells = true;
  pool::RowBuffer& rows = outcome.result.rows;
  rows.SetColumnCount(1);
  for (const SqliteCell& cell : cells) {
    if (const auto* integer = std::get_if<int64_t>(&cell)) {
      rows.AddInteger(*integer);
    } else if (const auto* real = std::get_if<double>(&cell)) {
      rows.AddDouble(*real);
    } else if (const auto* text = std::get_if<std::string>(&cell)) {
      rows.AddText(*text);
    } else if (const auto* blob = std::get_if<Blob>(&cell)) {
      rows.AddBlob(blob->bytes);
    } else {
      rows.AddNull();
    }
  }
  return outcome;
}

// As a client gets it: what a receiver could not parse, fails here.
v1::QueryResponse Encode(const pool::Outcome& outcome, v1::ResultFormat format,
                         bool want_timing = false) {
  WireWriter sent;
  EncodeOutcome(outcome, format, want_timing, sent);
  v1::QueryResponse received;
  EXPECT_TRUE(received.ParseFromString(std::string(sent.bytes())));
  return received;
}

// The only column of a columnar result. At most one of its arrays may be filled, by every row.
v1::Column EncodeColumn(const pool::Outcome& outcome,
                        v1::ResultFormat format = RESULT_FORMAT_COLUMNS) {
  const v1::QueryResponse response = Encode(outcome, format);
  EXPECT_EQ(response.result().data_size(), 1);
  EXPECT_THAT(response.result().rows(), IsEmpty());
  const int rows = static_cast<int>(response.result().row_count());
  const v1::Column column = response.result().data(0);
  int filled = 0;
  for (const int size : {column.ints_size(), column.doubles_size(), column.bools_size(),
                         column.strings_size(), column.blobs_size(), column.mixed_size()}) {
    if (size == 0) continue;
    ++filled;
    EXPECT_EQ(size, rows) << column.ShortDebugString();
  }
  EXPECT_EQ(filled, column.nulls_size() == rows ? 0 : 1) << column.ShortDebugString();
  return column;
}

// The only cell of each row.
std::vector<v1::Value> EncodeRows(const pool::Outcome& outcome) {
  const v1::QueryResponse response = Encode(outcome, RESULT_FORMAT_ROWS);
  EXPECT_THAT(response.result().data(), IsEmpty());
  EXPECT_EQ(response.result().row_count(), static_cast<uint32_t>(response.result().rows_size()));
  std::vector<v1::Value> values;
  for (const v1::Row& row : response.result().rows()) {
    EXPECT_EQ(row.values_size(), 1);
    values.push_back(row.values(0));
    EXPECT_EQ(values.back().type_oid(), 0u) << "the column says it";
  }
  return values;
}

TEST(ResultEncoderTest, IntegersOfEveryWidthTravelAsIntegers) {
  for (const uint32_t type_oid : {kInt2, kInt4, kInt8, kOid}) {
    const v1::Column column = EncodeColumn(FromPostgres(type_oid, {"0", "-1", "32767"}));
    EXPECT_THAT(column.ints(), ElementsAre(0, -1, 32767)) << type_oid;
  }
  EXPECT_THAT(EncodeColumn(FromPostgres(kOid, {"4294967295"})).ints(), ElementsAre(4294967295));
}

TEST(ResultEncoderTest, A64BitIntegerNeverPassesThroughAFloat) {
  constexpr int64_t kSmallest = std::numeric_limits<int64_t>::min();
  constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();
  constexpr int64_t kNoDouble = (int64_t{1} << 53) + 1;
  const pool::Outcome postgres =
      FromPostgres(kInt8, {"-9223372036854775808", "9223372036854775807", "9007199254740993"});
  EXPECT_THAT(EncodeColumn(postgres).ints(), ElementsAre(kSmallest, kLargest, kNoDouble));
  EXPECT_EQ(EncodeRows(postgres)[2].int_value(), kNoDouble);
  const pool::Outcome sqlite = FromSqlite({kSmallest, kLargest, kNoDouble});
  EXPECT_THAT(EncodeColumn(sqlite).ints(), ElementsAre(kSmallest, kLargest, kNoDouble));
  EXPECT_EQ(EncodeRows(sqlite)[0].int_value(), kSmallest);
  EXPECT_THAT(EncodeColumn(sqlite, RESULT_FORMAT_TEXT_COLUMNS).strings(),
              ElementsAre("-9223372036854775808", "9223372036854775807", "9007199254740993"));
}

TEST(ResultEncoderTest, ADoubleAsTextIsWrittenAsByPostgresql) {
  const pool::Outcome sqlite =
      FromSqlite({100000.0, 1.0, 0.5, -0.0, 1e14, 123456789012345.6, 999999999999999.9, 1e15, 1e22,
                  0.0001, 0.00012, 0.00001, -1.5e-7, 1.7976931348623157e308, 5e-324});
  EXPECT_THAT(EncodeColumn(sqlite, RESULT_FORMAT_TEXT_COLUMNS).strings(),
              ElementsAre("100000", "1", "0.5", "-0", "100000000000000", "123456789012345.6",
                          "999999999999999.9", "1e+15", "1e+22", "0.0001", "0.00012", "1e-05",
                          "-1.5e-07", "1.7976931348623157e+308", "5e-324"));
}

TEST(ResultEncoderTest, DoublesKeepEveryBitAndTheirSpecialValues) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::vector<std::optional<std::string>> cells = {"0.1",       "1.7976931348623157e+308",
                                                         "5e-324",    "2.2250738585072014e-308",
                                                         "-Infinity", "Infinity"};
  for (const uint32_t type_oid : {kFloat4, kFloat8}) {
    EXPECT_THAT(EncodeColumn(FromPostgres(type_oid, cells)).doubles(),
                ElementsAre(0.1, std::numeric_limits<double>::max(),
                            std::numeric_limits<double>::denorm_min(),
                            std::numeric_limits<double>::min(), -kInfinity, kInfinity));
  }
  const v1::Column column = EncodeColumn(FromPostgres(kFloat8, {"NaN", "-0", "0"}));
  EXPECT_TRUE(std::isnan(column.doubles(0)));
  EXPECT_TRUE(std::signbit(column.doubles(1)));
  EXPECT_FALSE(std::signbit(column.doubles(2)));
  EXPECT_TRUE(std::isnan(EncodeRows(FromPostgres(kFloat8, {"NaN"}))[0].double_value()));
  EXPECT_THAT(EncodeColumn(FromSqlite({0.1, kInfinity})).doubles(), ElementsAre(0.1, kInfinity));
}

TEST(ResultEncoderTest, TruthValuesAreTrueOrFalse) {
  const pool::Outcome outcome = FromPostgres(kBool, {"t", "f", kNull});
  EXPECT_THAT(EncodeColumn(outcome).bools(), ElementsAre(true, false, false));
  EXPECT_THAT(EncodeColumn(outcome).nulls(), ElementsAre(2));
  const std::vector<v1::Value> values = EncodeRows(outcome);
  EXPECT_TRUE(values[0].bool_value());
  EXPECT_TRUE(values[1].has_bool_value());
  EXPECT_FALSE(values[1].bool_value());
  EXPECT_THAT(EncodeColumn(outcome, RESULT_FORMAT_TEXT_COLUMNS).strings(),
              ElementsAre("t", "f", ""));
}

TEST(ResultEncoderTest, ByteaIsRawBytes) {
  const pool::Outcome outcome = FromPostgres(kBytea, {"\\x00ff10aB0c", "\\x", kNull});
  const std::string bytes("\x00\xff\x10\xab\x0c", 5);
  EXPECT_THAT(EncodeColumn(outcome).blobs(), ElementsAre(bytes, "", ""));
  EXPECT_THAT(EncodeColumn(outcome).nulls(), ElementsAre(2));
  EXPECT_EQ(EncodeRows(outcome)[0].bytes_value(), bytes);
  EXPECT_TRUE(EncodeRows(outcome)[1].has_bytes_value());
  EXPECT_THAT(EncodeColumn(outcome, RESULT_FORMAT_TEXT_COLUMNS).strings(),
              ElementsAre("\\x00ff10aB0c", "\\x", ""));
}

TEST(ResultEncoderTest, EveryOtherTypeIsThePostgresTextLetterForLetter) {
  const std::vector<std::pair<uint32_t, std::vector<std::optional<std::string>>>> columns = {
      {kNumeric, {"NaN", "-Infinity", "0.00", "123456789012345678901234567890.12345", "-1e-20"}},
      {kDate, {"infinity", "-infinity", "4713-01-01 BC", "5874897-12-31", "1970-01-01"}},
      {kTimestamp, {"infinity", "0001-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999"}},
      {kTimestamptz, {"-infinity", "2024-02-29 23:59:59.5+05:30"}},
      {kUuid, {"00000000-0000-0000-0000-000000000000"}},
      {kJson, {R"({"a": [1, null]})", "null"}},
      {kText, {"", " ", "t", "1", "NaN", "\\x00", "\xe2\x82\xac\n"}},
      {4'294'967'295, {"of a type that nobody knows"}},
  };
  for (const auto& [type_oid, cells] : columns) {
    const pool::Outcome outcome = FromPostgres(type_oid, cells);
    const v1::Column typed = EncodeColumn(outcome);
    const v1::Column text = EncodeColumn(outcome, RESULT_FORMAT_TEXT_COLUMNS);
    const std::vector<v1::Value> values = EncodeRows(outcome);
    for (size_t row = 0; row < cells.size(); ++row) {
      EXPECT_EQ(typed.strings(static_cast<int>(row)), cells[row]) << type_oid;
      EXPECT_EQ(text.strings(static_cast<int>(row)), cells[row]) << type_oid;
      EXPECT_EQ(values[row].string_value(), cells[row]) << type_oid;
    }
  }
}

TEST(ResultEncoderTest, TextColumnsAreTextWhateverTheType) {
  for (const uint32_t type_oid : {kInt4, kFloat8, kNumeric, kDate}) {
    EXPECT_THAT(
        EncodeColumn(FromPostgres(type_oid, {"1", kNull}), RESULT_FORMAT_TEXT_COLUMNS).strings(),
        ElementsAre("1", ""));
  }
}

TEST(ResultEncoderTest, SqlitesCellsGetPostgresTextInTextColumns) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const v1::Column column = EncodeColumn(FromSqlite({int64_t{-7},
                                                     0.5,
                                                     -0.1,
                                                     kInfinity,
                                                     -kInfinity,
                                                     std::string("text"),
                                                     Blob{std::string("\0\x7f\xff", 3)},
                                                     Blob{""},
                                                     {}}),
                                         RESULT_FORMAT_TEXT_COLUMNS);
  EXPECT_THAT(column.strings(), ElementsAre("-7", "0.5", "-0.1", "Infinity", "-Infinity", "text",
                                            "\\x007fff", "\\x", ""));
  EXPECT_THAT(column.nulls(), ElementsAre(8));
}

TEST(ResultEncoderTest, NullIsNeverAnEmptyStringNorAZero) {
  for (const v1::ResultFormat format : {RESULT_FORMAT_COLUMNS, RESULT_FORMAT_TEXT_COLUMNS}) {
    const v1::Column text = EncodeColumn(FromPostgres(kText, {kNull, "", "x", kNull}), format);
    EXPECT_THAT(text.nulls(), ElementsAre(0, 3));
    EXPECT_THAT(text.strings(), ElementsAre("", "", "x", ""));
  }
  const v1::Column integers = EncodeColumn(FromPostgres(kInt4, {"0", kNull}));
  EXPECT_THAT(integers.nulls(), ElementsAre(1));
  EXPECT_THAT(integers.ints(), ElementsAre(0, 0));
  const v1::Column doubles = EncodeColumn(FromSqlite({{}, 1.5}));
  EXPECT_THAT(doubles.nulls(), ElementsAre(0));
  EXPECT_THAT(doubles.doubles(), ElementsAre(0, 1.5));
  const std::vector<v1::Value> values = EncodeRows(FromPostgres(kText, {kNull, ""}));
  EXPECT_EQ(values[0].kind_case(), v1::Value::KIND_NOT_SET);
  EXPECT_EQ(values[1].kind_case(), v1::Value::kStringValue);
}

TEST(ResultEncoderTest, AColumnOfNullsHasNoArray) {
  for (const v1::ResultFormat format : {RESULT_FORMAT_COLUMNS, RESULT_FORMAT_TEXT_COLUMNS}) {
    for (const uint32_t type_oid : {kBool, kInt4, kFloat8, kBytea, kText}) {
      EXPECT_THAT(EncodeColumn(FromPostgres(type_oid, {kNull, kNull}), format).nulls(),
                  ElementsAre(0, 1));
    }
    EXPECT_THAT(EncodeColumn(FromSqlite({{}, {}}), format).nulls(), ElementsAre(0, 1));
  }
}

TEST(ResultEncoderTest, SqlitesColumnsGoByTheirCellsNotByTheirDeclaredType) {
  EXPECT_THAT(EncodeColumn(FromSqlite({std::string("12"), std::string("x")}, kInt4)).strings(),
              ElementsAre("12", "x"));
  EXPECT_THAT(EncodeColumn(FromSqlite({std::string("\\x00")}, kBytea)).strings(),
              ElementsAre("\\x00"));
  EXPECT_THAT(EncodeColumn(FromSqlite({Blob{"\\x00"}}, kBytea)).blobs(), ElementsAre("\\x00"));
  EXPECT_THAT(EncodeColumn(FromSqlite({int64_t{1}}, kBool)).ints(), ElementsAre(1));
  EXPECT_EQ(EncodeRows(FromSqlite({std::string("12")}, kInt4))[0].string_value(), "12");
}

TEST(ResultEncoderTest, CellsThatDifferInKindAreMixedAndTheirNullsAreListedToo) {
  const std::vector<SqliteCell> cells = {int64_t{1}, {}, 0.5, std::string(""), Blob{"\xff"}};
  const v1::Column column = EncodeColumn(FromSqlite(cells));
  EXPECT_THAT(column.nulls(), ElementsAre(1));
  const std::vector<v1::Value> rows = EncodeRows(FromSqlite(cells));
  for (size_t row = 0; row < cells.size(); ++row) {
    const v1::Value& value = column.mixed(static_cast<int>(row));
    EXPECT_EQ(value.SerializeAsString(), rows[row].SerializeAsString()) << row;
  }
  EXPECT_EQ(column.mixed(0).int_value(), 1);
  EXPECT_EQ(column.mixed(1).kind_case(), v1::Value::KIND_NOT_SET);
  EXPECT_EQ(column.mixed(2).double_value(), 0.5);
  EXPECT_EQ(column.mixed(3).kind_case(), v1::Value::kStringValue);
  EXPECT_EQ(column.mixed(4).bytes_value(), "\xff");
}

TEST(ResultEncoderTest, TextThatIsNotUtf8TravelsAsBytesAndItsNeighboursAsText) {
  for (const pool::Outcome& outcome :
       {FromPostgres(kText, {"good", kLatin1, kNull}),
        FromSqlite({std::string("good"), std::string(kLatin1), {}})}) {
    const v1::Column column = EncodeColumn(outcome);
    ASSERT_EQ(column.mixed_size(), 3);
    EXPECT_EQ(column.mixed(0).string_value(), "good");
    EXPECT_EQ(column.mixed(1).bytes_value(), kLatin1);
    EXPECT_EQ(column.mixed(2).kind_case(), v1::Value::KIND_NOT_SET);
    EXPECT_THAT(column.nulls(), ElementsAre(2));
    const std::vector<v1::Value> rows = EncodeRows(outcome);
    EXPECT_EQ(rows[0].string_value(), "good");
    EXPECT_EQ(rows[1].bytes_value(), kLatin1);
  }
}

TEST(ResultEncoderTest, TextColumnsDoNotAlterTextThatIsNotUtf8) {
  const v1::Column column =
      EncodeColumn(FromPostgres(kText, {kLatin1, kNull}), RESULT_FORMAT_TEXT_COLUMNS);
  EXPECT_EQ(column.mixed_size() > 0 ? column.mixed(0).bytes_value() : column.blobs(0), kLatin1);
  EXPECT_THAT(column.nulls(), ElementsAre(1));
}

TEST(ResultEncoderTest, UnspecifiedFormatMeansColumns) {
  const pool::Outcome outcome = FromPostgres(kInt4, {"1"});
  EXPECT_EQ(Encode(outcome, v1::RESULT_FORMAT_UNSPECIFIED).SerializeAsString(),
            Encode(outcome, RESULT_FORMAT_COLUMNS).SerializeAsString());
}

TEST(ResultEncoderTest, CellsKeepTheirRowAndColumn) {
  pool::Outcome outcome;
  outcome.result.columns = {{.name = "id", .type_oid = kInt4, .declared_type = ""},
                            {.name = "name", .type_oid = kText, .declared_type = ""}};
  outcome.result.rows.SetColumnCount(2);
  for (const char* cell : {"1", "one", "2", "two", "3", "three"}) {
    outcome.result.rows.AddText(cell);
  }
  const v1::ResultSet columns = Encode(outcome, RESULT_FORMAT_COLUMNS).result();
  EXPECT_EQ(columns.row_count(), 3u);
  EXPECT_THAT(columns.data(0).ints(), ElementsAre(1, 2, 3));
  EXPECT_THAT(columns.data(1).strings(), ElementsAre("one", "two", "three"));
  const v1::ResultSet rows = Encode(outcome, RESULT_FORMAT_ROWS).result();
  EXPECT_EQ(rows.row_count(), 3u);
  EXPECT_EQ(rows.rows(2).values(0).int_value(), 3);
  EXPECT_EQ(rows.rows(2).values(1).string_value(), "three");
}

TEST(ResultEncoderTest, NothingThatIsKnownOfAColumnIsLost) {
  pool::Outcome outcome = FromPostgres(kNumeric, {});
  outcome.result.columns[0] = {.name = "price",
                               .type_oid = kNumeric,
                               .type_modifier = 655'366,
                               .table_oid = 4'000'000'000,
                               .column_number = 3,
                               .declared_type = "DECIMAL(10, 2)"};
  const v1::ColumnInfo info = Encode(outcome, RESULT_FORMAT_COLUMNS).result().columns(0);
  EXPECT_EQ(info.name(), "price");
  EXPECT_EQ(info.type_oid(), kNumeric);
  EXPECT_EQ(info.type_modifier(), 655'366);
  EXPECT_EQ(info.table_oid(), 4'000'000'000);
  EXPECT_EQ(info.column_number(), 3u);
  EXPECT_EQ(info.declared_type(), "DECIMAL(10, 2)");
  EXPECT_EQ(
      Encode(FromPostgres(kText, {}), RESULT_FORMAT_COLUMNS).result().columns(0).type_modifier(),
      -1);
}

TEST(ResultEncoderTest, ANameThatIsNotUtf8DoesNotSpoilTheReply) {
  pool::Outcome outcome = FromPostgres(kInt4, {"1"});
  outcome.result.columns[0].name = kLatin1;
  outcome.result.columns[0].declared_type = kLatin1;
  outcome.notices = {{.severity = "NOTICE", .sqlstate = "00000", .message = kLatin1}};
  const v1::QueryResponse response = Encode(outcome, RESULT_FORMAT_COLUMNS);
  EXPECT_THAT(response.result().data(0).ints(), ElementsAre(1));
  EXPECT_EQ(response.notices_size(), 1);
}

TEST(ResultEncoderTest, AnEmptyResultHasItsColumns) {
  for (const v1::ResultFormat format : {RESULT_FORMAT_COLUMNS, RESULT_FORMAT_TEXT_COLUMNS}) {
    const v1::ResultSet set = Encode(FromPostgres(kInt4, {}), format).result();
    EXPECT_EQ(set.columns_size(), 1);
    EXPECT_EQ(set.row_count(), 0u);
    ASSERT_EQ(set.data_size(), 1);
    EXPECT_EQ(set.data(0).ByteSizeLong(), 0u);
  }
  const v1::ResultSet set = Encode(FromPostgres(kInt4, {}), RESULT_FORMAT_ROWS).result();
  EXPECT_EQ(set.columns_size(), 1);
  EXPECT_THAT(set.rows(), IsEmpty());
}

TEST(ResultEncoderTest, AStatementWithoutRowsHasItsCountsAndTag) {
  pool::Outcome outcome;
  outcome.result.rows_affected = 3;
  outcome.result.command_tag = "INSERT 0 3";
  outcome.result.last_insert_id = 42;
  for (const v1::ResultFormat format :
       {RESULT_FORMAT_COLUMNS, RESULT_FORMAT_ROWS, RESULT_FORMAT_TEXT_COLUMNS}) {
    const v1::QueryResponse response = Encode(outcome, format);
    EXPECT_TRUE(response.has_result());
    EXPECT_EQ(response.result().columns_size(), 0);
    EXPECT_EQ(response.result().row_count(), 0u);
    EXPECT_EQ(response.result().rows_affected(), 3);
    EXPECT_EQ(response.result().command_tag(), "INSERT 0 3");
    EXPECT_EQ(response.result().last_insert_id(), 42);
    EXPECT_FALSE(response.result().truncated());
    EXPECT_EQ(response.transaction_status(), v1::TRANSACTION_STATUS_IDLE);
    EXPECT_EQ(response.session(), "");
  }
}

TEST(ResultEncoderTest, WhetherRowsWereDroppedOrAffectedIsSaid) {
  pool::Outcome outcome = FromPostgres(kInt4, {"1"});
  EXPECT_EQ(Encode(outcome, RESULT_FORMAT_COLUMNS).result().rows_affected(), -1);
  outcome.result.truncated = true;
  EXPECT_TRUE(Encode(outcome, RESULT_FORMAT_COLUMNS).result().truncated());
}

TEST(ResultEncoderTest, NoticesKeepTheirOrderAndFields) {
  pool::Outcome outcome;
  outcome.notices = {{.severity = "NOTICE", .sqlstate = "00000", .message = "first"},
                     {.severity = "WARNING", .sqlstate = "01000", .message = "second"}};
  const v1::QueryResponse response = Encode(outcome, RESULT_FORMAT_COLUMNS);
  ASSERT_EQ(response.notices_size(), 2);
  EXPECT_EQ(response.notices(0).message(), "first");
  EXPECT_EQ(response.notices(1).severity(), "WARNING");
  EXPECT_EQ(response.notices(1).sqlstate(), "01000");
  EXPECT_EQ(response.notices(1).message(), "second");
}

TEST(ResultEncoderTest, TimingComesWhenAskedFor) {
  pool::Outcome outcome = FromPostgres(kText, {"1"});
  outcome.timing = {.queue = nanoseconds(5'000'000'000),
                    .connect = nanoseconds(4'000'000'001),
                    .execute = nanoseconds(17)};
  EXPECT_FALSE(Encode(outcome, RESULT_FORMAT_COLUMNS).has_timing());
  const v1::QueryResponse response = Encode(outcome, RESULT_FORMAT_COLUMNS, true);
  EXPECT_EQ(response.timing().queue_nanos(), 5'000'000'000);
  EXPECT_EQ(response.timing().connect_nanos(), 4'000'000'001);
  EXPECT_EQ(response.timing().execute_nanos(), 17u);
  EXPECT_GT(response.timing().encode_nanos(), 0u);
}

TEST(ResultEncoderTest, LaterPartsOfAStreamGoByTheColumnsOfTheFirst) {
  StreamEncoder encoder(RESULT_FORMAT_COLUMNS, true);
  pool::Part first{.result = FromPostgres(kInt8, {"1", kNull}).result, .notices = {{}}};
  WireWriter sent;
  encoder.EncodePart(first, sent);
  v1::QueryResponse response;
  ASSERT_TRUE(response.ParseFromString(std::string(sent.bytes())));
  EXPECT_EQ(response.result().columns_size(), 1);
  EXPECT_EQ(response.result().data(0).ints_size(), 2);
  EXPECT_EQ(response.result().rows_affected(), -1);
  EXPECT_EQ(response.notices_size(), 1);
  EXPECT_FALSE(response.has_timing());
  EXPECT_EQ(response.transaction_status(), v1::TRANSACTION_STATUS_UNSPECIFIED);
  pool::Outcome last = FromPostgres(kInt8, {"3"});
  last.result.columns.clear();
  last.result.command_tag = "SELECT 3";
  sent.Clear();
  encoder.EncodeLast(last, sent);
  ASSERT_TRUE(response.ParseFromString(std::string(sent.bytes())));
  EXPECT_EQ(response.result().columns_size(), 0);
  ASSERT_EQ(response.result().data_size(), 1);
  EXPECT_EQ(response.result().data(0).ints(0), 3);
  EXPECT_EQ(response.result().command_tag(), "SELECT 3");
  EXPECT_TRUE(response.has_timing());
  EXPECT_EQ(response.transaction_status(), v1::TRANSACTION_STATUS_IDLE);
}

}  // namespace
}  // namespace dbsidecar::server
