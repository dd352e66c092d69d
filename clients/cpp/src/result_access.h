// How replies become Results.
#pragma once

#include <memory>
#include <utility>

#include "dbsidecar/result.h"

namespace dbsidecar {

struct ResultAccess {
  static Result Make(std::shared_ptr<const v1::QueryResponse> response) {
    return Result(std::move(response));
  }
};

}  // namespace dbsidecar
