// The entries of Admin's lists.
#pragma once

#include <string>

#include "dbsidecar/v1/admin.pb.h"
#include "pool/inspection.h"

namespace dbsidecar::server {

// `count_max` 0 = the default of the contract.
pool::ListFilter FilterOf(pool::Duration age_min, uint32_t count_max);

// All but the pool, the fingerprint and the text.
void FillStatement(const pool::RunningStatement& statement, v1::RunningStatement& into);
void FillSession(const pool::OpenSession& session, v1::OpenSession& into);

// A text for a list: the start of it, at a character's boundary.
std::string ShownText(const std::string& text);

}  // namespace dbsidecar::server
