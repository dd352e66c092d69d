// protos/service_config.json in a gRPC channel: which RPCs gRPC itself sends again after
// UNAVAILABLE.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "dbsidecar/v1/sidecar.grpc.pb.h"

namespace dbsidecar::client_test {
namespace {

// Says UNAVAILABLE to the first attempt of everything, and OK to later ones.
class FirstAttemptFails final : public v1::Sidecar::Service {
 public:
  grpc::Status Health(grpc::ServerContext*, const v1::HealthRequest*,
                      v1::HealthResponse*) override {
    return Attempt();
  }
  grpc::Status Query(grpc::ServerContext*, const v1::QueryRequest*, v1::QueryResponse*) override {
    return Attempt();
  }
  grpc::Status Metrics(grpc::ServerContext*, const v1::MetricsRequest*,
                       v1::MetricsResponse*) override {
    return Attempt();
  }
  grpc::Status Describe(grpc::ServerContext*, const v1::DescribeRequest*,
                        v1::DescribeResponse*) override {
    return Attempt();
  }
  int attempts() const { return attempts_; }

 private:
  grpc::Status Attempt() {
    if (++attempts_ > 1) return grpc::Status::OK;
    return {grpc::StatusCode::UNAVAILABLE, "as if the sidecar had died"};
  }

  std::atomic<int> attempts_{0};
};

class ServiceConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);

    std::ifstream file(SERVICE_CONFIG_FILE);
    const std::string config(std::istreambuf_iterator<char>(file), {});
    ASSERT_FALSE(config.empty());
    grpc::ChannelArguments arguments;
    arguments.SetServiceConfigJSON(config);
    stub_ = v1::Sidecar::NewStub(grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials(), arguments));
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  }

  FirstAttemptFails service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::Sidecar::Stub> stub_;
  grpc::ClientContext context_;
};

TEST_F(ServiceConfigTest, HealthIsSentAgain) {
  v1::HealthResponse response;
  const grpc::Status status = stub_->Health(&context_, {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(service_.attempts(), 2);
}

TEST_F(ServiceConfigTest, DescribeIsSentAgain) {
  v1::DescribeResponse response;
  const grpc::Status status = stub_->Describe(&context_, {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(service_.attempts(), 2);
}

TEST_F(ServiceConfigTest, MetricsIsSentAgain) {
  v1::MetricsResponse response;
  const grpc::Status status = stub_->Metrics(&context_, {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(service_.attempts(), 2);
}

// gRPC says UNAVAILABLE by itself when the sidecar dies in mid-call: the statement may have run.
TEST_F(ServiceConfigTest, AQueryIsNotSentAgain) {
  v1::QueryResponse response;
  const grpc::Status status = stub_->Query(&context_, {}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(service_.attempts(), 1);
}

}  // namespace
}  // namespace dbsidecar::client_test
