#include "pool/driver.h"

#include <fmt/format.h>

namespace dbsidecar::pool {

Error ResultTooLarge(const ResultLimits& limits, bool took_effect) {
  const std::string rows =
      limits.rows_max == 0 || limits.truncate ? "" : fmt::format("{} rows or ", limits.rows_max);
  return {
      .kind = ErrorKind::kResultTooLarge,
      .message = fmt::format(
          "the result is over the limit of {}{} bytes{}; use QueryStream, max_rows, or LIMIT in "
          "the statement",
          rows, limits.bytes_max, took_effect ? ", although the statement itself took effect" : ""),
      .sql = {},
      .outcome_unknown = false};
}

Error RowTooLarge(const ResultLimits& limits, bool took_effect) {
  return OwnError(
      ErrorKind::kResultTooLarge,
      fmt::format("a row of the result is over the limit of {} bytes{}", limits.bytes_max,
                  took_effect ? ", although the statement itself took effect" : ""));
}

}  // namespace dbsidecar::pool
