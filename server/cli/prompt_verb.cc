#include "server/cli/prompt_verb.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <utility>

#include "server/cli/display_text.h"
#include "server/cli/error_report.h"
#include "server/cli/line_editor.h"
#include "server/cli/prompt_commands.h"
#include "server/cli/query_answer.h"
#include "server/cli/statement_reader.h"
#include "server/cli/verb_report.h"
#include "server/config/values.h"
#include "server/text.h"
#include "server/utf8.h"

namespace dbsidecar::server::cli {
namespace {

// The reason of an error after which there is no session any more.
constexpr std::string_view kSessionNotFound = "SESSION_NOT_FOUND";
constexpr std::uint32_t kRowsMax = 1000;
constexpr int kFilesMax = 20;  // One that runs another, that runs another...

class Prompt {
 public:
  Prompt(SidecarClient& client, const PromptOptions& options, bool interactive)
      : client_(client), interactive_(interactive) {
    query_.client = options.client;
    query_.output = options.output;
    query_.rows_max = interactive ? kRowsMax : 0;
  }
  ~Prompt() { EndSession(); }
  Prompt(const Prompt&) = delete;
  Prompt& operator=(const Prompt&) = delete;

  // The database's kind, or why there is no answer. Asked first, so that nobody types in vain.
  int Greet();
  // Reads lines until there are no more, `\q`, or an error that counts.
  int Run(const std::function<std::optional<LineEditor::Line>(const std::string&)>& read);

 private:
  int RunLine(const std::string& line, StatementReader& reader);
  int RunStatement(const std::string& sql);
  int RunFile(const std::string& path);
  int RunCommand(std::string_view line);
  int ShowCatalog(const std::vector<CatalogQuery>& queries);
  int Pin();
  CallOutcome Ask(v1::QueryRequest& request, v1::QueryResponse& response);
  void EndSession();
  std::string PromptFor(const StatementReader& reader) const;

  SidecarClient& client_;
  const bool interactive_;
  QueryOptions query_;
  bool sqlite_ = false;
  bool quit_ = false;
  int files_ = 0;
  std::string session_;  // Its token; empty = none is open.
  bool pinned_ = false;
  v1::TransactionStatus status_ = v1::TRANSACTION_STATUS_IDLE;
};

int Prompt::Greet() {
  v1::MetricsResponse metrics;
  v1::MetricsRequest request;
  request.add_pools(query_.client.pool);
  const CallOutcome outcome = client_.Metrics(request, std::chrono::seconds(10), metrics);
  if (!outcome.ok()) return ReportFailure(outcome, query_.client);
  for (const v1::PoolMetrics& pool : metrics.pools()) sqlite_ = pool.driver() == "sqlite";
  if (interactive_) {
    std::cout << "dbsidecar at " << query_.client.address << ", on "
              << (sqlite_ ? "SQLite" : "PostgreSQL") << ". \\? for help, \\q to leave.\n";
  }
  return kOk;
}

int Prompt::Run(const std::function<std::optional<LineEditor::Line>(const std::string&)>& read) {
  StatementReader reader;
  while (!quit_) {
    const std::optional<LineEditor::Line> line = read(PromptFor(reader));
    if (!line) break;
    if (line->interrupted) {
      reader.Clear();
      std::cout << "\n";
      continue;
    }
    const int exit_code = RunLine(line->text, reader);
    if (exit_code != kOk && !interactive_) return exit_code;
  }
  const std::optional<std::string> rest = reader.Rest();
  return interactive_ || quit_ || !rest ? kOk : RunStatement(*rest);
}

// Several statements may stand in one line; after one that fails the rest of it is forgotten.
int Prompt::RunLine(const std::string& line, StatementReader& reader) {
  if (!IsValidUtf8(line)) {
    std::cerr << "ERROR: the line is not valid UTF-8\n";
    return kFailed;
  }
  if (const std::string_view command = Trim(line); reader.empty() && command.starts_with('\\')) {
    return RunCommand(command);
  }
  reader.Add(line);
  while (const std::optional<std::string> statement = reader.Next()) {
    if (const int exit_code = RunStatement(*statement); exit_code != kOk) {
      reader.Clear();
      return exit_code;
    }
  }
  return kOk;
}

CallOutcome Prompt::Ask(v1::QueryRequest& request, v1::QueryResponse& response) {
  request.set_pool(query_.client.pool);
  CallOutcome outcome = client_.Query(request, query_.client.timeout, response);
  if (outcome.ok()) {
    session_ = response.session();
    status_ = response.transaction_status();
    pinned_ = pinned_ && !session_.empty();
  } else if (ErrorOf(outcome).reason() == kSessionNotFound) {
    session_.clear();
    pinned_ = false;
    status_ = v1::TRANSACTION_STATUS_IDLE;
  } else if (status_ == v1::TRANSACTION_STATUS_IN_TRANSACTION) {
    status_ = v1::TRANSACTION_STATUS_FAILED;
  }
  return outcome;
}

int Prompt::RunStatement(const std::string& sql) {
  v1::QueryRequest request;
  request.set_sql(sql);
  request.set_format(v1::RESULT_FORMAT_COLUMNS);
  request.set_max_rows(query_.rows_max);
  request.set_want_timing(query_.timing);
  v1::SessionControl& session = *request.mutable_session();
  if (session_.empty()) {
    session.set_auto_pin(true);
  } else {
    session.set_session(session_);
  }
  v1::QueryResponse response;
  const auto start = std::chrono::steady_clock::now();
  const CallOutcome outcome = Ask(request, response);
  const auto elapsed = std::chrono::steady_clock::now() - start;
  if (!outcome.ok()) return ReportFailure(outcome, query_.client, sql);
  return PrintAnswer(response, query_, elapsed);
}

int Prompt::RunFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    std::cerr << "ERROR: \"" << Displayable(path) << "\" cannot be read\n";
    return kFailed;
  }
  if (++files_ > kFilesMax) {
    std::cerr << "ERROR: files run each other more than " << kFilesMax << " deep\n";
    --files_;
    return kFailed;
  }
  StatementReader reader;
  int exit_code = kOk;
  for (std::string line; exit_code == kOk && !quit_ && std::getline(file, line);) {
    exit_code = RunLine(line, reader);
  }
  const std::optional<std::string> rest = reader.Rest();
  if (exit_code == kOk && rest && !quit_) exit_code = RunStatement(*rest);
  --files_;
  return exit_code;
}

int Prompt::RunCommand(std::string_view line) {
  const size_t end = line.find_first_of(" \t");
  const std::string_view command = line.substr(0, end).substr(1);
  std::string_view argument =
      end == std::string_view::npos ? std::string_view() : Trim(line.substr(end));
  while (argument.ends_with(';')) argument = Trim(argument.substr(0, argument.size() - 1));
  if (command == "q") {
    quit_ = true;
  } else if (command == "?") {
    return Print(kPromptCommandsHelp);
  } else if (command == "i") {
    return RunFile(std::string(argument));
  } else if (command == "pin") {
    return Pin();
  } else if (command == "unpin") {
    EndSession();
  } else if (command == "timing") {
    query_.timing = !query_.timing;
    std::cout << "timing is " << (query_.timing ? "on" : "off") << "\n";
  } else if (command == "json") {
    query_.output = ResultOutput::kJson;
  } else if (command == "csv") {
    query_.output = ResultOutput::kCsv;
  } else if (command == "table") {
    query_.output = ResultOutput::kTable;
  } else if (command == "rows") {
    const auto rows = ParseInteger(argument);
    if (!rows.ok() || *rows < 0 || *rows > 0xffffffff) {
      std::cerr << "ERROR: \\rows takes a whole number of rows, or 0\n";
      return kFailed;
    }
    query_.rows_max = static_cast<std::uint32_t>(*rows);
  } else {
    const std::vector<CatalogQuery> queries = CatalogQueries(sqlite_, command, argument);
    if (!queries.empty()) return ShowCatalog(queries);
    std::cerr << "ERROR: there is no command \\" << Displayable(command) << "; \\? lists them\n";
    return kFailed;
  }
  return kOk;
}

// Of the parts of a description those that are empty are left out, but for the first.
int Prompt::ShowCatalog(const std::vector<CatalogQuery>& queries) {
  QueryOptions options = query_;
  options.timing = false;
  bool first = true;
  for (const CatalogQuery& query : queries) {
    if (query.sql.empty()) return Print(Concat(query.title, "\n"));
    v1::QueryRequest request;
    request.set_sql(query.sql);
    request.set_format(v1::RESULT_FORMAT_COLUMNS);
    for (const std::string& parameter : query.parameters) {
      request.add_params()->set_string_value(parameter);
    }
    if (!session_.empty()) request.mutable_session()->set_session(session_);
    v1::QueryResponse response;
    const auto start = std::chrono::steady_clock::now();
    const CallOutcome outcome = Ask(request, response);
    if (!outcome.ok()) return ReportFailure(outcome, query_.client, query.sql);
    if (!std::exchange(first, false) && response.result().row_count() == 0) continue;
    if (options.output == ResultOutput::kTable) std::cout << query.title << "\n";
    const auto elapsed = std::chrono::steady_clock::now() - start;
    if (const int code = PrintAnswer(response, options, elapsed); code != kOk) return code;
  }
  return kOk;
}

int Prompt::Pin() {
  if (!session_.empty()) {
    std::cerr << "ERROR: a connection is kept already"
              << (pinned_ ? "\n" : ", for the transaction; end it first\n");
    return kFailed;
  }
  v1::QueryRequest request;
  request.set_sql("select 1");
  request.mutable_session()->mutable_pin();
  v1::QueryResponse response;
  const CallOutcome outcome = Ask(request, response);
  if (!outcome.ok()) return ReportFailure(outcome, query_.client, request.sql());
  pinned_ = true;
  return kOk;
}

void Prompt::EndSession() {
  if (session_.empty()) return;
  v1::EndSessionRequest request;
  request.set_session(std::exchange(session_, {}));
  request.set_end(v1::SESSION_END_ROLLBACK);
  v1::EndSessionResponse response;
  const CallOutcome outcome = client_.EndSession(request, std::chrono::seconds(10), response);
  if (outcome.ok() && !response.command_tag().empty()) {
    std::cerr << "the open transaction was rolled back\n";
  } else if (!outcome.ok() && ErrorOf(outcome).reason() != kSessionNotFound) {
    ReportFailure(outcome, query_.client);
  }
  pinned_ = false;
  status_ = v1::TRANSACTION_STATUS_IDLE;
}

// As psql's: what the line goes on with, `*` in a transaction, `!` in a failed one.
std::string Prompt::PromptFor(const StatementReader& reader) const {
  const char* transaction = status_ == v1::TRANSACTION_STATUS_IN_TRANSACTION ? "*"
                            : status_ == v1::TRANSACTION_STATUS_FAILED       ? "!"
                                                                             : "";
  return fmt::format("{}{}{}> ", pinned_ ? "pinned" : "sql", transaction, reader.expects());
}

std::string HistoryFile(const PromptOptions& options) {
  return options.home.empty() ? "" : options.home + "/.dbsidecar_history";
}

}  // namespace

int RunPrompt(SidecarClient& client, const PromptOptions& options, std::istream& in) {
  const bool interactive =
      options.file.empty() && isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
  std::optional<LineEditor> editor;
  if (interactive) editor.emplace(HistoryFile(options), [&client] { client.Cancel(); });
  Prompt prompt(client, options, interactive);
  if (const int exit_code = prompt.Greet(); exit_code != kOk) return exit_code;
  return prompt.Run([&](const std::string& text) -> std::optional<LineEditor::Line> {
    if (editor) return editor->Read(text);
    LineEditor::Line line;
    if (!std::getline(in, line.text)) return std::nullopt;
    return line;
  });
}

}  // namespace dbsidecar::server::cli
