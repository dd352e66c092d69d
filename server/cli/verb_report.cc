#include "server/cli/verb_report.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <iostream>

#include "server/cli/display_text.h"
#include "server/cli/error_report.h"
#include "server/cli/result_table.h"
#include "server/config/values.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

// What a call left open, for the statements that may have had an effect.
constexpr std::string_view kEffectUnknown =
    "The statement may have taken effect: look before you run it again.\n";

}  // namespace

int Print(std::string_view text, int exit_code) {
  std::cout << text << std::flush;
  if (std::cout) return exit_code;
  std::cerr << "standard output cannot be written\n";
  return kFailed;
}

int UsageError(std::string_view verb, const absl::Status& status) {
  std::cerr << "dbsidecar " << verb << ": " << std::string(status.message()) << "\nsee dbsidecar "
            << verb << " --help\n";
  return kUsage;
}

std::string JsonOf(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!status.ok()) std::cerr << "the answer has no JSON form: " << status.ToString() << "\n";
  return json;
}

std::string DescribeUnreachable(const CallOutcome& outcome, const std::string& address) {
  return Concat("no sidecar answers at ", address, ": ", Displayable(ReasonOfUnreachable(outcome)));
}

int ReportFailure(const CallOutcome& outcome, const ClientOptions& client, std::string_view sql) {
  if (outcome.Unreachable()) {
    std::cerr << DescribeUnreachable(outcome, client.address)
              << "; is it running? (start it with: dbsidecar serve)\n";
    return kUnreachable;
  }
  if (outcome.ConnectionLost()) {
    std::cerr << "the connection to the sidecar at " << client.address
              << " broke: " << Displayable(outcome.message) << "\n"
              << (sql.empty() ? "" : kEffectUnknown);
    return kUnreachable;
  }
  if (outcome.TimedOut()) {
    std::cerr << "ERROR: no answer within " << FormatDuration(client.timeout)
              << "; --timeout gives it longer\n"
              << (sql.empty() ? "" : kEffectUnknown);
    return kFailed;
  }
  std::cerr << ReportOfError(ErrorOf(outcome), sql);
  return kFailed;
}

std::string TextOfTiming(const v1::Timing& timing) {
  const auto text = [](std::uint64_t nanoseconds) {
    return TextOfElapsed(std::chrono::nanoseconds(nanoseconds));
  };
  return fmt::format("queue {} (connect {}), execute {}, encode {}\n", text(timing.queue_nanos()),
                     text(timing.connect_nanos()), text(timing.execute_nanos()),
                     text(timing.encode_nanos()));
}

}  // namespace dbsidecar::server::cli
