// Rows of an integer, a text and a number for ExecuteMany.
#pragma once

#include <fmt/format.h>

#include "dbsidecar/v1/batch.pb.h"

namespace dbsidecar::integration {

inline v1::ExecuteManyRequest ManyRows(uint32_t rows) {
  v1::ExecuteManyRequest request;
  request.set_sql("insert into t values ($1, $2, $3)");
  request.set_row_count(rows);
  v1::Column& ids = *request.add_params();
  v1::Column& texts = *request.add_params();
  v1::Column& numbers = *request.add_params();
  for (uint32_t i = 0; i < rows; ++i) {
    ids.add_ints(i);
    texts.add_strings(fmt::format("the text of row {}", i));
    numbers.add_doubles(i / 4.0);
    if (i % 10 == 0) texts.add_nulls(i);
  }
  return request;
}

}  // namespace dbsidecar::integration
