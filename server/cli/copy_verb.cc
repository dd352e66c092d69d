#include "server/cli/copy_verb.h"

#include <fmt/format.h>

#include <iostream>
#include <string>

#include "server/cli/error_report.h"
#include "server/cli/progress.h"
#include "server/cli/verb_report.h"

namespace dbsidecar::server::cli {
namespace {

constexpr size_t kChunkBytes = 64 * 1024;

v1::CopyStart StartOf(const QueryOptions& options) {
  v1::CopyStart start;
  start.set_sql(options.sql);
  start.set_pool(options.client.pool);
  start.set_want_timing(options.timing);
  if (options.settings) *start.mutable_settings() = *options.settings;
  return start;
}

void Report(const v1::CopyResult& result, const QueryOptions& options) {
  for (const v1::Notice& notice : result.notices()) std::cerr << ReportOfNotice(notice);
  std::cerr << result.command_tag() << "\n";
  if (options.timing) std::cerr << TextOfTiming(result.timing());
}

}  // namespace

int CopyIn(SidecarClient& client, const QueryOptions& options) {
  v1::CopyInRequest start;
  *start.mutable_start() = StartOf(options);
  Progress progress(false);
  // A part that cannot be read must not pass for the end.
  const auto next = [&progress](v1::CopyInRequest& request) {
    std::string& data = *request.mutable_data();
    data.resize(kChunkBytes);
    std::cin.read(data.data(), static_cast<std::streamsize>(data.size()));
    data.resize(static_cast<size_t>(std::cin.gcount()));
    progress.AddBytes(data.size());
    if (std::cin.bad()) request.set_abort("standard input cannot be read");
    return request.has_abort() || !data.empty();
  };
  v1::CopyInResponse response;
  const CallOutcome outcome = client.CopyIn(start, options.client.timeout, next, response);
  if (!outcome.ok()) return ReportFailure(outcome, options.client, options.sql);
  Report(response.result(), options);
  return kOk;
}

int CopyOut(SidecarClient& client, const QueryOptions& options) {
  v1::CopyOutRequest request;
  *request.mutable_start() = StartOf(options);
  v1::CopyResult result;
  bool printed = true;
  Progress progress(true);
  const auto take = [&](const v1::CopyOutResponse& part) {
    if (part.has_result()) result = part.result();
    progress.AddBytes(part.data().size());
    if (part.part_case() == v1::CopyOutResponse::kData) printed = Print(part.data()) == kOk;
    return printed;
  };
  const CallOutcome outcome = client.CopyOut(request, options.client.timeout, take);
  if (!printed) return kFailed;
  if (!outcome.ok()) return ReportFailure(outcome, options.client, options.sql);
  Report(result, options);
  return kOk;
}

}  // namespace dbsidecar::server::cli
