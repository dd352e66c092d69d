// What is written by hand, read back by Protobuf; and cells as C++ types. No sockets.
#include "clients/cpp/src/encoding.h"

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "clients/cpp/src/result_access.h"
#include "clients/cpp/src/utf8.h"
#include "dbsidecar/v1/pipeline.pb.h"

namespace dbsidecar::client_test {
namespace {

using namespace std::chrono_literals;  // NOLINT(build/namespaces)

v1::QueryRequest Encoded(const Params& params) {
  v1::QueryRequest request;
  EXPECT_TRUE(request.ParseFromString(params.encoded()));
  return request;
}

std::vector<std::byte> Bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  return {bytes.begin(), bytes.end()};
}

TEST(ParamsTest, EveryTypeArrivesAsItself) {
  const std::string text = "tëxt";
  const std::vector<std::byte> bytes = Bytes(std::string_view("\0\xff", 2));
  const Params params(
      true, false, -1, int8_t{-7}, uint16_t{65535}, std::numeric_limits<int64_t>::min(),
      std::numeric_limits<int64_t>::max(), 0.1, 0.5F, "literal", text, std::string_view("view"),
      bytes, std::span<const std::byte>(bytes), std::nullopt, nullptr, std::optional<int>(5),
      std::optional<std::string>(), Typed{20, 42}, Typed{25, "typed"}, Typed{1700, std::nullopt});
  const v1::QueryRequest request = Encoded(params);
  ASSERT_EQ(request.params_size(), 21);
  EXPECT_EQ(params.size(), 21u);
  EXPECT_EQ(request.params(0).bool_value(), true);
  EXPECT_EQ(request.params(1).kind_case(), v1::Value::kBoolValue);
  EXPECT_EQ(request.params(2).int_value(), -1);
  EXPECT_EQ(request.params(3).int_value(), -7);
  EXPECT_EQ(request.params(4).int_value(), 65535);
  EXPECT_EQ(request.params(5).int_value(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(request.params(6).int_value(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(request.params(7).double_value(), 0.1);
  EXPECT_EQ(request.params(8).double_value(), 0.5);
  EXPECT_EQ(request.params(9).string_value(), "literal");
  EXPECT_EQ(request.params(10).string_value(), text);
  EXPECT_EQ(request.params(11).string_value(), "view");
  EXPECT_EQ(request.params(12).bytes_value(), std::string("\0\xff", 2));
  EXPECT_EQ(request.params(13).bytes_value(), std::string("\0\xff", 2));
  EXPECT_EQ(request.params(14).kind_case(), v1::Value::KIND_NOT_SET);
  EXPECT_EQ(request.params(15).kind_case(), v1::Value::KIND_NOT_SET);
  EXPECT_EQ(request.params(16).int_value(), 5);
  EXPECT_EQ(request.params(17).kind_case(), v1::Value::KIND_NOT_SET);
  EXPECT_EQ(request.params(18).int_value(), 42);
  EXPECT_EQ(request.params(18).type_oid(), 20u);
  EXPECT_EQ(request.params(19).string_value(), "typed");
  EXPECT_EQ(request.params(20).kind_case(), v1::Value::KIND_NOT_SET);
  EXPECT_EQ(request.params(20).type_oid(), 1700u);
}

TEST(ParamsTest, NumbersOfEverySizeArriveUnchanged) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 20'000; ++i) {
    const auto number = static_cast<int64_t>(random() >> (random() % 64));
    const auto oid = static_cast<uint32_t>(random() >> (random() % 64));
    const v1::QueryRequest request = Encoded(Params(Typed{oid, -number}));
    ASSERT_EQ(request.params(0).int_value(), -number);
    ASSERT_EQ(request.params(0).type_oid(), oid);
  }
}

TEST(ParamsTest, WhatCannotBeSentIsRefused) {
  EXPECT_THROW(Params(uint64_t{1} << 63), Error);
  EXPECT_THROW(Params(std::string("\xc0\x80")), Error);
  EXPECT_NO_THROW(Params((uint64_t{1} << 63) - 1));
}

TEST(Utf8Test, WhatRfc3629ForbidsIsInvalid) {
  for (const char* text : {"", "ascii only, more than eight", "ä", "€", "😀", "\xed\x9f\xbf",
                           "\xee\x80\x80", "\xf4\x8f\xbf\xbf", "12345678ä"}) {
    EXPECT_TRUE(internal::IsValidUtf8(text)) << text;
  }
  for (const char* text : {"\x80", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                           "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
                           "1234567\xff", "\xe2\x82", "12345678\xe2\x28\xa1"}) {
    EXPECT_FALSE(internal::IsValidUtf8(text)) << text;
  }
}

TEST(FrameTest, CallsAndCancelsAreReadBackAsTheyWere) {
  std::string body;
  const Params params(7, "seven");
  const CallOptions options{.read_only = true};
  const ClientOptions client{.pool = "main", .tags = {{"caller", "test"}}};
  ASSERT_FALSE(internal::EncodeStatement({"select $1, $2", params, options}, client, body));
  const internal::Instant now = internal::Clock::now();
  std::string frame;
  internal::Call plain;
  plain.id = 1'000'001;
  plain.body = body;
  plain.deadline = now + 3s;
  internal::AppendCall(plain, now, frame);
  EXPECT_GE(internal::FrameBytes(plain), frame.size());
  internal::Call opening;
  opening.id = 2;
  opening.body = body;
  opening.session = internal::NewTransaction({.isolation = Isolation::kReadCommitted});
  opening.opens = true;
  opening.commit = true;
  opening.deadline = now + 500ms;
  internal::AppendCall(opening, now, frame);
  internal::Call ending;
  ending.id = 3;
  ending.session = internal::NewSession({});
  ending.session->token = "secret";
  ending.end = v1::SESSION_END_RELEASE;
  ending.deadline = now - 1s;  // Too late, but never negative.
  internal::AppendCall(ending, now, frame);
  internal::AppendCancel(99, frame);

  v1::PipelineRequest read;
  ASSERT_TRUE(read.ParseFromString(frame));
  ASSERT_EQ(read.calls_size(), 4);
  EXPECT_EQ(read.calls(0).id(), 1'000'001u);
  EXPECT_EQ(read.calls(0).query().sql(), "select $1, $2");
  EXPECT_EQ(read.calls(0).query().params(1).string_value(), "seven");
  EXPECT_EQ(read.calls(0).query().pool(), "main");
  EXPECT_EQ(read.calls(0).query().tags().at("caller"), "test");
  EXPECT_TRUE(read.calls(0).query().read_only());
  EXPECT_FALSE(read.calls(0).query().has_session());
  EXPECT_EQ(read.calls(0).timeout().seconds(), 2);
  EXPECT_EQ(read.calls(0).timeout().nanos(), 900'000'000);
  EXPECT_EQ(read.calls(1).query().session().begin().isolation(),
            v1::ISOLATION_LEVEL_READ_COMMITTED);
  EXPECT_TRUE(read.calls(1).query().session().commit());
  EXPECT_EQ(read.calls(1).timeout().nanos(), 450'000'000);
  EXPECT_EQ(read.calls(2).end_session().session(), "secret");
  EXPECT_EQ(read.calls(2).end_session().end(), v1::SESSION_END_RELEASE);
  EXPECT_EQ(read.calls(2).timeout().nanos(), 0);
  EXPECT_EQ(read.calls(3).cancel_id(), 99u);
  EXPECT_EQ(read.calls(3).id(), 0u);
  for (const v1::Call& call : read.calls()) {
    EXPECT_TRUE(call.GetReflection()->GetUnknownFields(call).empty());
    EXPECT_TRUE(call.query().GetReflection()->GetUnknownFields(call.query()).empty());
  }
}

// --- Cells. ---

struct Table {
  v1::QueryResponse response;

  v1::Column& Add(const std::string& name, uint32_t oid = 0) {
    v1::ColumnInfo& info = *response.mutable_result()->add_columns();
    info.set_name(name);
    info.set_type_oid(oid);
    return *response.mutable_result()->add_data();
  }
  Result Make(uint32_t rows) {
    response.mutable_result()->set_row_count(rows);
    return ResultAccess::Make(std::make_shared<v1::QueryResponse>(response));
  }
};

std::string ConversionMessage(const std::function<void()>& action) {
  try {
    action();
  } catch (const ConversionError& error) {
    return error.what();
  }
  return "did not throw";
}

TEST(ResultTest, EveryKindOfColumnIsRead) {
  Table table;
  table.Add("i", 20).add_ints(-5);
  table.Add("d", 701).add_doubles(0.25);
  table.Add("b", 16).add_bools(true);
  table.Add("s", 25).add_strings("text");
  table.Add("x", 17).add_blobs(std::string("\0\1", 2));
  table.Add("m").add_mixed()->set_double_value(1.5);
  table.Add("n", 25);
  const Result result = table.Make(1);
  const Row row = result.One();
  EXPECT_EQ(row.Get<int64_t>(0), -5);
  EXPECT_EQ(row.Get<int>("i"), -5);
  EXPECT_EQ(row.Get<double>("d"), 0.25);
  EXPECT_EQ(row.Get<float>("d"), 0.25F);
  EXPECT_EQ(row.Get<bool>("b"), true);
  EXPECT_EQ(row.Get<std::string>("s"), "text");
  EXPECT_EQ(row.Get<std::string_view>("s"), "text");
  EXPECT_EQ(row.Get<std::vector<std::byte>>("x"), Bytes(std::string_view("\0\1", 2)));
  EXPECT_EQ(row.Get<std::span<const std::byte>>("x").size(), 2u);
  EXPECT_EQ(row.Get<double>("m"), 1.5);
  EXPECT_EQ(row.Get<std::optional<std::string>>("n"), std::nullopt);
  EXPECT_EQ(row.Get<std::optional<int>>("i"), -5);
  EXPECT_TRUE(row.IsNull("n"));
  EXPECT_FALSE(row.IsNull(0));
  EXPECT_EQ(row.Get<double>("i"), -5.0);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(row.Get<Cell>("n")));
  EXPECT_EQ(result.column(1).name, "d");
  EXPECT_EQ(result.column(1).type_oid, 701u);
}

TEST(ResultTest, NullsAreWhereTheyAreListed) {
  Table table;
  v1::Column& column = table.Add("i");
  for (int i = 0; i < 10; ++i) column.add_ints(i % 3 == 0 ? 0 : i);
  for (const uint32_t null : {0U, 3U, 6U, 9U}) column.add_nulls(null);
  int seen = 0;
  const Result result = table.Make(10);
  for (auto& row : result) {
    EXPECT_EQ(row.Get<std::optional<int>>(0).has_value(), seen % 3 != 0) << seen;
    ++seen;
  }
  EXPECT_EQ(seen, 10);
  EXPECT_EQ(result.Integers(0)[4], 4);
}

TEST(ResultTest, ARowIsATuple) {
  Table table;
  table.Add("a").add_ints(1);
  table.Add("b").add_strings("x");
  const Result result = table.Make(1);
  const auto [a, b] = result[0].As<int, std::string>();
  EXPECT_EQ(a, 1);
  EXPECT_EQ(b, "x");
  EXPECT_THROW(result[0].As<int>(), ConversionError);
}

TEST(ResultTest, WhatACellIsNotIsSaidClearly) {
  Table table;
  table.Add("price", 1700).add_strings("1.50");
  table.Add("big", 20).add_ints(int64_t{1} << 40);
  table.Add("gone", 25);
  const Result result = table.Make(1);
  const Row row = result.One();
  EXPECT_EQ(ConversionMessage([&] { row.Get<double>("price"); }),
            "column 0 (\"price\", type OID 1700) is text in row 0, and was read as a double");
  EXPECT_EQ(
      ConversionMessage([&] { row.Get<int32_t>("big"); }),
      "column 1 (\"big\", type OID 20) is 1099511627776 in row 0, which does not fit the type "
      "it was read as");
  EXPECT_EQ(ConversionMessage([&] { row.Get<std::string>("gone"); }),
            "column 2 (\"gone\", type OID 25) is NULL in row 0, and was read as text; read it as "
            "std::optional");
  EXPECT_EQ(ConversionMessage([&] { row.Get<int>("none"); }), "there is no column \"none\"");
  EXPECT_EQ(ConversionMessage([&] { row.Get<int>(3); }), "there is no column 3: the result has 3");
  EXPECT_EQ(ConversionMessage([&] { result[1]; }), "there is no row 1: the result has 1");
  EXPECT_EQ(ConversionMessage([&] { table.Make(2).One(); }),
            "one row was asked for, the result has 2");
  EXPECT_THROW(row.Get<bool>("big"), ConversionError);
  EXPECT_THROW(row.Get<uint8_t>("big"), ConversionError);
  EXPECT_THROW(result.Integers(0), ConversionError);
  EXPECT_TRUE(result.Integers(2).empty());
}

TEST(ResultTest, AnIntegerBecomesADoubleOnlyIfItStaysTheSame) {
  Table table;
  v1::Column& column = table.Add("i");
  column.add_ints(int64_t{1} << 53);
  column.add_ints((int64_t{1} << 53) + 1);
  column.add_ints(std::numeric_limits<int64_t>::min());
  const Result result = table.Make(3);
  EXPECT_EQ(result[0].Get<double>(0), 9007199254740992.0);
  EXPECT_THROW(result[1].Get<double>(0), ConversionError);
  EXPECT_THROW(result[2].Get<double>(0), ConversionError);
  EXPECT_THROW(result[0].Get<float>(0), ConversionError);
}

TEST(ResultTest, AnEmptyResultHasNothing) {
  const Result result;
  EXPECT_TRUE(result.empty());
  EXPECT_EQ(result.columns(), 0u);
  EXPECT_EQ(result.rows_affected(), -1);
  EXPECT_EQ(result.command_tag(), "");
  EXPECT_FALSE(result.timing().has_value());
  for (const Row& row : result) ADD_FAILURE() << row.number();
}

}  // namespace
}  // namespace dbsidecar::client_test
