// Batch, ExecuteMany and Describe: what is more than one statement on a connection.
#pragma once

#include <grpcpp/grpcpp.h>

#include "dbsidecar/v1/batch.pb.h"
#include "dbsidecar/v1/describe.pb.h"
#include "server/database.h"
#include "server/request_parser.h"

namespace dbsidecar::server {

grpc::Status RunBatch(Database& database, const RequestLimits& limits, grpc::ServerContext& context,
                      const v1::BatchRequest& request, v1::BatchResponse& response);
grpc::Status RunExecuteMany(Database& database, const RequestLimits& limits,
                            grpc::ServerContext& context, const v1::ExecuteManyRequest& request,
                            v1::ExecuteManyResponse& response);

grpc::Status RunDescribe(Database& database, const RequestLimits& limits,
                         grpc::ServerContext& context, const v1::DescribeRequest& request,
                         v1::DescribeResponse& response);

}  // namespace dbsidecar::server
