// PostgreSQL's own regression SQL, statement by statement, through the sidecar and over libpq
// directly, on two clusters of their own; everything that differs is listed.
//
//   regress_compare SQL_FOLDER DATA_FOLDER FILE...    (file names without .sql, in this order)
//
// Each file has one session: a pinned one through the sidecar. Left out, on both sides: what is
// psql's (its commands, its variables but those of \set and \getenv), and COPY from and to the
// client. Exit code 1 if anything differs that is not known to.
#include <libpq-fe.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/cli/statement_reader.h"
#include "server/text.h"
#include "tests/support/postgres_server.h"
#include "tests/support/query_client.h"
#include "tests/support/sidecar_process.h"

namespace dbsidecar::regress {
namespace {

using server::cli::StatementReader;
using test_support::PostgresServer;
using test_support::QueryClient;
using test_support::QueryOutcome;
using test_support::SidecarProcess;

constexpr std::chrono::minutes kTimeout(10);

// What differs and is to differ, by the beginning of its statement; README.md says why.
struct Known {
  std::string_view file;
  std::string_view statement;
};
constexpr Known kKnown[] = {
    {"insert", "copy donothingbrtrig_test from stdout"},
    {"infinite_recurse", "select infinite_recurse()"},
    {"select_parallel", "select (stringu1 || repeat('abcd', 5000))"},
    {"object_address", "DO $$\nDECLARE\n\tobjtype text;"},
    {"oidjoins", "DO $doblock$"},
    {"guc", "SET plpgsql.extra_foo_warnings"},
    {"guc", "LOAD 'plpgsql'"},
};

bool IsKnown(const std::string& file, const std::string& sql) {
  return std::any_of(std::begin(kKnown), std::end(kKnown), [&](const Known& known) {
    return known.file == file && sql.starts_with(known.statement);
  });
}

// Names and numbers that are each cluster's own: types and relations of users, temporary schemas.
std::string TypeName(uint32_t oid) { return oid < 16384 ? std::to_string(oid) : "a user's"; }

std::string WithoutOwnNames(const std::string& answer) {
  static const std::regex kTemporary(R"(pg_(toast_)?temp_\d+)");
  return std::regex_replace(answer, kTemporary, "pg_temp_N");
}

// What came of a statement, all of it as text, so that it can be compared.
using Answer = std::string;

std::string Quoted(const char* text) { return text == nullptr ? "" : text; }

class Direct {
 public:
  explicit Direct(const std::string& url) : url_(url) { Connect(); }
  ~Direct() { PQfinish(connection_); }
  Direct(const Direct&) = delete;
  Direct& operator=(const Direct&) = delete;

  // By the extended protocol, as the sidecar does.
  Answer Run(const std::string& sql) {
    if (PQstatus(connection_) != CONNECTION_OK) Connect();
    notices_.clear();
    const std::unique_ptr<PGresult, decltype(&PQclear)> result(
        PQexecParams(connection_, sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0), &PQclear);
    const bool failed = PQresultStatus(result.get()) == PGRES_FATAL_ERROR;
    // Through the sidecar an error comes without notices.
    return Text(result.get()) + (failed ? "" : notices_);
  }
  void Restart() {
    PQfinish(connection_);
    Connect();
  }

 private:
  void Connect() {
    connection_ = PQconnectdb(url_.c_str());
    if (PQstatus(connection_) != CONNECTION_OK) {
      std::cerr << PQerrorMessage(connection_);
      std::exit(2);
    }
    PQsetNoticeReceiver(
        connection_,
        [](void* self, const PGresult* notice) {
          static_cast<Direct*>(self)->notices_ +=
              "\n" + Quoted(PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED)) + " " +
              Quoted(PQresultErrorField(notice, PG_DIAG_SQLSTATE)) + " " +
              Quoted(PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY));
        },
        this);
  }

  static Answer Text(PGresult* result) {
    std::ostringstream text;
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_EMPTY_QUERY && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
      const auto field = [&](int code) { return Quoted(PQresultErrorField(result, code)); };
      text << "ERROR " << field(PG_DIAG_SQLSTATE) << " " << field(PG_DIAG_MESSAGE_PRIMARY)
           << " | detail " << field(PG_DIAG_MESSAGE_DETAIL) << " | hint "
           << field(PG_DIAG_MESSAGE_HINT) << " | position "
           << std::atoi(field(PG_DIAG_STATEMENT_POSITION).c_str()) << " | context "
           << field(PG_DIAG_CONTEXT) << " | schema " << field(PG_DIAG_SCHEMA_NAME) << " | table "
           << field(PG_DIAG_TABLE_NAME) << " | column " << field(PG_DIAG_COLUMN_NAME) << " | type "
           << field(PG_DIAG_DATATYPE_NAME) << " | constraint " << field(PG_DIAG_CONSTRAINT_NAME);
      return text.str();
    }
    text << PQcmdStatus(result);
    for (int column = 0; column < PQnfields(result); ++column) {
      text << "\n" << PQfname(result, column) << ":" << TypeName(PQftype(result, column));
      for (int row = 0; row < PQntuples(result); ++row) {
        text << "|"
             << (PQgetisnull(result, row, column) ? "<NULL>" : PQgetvalue(result, row, column));
      }
    }
    return text.str();
  }

  const std::string url_;
  PGconn* connection_ = nullptr;
  std::string notices_;
};

class Through {
 public:
  explicit Through(std::shared_ptr<grpc::Channel> channel) : client_(std::move(channel)) {
    Restart();
  }

  Answer Run(const std::string& sql) {
    v1::QueryRequest request;
    request.set_sql(sql);
    request.set_format(v1::RESULT_FORMAT_TEXT_COLUMNS);
    request.mutable_session()->set_session(session_);
    const QueryOutcome outcome = client_.Run(request, kTimeout);
    if (!outcome.ok() &&
        (outcome.reason == "SESSION_NOT_FOUND" || outcome.sql.severity() == "FATAL")) {
      Restart();
    }
    return Text(outcome);
  }
  void Restart() {
    if (!session_.empty()) {
      grpc::ClientContext context;
      v1::EndSessionRequest end;
      end.set_session(session_);
      end.set_end(v1::SESSION_END_ROLLBACK);
      v1::EndSessionResponse ignored;
      client_.stub().EndSession(&context, end, &ignored);
    }
    v1::QueryRequest request;
    request.set_sql("select 1");
    request.mutable_session()->mutable_pin();
    const QueryOutcome outcome = client_.Run(request);
    if (!outcome.ok()) {
      std::cerr << outcome << "\n";
      std::exit(2);
    }
    session_ = outcome.response.session();
  }

 private:
  static Answer Text(const QueryOutcome& outcome) {
    std::ostringstream text;
    if (!outcome.ok()) {
      const v1::SqlError& sql = outcome.sql;
      if (sql.sqlstate().empty()) {
        text << "ERROR " << outcome.reason << " " << outcome.status.error_message();
        return text.str();
      }
      text << "ERROR " << sql.sqlstate() << " " << sql.message() << " | detail " << sql.detail()
           << " | hint " << sql.hint() << " | position " << sql.position() << " | context "
           << sql.where() << " | schema " << sql.schema() << " | table " << sql.table()
           << " | column " << sql.column() << " | type " << sql.datatype() << " | constraint "
           << sql.constraint();
      return text.str();
    }
    const v1::ResultSet& result = outcome.result();
    text << result.command_tag();
    for (int column = 0; column < result.columns_size(); ++column) {
      text << "\n"
           << result.columns(column).name() << ":" << TypeName(result.columns(column).type_oid());
      for (uint32_t row = 0; row < result.row_count(); ++row) {
        text << "|" << outcome.Cell(static_cast<int>(row), column).value_or("<NULL>");
      }
    }
    for (const v1::Notice& notice : outcome.response.notices()) {
      text << "\n" << notice.severity() << " " << notice.sqlstate() << " " << notice.message();
    }
    return text.str();
  }

  QueryClient client_;
  std::string session_;
};

// psql's variables, as far as the files need them to find their data.
class Variables {
 public:
  explicit Variables(const std::string& data) {
    known_ = {{"abs_srcdir", data}, {"abs_builddir", data}, {"libdir", data}, {"dlsuffix", ".so"}};
  }

  void Set(std::istringstream& words) {
    std::string name;
    words >> name;
    std::string value;
    for (std::string word; words >> word;) {
      if (word[0] == ':') {
        value += known_[word.substr(1)];
      } else {
        std::erase(word, '\'');
        value += word;
      }
    }
    known_[name] = value;
  }
  // Empty: a variable in it is not known.
  std::optional<std::string> Substitute(const std::string& sql) const {
    static const std::regex kVariable(R"((^|[^:\w]):(['"]?)([A-Za-z_]\w*)\2)");
    std::string result;
    std::smatch match;
    std::string rest = sql;
    while (std::regex_search(rest, match, kVariable)) {
      const auto found = known_.find(match[3]);
      if (found == known_.end()) {
        // An array's slice, a cast in JSON..., or a variable that only psql knows.
        if (match[2].length() > 0) return std::nullopt;
        result += match.prefix().str() + match.str();
      } else {
        const std::string quote = match[2];
        result += match.prefix().str() + match[1].str() + quote + found->second + quote;
      }
      rest = match.suffix();
    }
    return result + rest;
  }

 private:
  std::map<std::string, std::string> known_;
};

struct Figures {
  int same = 0;
  int different = 0;
  int known = 0;  // Different, and to be so.
  int left_out = 0;
};

class Comparison {
 public:
  Comparison(Direct& direct, Through& through, std::string data)
      : direct_(direct), through_(through), data_(std::move(data)) {}

  Figures RunFile(const std::string& name, const std::string& path) {
    direct_.Restart();
    through_.Restart();
    Figures figures;
    Variables variables(data_);
    StatementReader reader;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
      const std::string_view command = server::Trim(line);
      if (reader.empty() && command.starts_with('\\')) {
        std::istringstream words{std::string(command.substr(1))};
        std::string word;
        words >> word;
        if (word == "set") variables.Set(words);
        if (word != "set" && word != "getenv") ++figures.left_out;
        continue;
      }
      // A command of psql's at the end of a line, such as \gset, ends the statement as well.
      static const std::regex kPsqlEnd(R"(\\(g\w*|crosstabview|watch|bind|;).*$)");
      if (std::regex_search(line, kPsqlEnd)) {
        reader.Clear();
        ++figures.left_out;
        continue;
      }
      reader.Add(line);
      while (const auto statement = reader.Next()) {
        const std::string text = WithoutComments(*statement);
        RunStatement(name, text, variables, figures);
        if (IsCopyFromClient(text)) SkipData(file);
      }
    }
    return figures;
  }

 private:
  // Before the first word.
  static std::string WithoutComments(const std::string& sql) {
    static const std::regex kComments(R"(^(\s+|--[^\n]*\n|/\*([^*]|\*(?!/))*\*/)+)");
    return std::regex_replace(sql, kComments, "");
  }
  static bool IsCopyFromClient(const std::string& sql) {
    static const std::regex kCopy(R"(^\s*copy\b[\s\S]*\bfrom\s+stdin)", std::regex::icase);
    return std::regex_search(sql, kCopy);
  }
  static bool IsCopy(const std::string& sql) {
    static const std::regex kCopy(R"(^\s*copy\b[\s\S]*\b(from\s+stdin|to\s+stdout))",
                                  std::regex::icase);
    return std::regex_search(sql, kCopy);
  }
  static void SkipData(std::ifstream& file) {
    for (std::string line; std::getline(file, line) && line != "\\.";) {
    }
  }

  void RunStatement(const std::string& name, const std::string& text, const Variables& variables,
                    Figures& figures) {
    const std::optional<std::string> sql = variables.Substitute(text);
    if (!sql || IsCopy(*sql)) {
      ++figures.left_out;
      return;
    }
    const Answer expected = WithoutOwnNames(direct_.Run(*sql));
    const Answer got = WithoutOwnNames(through_.Run(*sql));
    if (expected == got) {
      ++figures.same;
      return;
    }
    ++(IsKnown(name, *sql) ? figures.known : figures.different);
    std::cout << "--- " << name << ": " << *sql << "\ndirectly: " << expected
              << "\nthrough the sidecar: " << got << "\n\n";
  }

  Direct& direct_;
  Through& through_;
  const std::string data_;
};

int Run(const std::vector<std::string>& words) {
  if (words.size() < 3) {
    std::cerr << "usage: regress_compare SQL_FOLDER DATA_FOLDER FILE...\n";
    return 2;
  }
  PostgresServer left;
  PostgresServer right;
  const std::string database = left.CreateDatabase("regression");
  if (right.CreateDatabase("regression") != database) return 2;
  SidecarProcess sidecar({.database_url = right.Url(database),
                          .flags = {"--session-idle-timeout=0", "--transaction-timeout=0",
                                    "--query-timeout=0", "--statement-timeout=0"},
                          .environment = {}});
  Direct direct(left.Url(database));
  Through through(sidecar.NewChannel());
  Comparison comparison(direct, through, words[1]);
  Figures all;
  for (size_t i = 2; i < words.size(); ++i) {
    const Figures figures = comparison.RunFile(words[i], words[0] + "/" + words[i] + ".sql");
    std::cerr << words[i] << ": " << figures.same << " the same, " << figures.different
              << " different, " << figures.known << " known to be, " << figures.left_out
              << " left out\n";
    all.known += figures.known;
    all.same += figures.same;
    all.different += figures.different;
    all.left_out += figures.left_out;
  }
  std::cerr << words.size() - 2 << " files: " << all.same << " the same, " << all.different
            << " different, " << all.known << " known to be, " << all.left_out << " left out\n";
  return all.different == 0 ? 0 : 1;
}

}  // namespace
}  // namespace dbsidecar::regress

int main(int argc, char** argv) {
  return dbsidecar::regress::Run(std::vector<std::string>(argv + 1, argv + argc));
}
