// Describe over the wire.
#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

class DescribeTest : public testing::Test {
 protected:
  grpc::Status Describe(const v1::DescribeRequest& request, v1::DescribeResponse& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    return fixture_.client.stub().Describe(&context, request, &response);
  }

  PostgresSidecar fixture_;
};

TEST_F(DescribeTest, AStatementIsDescribedAndNotRun) {
  fixture_.Psql("create type mood as enum ('sad', 'happy'); create table t (id int, m mood)");
  v1::DescribeRequest request;
  request.set_sql("insert into t values ($1, $2) returning m, $3");
  request.add_param_type_oids(0);
  request.add_param_type_oids(0);
  request.add_param_type_oids(1184);
  v1::DescribeResponse response;
  const grpc::Status status = Describe(request, response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.param_type_oids_size(), 3);
  EXPECT_EQ(response.param_type_oids(0), 23u);
  EXPECT_EQ(response.param_type_oids(2), 1184u);
  ASSERT_EQ(response.columns_size(), 2);
  EXPECT_EQ(response.columns(0).name(), "m");
  ASSERT_EQ(response.types_size(), 1);
  EXPECT_EQ(response.types(0).name(), "mood");
  EXPECT_EQ(response.types(0).kind(), v1::TYPE_KIND_ENUM);
  EXPECT_EQ(response.types(0).labels(1), "happy");
  EXPECT_EQ(response.types(0).oid(), response.param_type_oids(1));
  EXPECT_EQ(response.read_only(), v1::READ_ONLY_VERDICT_MAY_WRITE);
  EXPECT_EQ(response.verdict_reason(), "it writes");
  EXPECT_EQ(response.fingerprint().size(), 16u);
  EXPECT_EQ(fixture_.Psql("select count(*) from t"), "0");
}

TEST_F(DescribeTest, WhatCannotBeDescribedSaysWhy) {
  v1::DescribeResponse response;
  const auto code = [&](const std::function<void(v1::DescribeRequest&)>& change) {
    v1::DescribeRequest request;
    request.set_sql("select 1");
    change(request);
    return Describe(request, response).error_code();
  };
  using R = v1::DescribeRequest;
  EXPECT_EQ(code([](R&) {}), grpc::StatusCode::OK);
  EXPECT_EQ(response.read_only(), v1::READ_ONLY_VERDICT_READ_ONLY);
  EXPECT_EQ(code([](R& r) { r.clear_sql(); }), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(code([](R& r) { r.set_sql("select * from nothing"); }), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(code([](R& r) { r.mutable_session()->mutable_begin(); }),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(code([](R& r) { r.mutable_session()->set_session("unknown"); }),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(code([](R& r) { r.set_pool("other"); }), grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace dbsidecar::integration
