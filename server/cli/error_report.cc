#include "server/cli/error_report.h"

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "server/cli/call_outcome.h"
#include "server/cli/display_text.h"
#include "server/cli/result_table.h"
#include "server/status_code.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

bool StartsCharacter(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

// The byte at which the character of this number, from 0, starts; the size when there are fewer.
std::size_t ByteOfCharacter(std::string_view text, std::size_t number) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (StartsCharacter(text[i]) && number-- == 0) return i;
  }
  return text.size();
}

std::size_t CountCharacters(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, StartsCharacter));
}

struct SqlLine {
  std::size_t number = 1;
  std::string_view before;  // The fault.
  std::string_view after;
};

// `position` counts characters from 1.
SqlLine FindLine(std::string_view sql, std::size_t position) {
  const std::size_t fault = ByteOfCharacter(sql, position - 1);
  const std::string_view head = sql.substr(0, fault);
  const std::size_t start = head.rfind('\n') + 1;  // npos + 1 = 0.
  const std::size_t end = std::min(sql.find('\n', fault), sql.size());
  return {.number = 1 + static_cast<std::size_t>(std::ranges::count(head, '\n')),
          .before = sql.substr(start, fault - start),
          .after = sql.substr(fault, end - fault)};
}

constexpr std::size_t kShownBefore = 50;
constexpr std::size_t kShownAfter = 30;

std::string ShownBefore(std::string_view text) {
  const std::size_t count = CountCharacters(text);
  if (count <= kShownBefore) return Displayable(text);
  return Concat("...", Displayable(text.substr(ByteOfCharacter(text, count - kShownBefore))));
}

std::string ShownAfter(std::string_view text) {
  if (CountCharacters(text) <= kShownAfter) return Displayable(text);
  return Concat(Displayable(text.substr(0, ByteOfCharacter(text, kShownAfter))), "...");
}

std::string Position(std::string_view sql, int position) {
  if (position <= 0 || sql.empty() ||
      static_cast<std::size_t>(position) > CountCharacters(sql) + 1) {
    return "";
  }
  const SqlLine line = FindLine(sql, static_cast<std::size_t>(position));
  const std::string label = Concat("LINE ", line.number, ": ", ShownBefore(line.before));
  return Concat(label, ShownAfter(line.after), "\n", std::string(DisplayWidth(label), ' '), "^\n");
}

std::string Line(std::string_view label, std::string_view text) {
  if (text.empty()) return "";
  return Concat(label, Displayable(text, LineBreaks::kKeep), "\n");
}

std::string SqlState(const v1::SqlError& sql) {
  return sql.sqlstate().empty() ? "" : Concat(" (SQLSTATE ", Displayable(sql.sqlstate()), ")");
}

std::string CodeLine(const v1::Error& error) {
  std::string line = Concat("code ", NameOfCode(error.code()));
  if (!error.reason().empty()) line += Concat(", reason ", Displayable(error.reason()));
  if (error.has_retry_delay()) {
    const auto delay = std::chrono::seconds(error.retry_delay().seconds()) +
                       std::chrono::nanoseconds(error.retry_delay().nanos());
    line += Concat(", may succeed if tried again after ", TextOfElapsed(delay));
  }
  return line + "\n";
}

}  // namespace

std::string ReportOfError(const v1::Error& error, std::string_view sql) {
  const v1::SqlError& report = error.sql();
  const std::string severity = report.severity().empty() ? "ERROR" : Displayable(report.severity());
  std::string out = Concat(severity, ": ", Displayable(error.message(), LineBreaks::kKeep),
                           SqlState(report), "\n");
  out += Position(sql, report.position());
  out += Line("DETAIL: ", report.detail());
  out += Line("HINT: ", report.hint());
  out += Line("CONTEXT: ", report.where());
  out += Line("CONSTRAINT: ", report.constraint());
  if (report.outcome_unknown()) {
    out += "The statement may have taken effect: look before you run it again.\n";
  }
  return out + CodeLine(error);
}

std::string ReportOfNotice(const v1::Notice& notice) {
  const std::string severity =
      notice.severity().empty() ? "NOTICE" : Displayable(notice.severity());
  return Concat(severity, ": ", Displayable(notice.message(), LineBreaks::kKeep), "\n");
}

}  // namespace dbsidecar::server::cli
