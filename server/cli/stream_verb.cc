#include "server/cli/stream_verb.h"

#include <iostream>
#include <string>

#include "server/cli/error_report.h"
#include "server/cli/progress.h"
#include "server/cli/result_cells.h"
#include "server/cli/result_csv.h"
#include "server/cli/result_json.h"
#include "server/cli/verb_report.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

// Prints one part after another.
class PartPrinter {
 public:
  explicit PartPrinter(ResultOutput output) : json_(output == ResultOutput::kJson) {}

  // False = standard output takes no more, or the part makes no sense; it was said which.
  bool Print(v1::QueryResponse& part) {
    for (const v1::Notice& notice : part.notices()) std::cerr << ReportOfNotice(notice);
    v1::ResultSet& result = *part.mutable_result();
    const bool first = result.columns_size() > 0;
    if (first) columns_ = result.columns();
    *result.mutable_columns() = columns_;
    if (const absl::Status shape = CheckShape(result); !shape.ok()) {
      std::cerr << "ERROR: " << std::string(shape.message()) << "\n";
      return false;
    }
    if (columns_.empty()) return true;
    return Write(json_ ? JsonRows(result)
                       : Concat(first ? CsvHeaderOf(result) : "", CsvRowsOf(result)));
  }

  bool End() { return !json_ || Write(rows_ == 0 ? "[]\n" : "\n]\n"); }

 private:
  static bool Write(const std::string& text) { return cli::Print(text) == kOk; }

  std::string JsonRows(const v1::ResultSet& result) {
    if (result.row_count() == 0) return "";
    std::string text = Concat(rows_ == 0 ? "[\n" : ",\n", JsonRowsOf(result));
    rows_ += result.row_count();
    return text;
  }

  const bool json_;
  google::protobuf::RepeatedPtrField<v1::ColumnInfo> columns_;
  uint64_t rows_ = 0;
};

}  // namespace

int StreamQuery(SidecarClient& client, const v1::QueryRequest& request,
                const QueryOptions& options) {
  PartPrinter printer(options.output);
  Progress progress(true);
  bool printed = true;
  v1::Timing timing;
  const CallOutcome outcome =
      client.QueryStream(request, options.client.timeout, [&](v1::QueryResponse& part) {
        timing = part.timing();
        printed = printer.Print(part);
        progress.AddRows(part.result().row_count());
        return printed;
      });
  if (!printed) return kFailed;
  if (!outcome.ok()) return ReportFailure(outcome, options.client, options.sql);
  if (!printer.End()) return kFailed;
  if (options.timing) std::cerr << TextOfTiming(timing);
  return kOk;
}

}  // namespace dbsidecar::server::cli
