// What `dbsidecar admin` says to people.
#pragma once

#include <google/protobuf/duration.pb.h>

#include <string>

#include "dbsidecar/v1/admin.pb.h"

namespace dbsidecar::server::cli {

std::string TextOfStatements(const v1::ListStatementsResponse& response);
std::string TextOfSessions(const v1::ListSessionsResponse& response);
// `dry_run`: what would be applied.
std::string TextOfReload(const v1::ReloadResponse& response, bool dry_run);
std::string TextOfCancel(const v1::CancelStatementResponse& response);

// `4.2 s`, `3min 20s`, `850 us`.
std::string TextOfSpan(const google::protobuf::Duration& duration);
// "RUNNING" and the like, in lower case.
std::string NameOfState(v1::StatementState state);
// The tag `caller`; "" = none.
std::string CallerOf(const google::protobuf::Map<std::string, std::string>& tags);

}  // namespace dbsidecar::server::cli
