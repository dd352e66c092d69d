#include "server/cli/query_answer.h"

#include <iostream>
#include <string>

#include "server/cli/error_report.h"
#include "server/cli/result_cells.h"
#include "server/cli/result_csv.h"
#include "server/cli/result_json.h"
#include "server/cli/result_table.h"
#include "server/cli/verb_report.h"

namespace dbsidecar::server::cli {
namespace {

std::string TextOfResult(const v1::ResultSet& result, ResultOutput output,
                         std::chrono::nanoseconds elapsed) {
  switch (output) {
    case ResultOutput::kTable:
      return TableOfResult(result, elapsed);
    case ResultOutput::kJson:
      return JsonOfResult(result);
    case ResultOutput::kCsv:
      return CsvOfResult(result);
  }
  return "";
}

}  // namespace

int PrintAnswer(const v1::QueryResponse& response, const QueryOptions& options,
                std::chrono::nanoseconds elapsed) {
  for (const v1::Notice& notice : response.notices()) std::cerr << ReportOfNotice(notice);
  if (const absl::Status shape = CheckShape(response.result()); !shape.ok()) {
    std::cerr << "ERROR: " << std::string(shape.message()) << "\n";
    return kFailed;
  }
  const int exit_code = Print(TextOfResult(response.result(), options.output, elapsed));
  if (options.output != ResultOutput::kTable && response.result().truncated()) {
    std::cerr << "there are more rows, which --max-rows left out\n";
  }
  if (options.timing) std::cerr << TextOfTiming(response.timing());
  return exit_code;
}

}  // namespace dbsidecar::server::cli
