#include "server/status_code.h"

#include <gtest/gtest.h>

namespace dbsidecar::server {
namespace {

// As in gRPC's statuscodes.md.
TEST(StatusCodeTest, NumbersAndNamesAreThoseOfGrpc) {
  EXPECT_EQ(NameOfCode(0), "OK");
  EXPECT_EQ(NameOfCode(1), "CANCELLED");
  EXPECT_EQ(NameOfCode(2), "UNKNOWN");
  EXPECT_EQ(NameOfCode(3), "INVALID_ARGUMENT");
  EXPECT_EQ(NameOfCode(4), "DEADLINE_EXCEEDED");
  EXPECT_EQ(NameOfCode(5), "NOT_FOUND");
  EXPECT_EQ(NameOfCode(6), "ALREADY_EXISTS");
  EXPECT_EQ(NameOfCode(7), "PERMISSION_DENIED");
  EXPECT_EQ(NameOfCode(8), "RESOURCE_EXHAUSTED");
  EXPECT_EQ(NameOfCode(9), "FAILED_PRECONDITION");
  EXPECT_EQ(NameOfCode(10), "ABORTED");
  EXPECT_EQ(NameOfCode(11), "OUT_OF_RANGE");
  EXPECT_EQ(NameOfCode(12), "UNIMPLEMENTED");
  EXPECT_EQ(NameOfCode(13), "INTERNAL");
  EXPECT_EQ(NameOfCode(14), "UNAVAILABLE");
  EXPECT_EQ(NameOfCode(15), "DATA_LOSS");
  EXPECT_EQ(NameOfCode(16), "UNAUTHENTICATED");
  EXPECT_EQ(CodeName(Code::kOk), "OK");
  EXPECT_EQ(CodeName(Code::kUnavailable), "UNAVAILABLE");
  EXPECT_EQ(CodeName(Code::kUnauthenticated), "UNAUTHENTICATED");
}

TEST(StatusCodeTest, ANumberThatGrpcDoesNotDefineIsNamedByItself) {
  EXPECT_EQ(NameOfCode(17), "code 17");
  EXPECT_EQ(NameOfCode(-1), "code -1");
  EXPECT_EQ(NameOfCode(1 << 30), "code 1073741824");
}

}  // namespace
}  // namespace dbsidecar::server
