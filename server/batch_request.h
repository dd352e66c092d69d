// From a BatchRequest, an ExecuteManyRequest or a DescribeRequest to what the pool runs.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "dbsidecar/v1/batch.pb.h"
#include "dbsidecar/v1/describe.pb.h"
#include "pool/batch.h"
#include "pool/error.h"
#include "server/request_parser.h"

namespace dbsidecar::server {

// What in the request cannot be served, or nothing.
std::optional<pool::Error> CheckBatch(const v1::BatchRequest& request, const RequestLimits& limits);
std::optional<pool::Error> CheckExecuteMany(const v1::ExecuteManyRequest& request,
                                            const RequestLimits& limits);

std::optional<pool::Error> CheckDescribe(const v1::DescribeRequest& request,
                                         const RequestLimits& limits);

// These borrow text and bytes from the request, and REQUIRE that its check found nothing.
pool::Batch ToBatch(const v1::BatchRequest& request, const RequestLimits& limits);
// The flags, settings and limits of the whole, without any statement.
pool::Statement ToStatement(const v1::BatchRequest& request, const RequestLimits& limits);
// The statement, without parameters.
pool::Statement ToStatement(const v1::ExecuteManyRequest& request, const RequestLimits& limits);

// With a NULL of its type for each parameter that the request names.
pool::Statement ToStatement(const v1::DescribeRequest& request, const RequestLimits& limits);

class ColumnRows final : public pool::ParameterRows {
 public:
  explicit ColumnRows(const v1::ExecuteManyRequest& request);

  size_t size() const override { return request_.row_count(); }
  void Get(size_t row, std::vector<pool::Value>& values) const override;

 private:
  const v1::ExecuteManyRequest& request_;
  std::vector<std::vector<bool>> nulls_;  // By column; empty = it has none.
};

}  // namespace dbsidecar::server
