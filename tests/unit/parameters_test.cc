#include "pool/postgres/parameters.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace dbsidecar::pool {
namespace {

Value Null(uint32_t type_oid = 0) {
  Value value;
  value.type_oid = type_oid;
  return value;
}

Value Bool(bool boolean) {
  Value value;
  value.kind = Value::Kind::kBool;
  value.boolean = boolean;
  return value;
}

Value Integer(int64_t integer, uint32_t type_oid = 0) {
  Value value;
  value.kind = Value::Kind::kInteger;
  value.integer = integer;
  value.type_oid = type_oid;
  return value;
}

Value Double(double real) {
  Value value;
  value.kind = Value::Kind::kDouble;
  value.real = real;
  return value;
}

Value Text(std::string_view text) {
  Value value;
  value.kind = Value::Kind::kText;
  value.text = text;
  return value;
}

Value Bytes(std::string_view bytes, uint32_t type_oid = 0) {
  Value value;
  value.kind = Value::Kind::kBytes;
  value.text = bytes;
  value.type_oid = type_oid;
  return value;
}

Statement With(std::vector<Value> parameters) {
  Statement statement;
  statement.sql = "select 1";
  statement.parameters = std::move(parameters);
  return statement;
}

TEST(ParametersTest, NoParametersAreNone) { EXPECT_EQ(Parameters(With({})).count(), 0); }

TEST(ParametersTest, ScalarsTravelAsPostgresqlText) {
  const std::vector<std::pair<Value, std::string>> cases = {
      {Bool(true), "t"},
      {Bool(false), "f"},
      {Integer(0), "0"},
      {Integer(std::numeric_limits<int64_t>::min()), "-9223372036854775808"},
      {Integer(std::numeric_limits<int64_t>::max()), "9223372036854775807"},
      {Double(0.1), "0.1"},
      {Double(-0.0), "-0"},
      {Double(std::numeric_limits<double>::quiet_NaN()), "NaN"},
      {Double(std::numeric_limits<double>::infinity()), "Infinity"},
      {Double(-std::numeric_limits<double>::infinity()), "-Infinity"},
      {Double(std::numeric_limits<double>::denorm_min()), "5e-324"},
      {Text(""), ""},
      {Text("\xc3\xa9 'x'"), "\xc3\xa9 'x'"},
  };
  for (const auto& [value, text] : cases) {
    const Parameters parameters(With({value}));
    ASSERT_NE(parameters.values()[0], nullptr) << text;
    EXPECT_EQ(std::string(parameters.values()[0]), text);
    EXPECT_EQ(parameters.lengths()[0], static_cast<int>(text.size()));
    EXPECT_EQ(parameters.formats()[0], 0) << text;
    EXPECT_EQ(parameters.types()[0], 0u) << text;
  }
}

TEST(ParametersTest, EveryDoubleReadsBackAsItself) {
  for (const double value : {1.0 / 3, 1e308, 2.2250738585072014e-308, 123456789.125, 1e-7}) {
    const Parameters parameters(With({Double(value)}));
    EXPECT_EQ(std::stod(parameters.values()[0]), value);
  }
}

TEST(ParametersTest, NullIsANullPointerAndAnEmptyValueIsNot) {
  const Parameters parameters(With({Null(), Null(23), Text({}), Bytes({})}));
  ASSERT_EQ(parameters.count(), 4);
  EXPECT_EQ(parameters.values()[0], nullptr);
  EXPECT_EQ(parameters.values()[1], nullptr);
  EXPECT_EQ(parameters.types()[1], 23u);
  EXPECT_NE(parameters.values()[2], nullptr);
  EXPECT_NE(parameters.values()[3], nullptr);
  EXPECT_EQ(parameters.lengths()[3], 0);
}

TEST(ParametersTest, BytesTravelInBinaryAsByteaUnlessAnotherTypeIsNamed) {
  const std::string bytes("\0\xff\0", 3);
  const Parameters parameters(With({Bytes(bytes), Bytes(bytes, 2950)}));
  EXPECT_EQ(parameters.types()[0], 17u);
  EXPECT_EQ(parameters.types()[1], 2950u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(parameters.formats()[i], 1);
    EXPECT_EQ(std::string(parameters.values()[i], 3), bytes);
    EXPECT_EQ(parameters.lengths()[i], 3);
  }
}

TEST(ParametersTest, ThousandsOfValuesKeepTheirPlaces) {
  std::vector<Value> values;
  for (int64_t i = 0; i < 10'000; ++i) values.push_back(Integer(i));
  const Parameters parameters(With(std::move(values)));
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(parameters.values()[i], std::to_string(i));
}

TEST(PreparedKeyTest, DependsOnTheTextAndTheNamedTypesOnly) {
  EXPECT_EQ(PreparedKey(With({Integer(1)})), PreparedKey(With({Integer(2)})));
  EXPECT_EQ(PreparedKey(With({Integer(1)})), PreparedKey(With({Null()})));
  EXPECT_NE(PreparedKey(With({Integer(1)})), PreparedKey(With({Integer(1, 20)})));
  EXPECT_NE(PreparedKey(With({Integer(1)})), PreparedKey(With({Integer(1), Integer(1)})));
  EXPECT_EQ(PreparedKey(With({Bytes("")})), PreparedKey(With({Bytes("", 17)})));
  Statement other = With({});
  other.sql = "select 2";
  EXPECT_NE(PreparedKey(other), PreparedKey(With({})));
}

}  // namespace
}  // namespace dbsidecar::pool
