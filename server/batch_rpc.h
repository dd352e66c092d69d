// Batch, ExecuteMany and Describe: what is more than one statement on a connection.
#pragma once

#include <grpcpp/grpcpp.h>

#include "dbsidecar/v1/batch.pb.h"
#include "dbsidecar/v1/describe.pb.h"
#include "server/pools.h"
#include "server/request_parser.h"

namespace dbsidecar::server {

grpc::Status RunBatch(Pools& pools, const RequestLimits& limits, grpc::ServerContext& context,
                      const v1::BatchRequest& request, v1::BatchResponse& response);
grpc::Status RunExecuteMany(Pools& pools, const RequestLimits& limits, grpc::ServerContext& context,
                            const v1::ExecuteManyRequest& request,
                            v1::ExecuteManyResponse& response);

grpc::Status RunDescribe(Pools& pools, const RequestLimits& limits, grpc::ServerContext& context,
                         const v1::DescribeRequest& request, v1::DescribeResponse& response);

}  // namespace dbsidecar::server
