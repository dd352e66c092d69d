// What the client verbs say at their end, and the exit code that goes with it.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "dbsidecar/v1/query.pb.h"
#include "server/cli/call_outcome.h"
#include "server/cli/client_options.h"

namespace dbsidecar::server::cli {

inline constexpr int kOk = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;
inline constexpr int kUnreachable = 3;

// `exit_code`, or kFailed: a full disk or a closed pipe is an error too, because the reader did not
// get the whole answer.
int Print(std::string_view text, int exit_code = kOk);

// Says on standard error what is wrong with the arguments of `verb`. Returns kUsage.
int UsageError(std::string_view verb, const absl::Status& status);

// A message as Protobuf's JSON, indented.
std::string JsonOf(const google::protobuf::Message& message);

std::string DescribeUnreachable(const CallOutcome& outcome, const std::string& address);

// Says on standard error why the call failed. `sql` is what may have had an effect; empty =
// nothing.
int ReportFailure(const CallOutcome& outcome, const ClientOptions& client,
                  std::string_view sql = {});

std::string TextOfTiming(const v1::Timing& timing);

}  // namespace dbsidecar::server::cli
