// The part of SqliteSession that prepares statements and binds their parameters.
#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>

#include "pool/sqlite/sqlite_session.h"

namespace dbsidecar::pool {
namespace {

constexpr size_t kParametersMax = 65535;  // As in PostgreSQL.
// A longer one would push too many others out of the cache.
constexpr size_t kCachedSqlBytesMax = size_t{512} << 10;
constexpr size_t kSqlBytesMax = 1'000'000'000;  // SQLite's own limit.

// The caller's number for the parameter at SQLite's `index`, both from 1; 0 = it has another name.
size_t ParameterNumber(const char* name, int index) {
  if (name == nullptr) return static_cast<size_t>(index);
  const std::string_view digits = name + 1;
  if ((name[0] != '$' && name[0] != '?') || digits.empty() || !IsDigit(digits[0])) return 0;
  size_t number = 0;
  const char* end = digits.data() + digits.size();
  const bool whole = std::from_chars(digits.data(), end, number).ptr == end;
  return whole && number <= kParametersMax ? number : 0;
}

Error WrongCount(size_t given, size_t needed) {
  return InvalidArgument(fmt::format("the statement needs {} parameter{}, but {} {} given", needed,
                                     needed == 1 ? "" : "s", given, given == 1 ? "was" : "were"));
}

std::optional<Error> CheckValue(const Value& value, size_t number) {
  if (value.kind == Value::Kind::kDouble && std::isnan(value.real)) {
    return InvalidArgument(
        fmt::format("parameter ${} is NaN, which SQLite would store as NULL", number));
  }
  if (value.kind == Value::Kind::kText && value.text.find('\0') != std::string_view::npos) {
    return InvalidArgument(
        fmt::format("parameter ${} is text with a NUL character; send it as bytes", number));
  }
  return std::nullopt;
}

// SQLite takes a null pointer for NULL, whatever the size.
const char* NonNull(std::string_view bytes) { return bytes.data() == nullptr ? "" : bytes.data(); }

// The value outlives the run, so SQLite need not copy it.
int BindValue(sqlite3_stmt* statement, int index, const Value& value) {
  switch (value.kind) {
    case Value::Kind::kNull:
      return sqlite3_bind_null(statement, index);
    case Value::Kind::kBool:
      return sqlite3_bind_int64(statement, index, value.boolean ? 1 : 0);
    case Value::Kind::kInteger:
      return sqlite3_bind_int64(statement, index, value.integer);
    case Value::Kind::kDouble:
      return sqlite3_bind_double(statement, index, value.real);
    case Value::Kind::kText:
      return sqlite3_bind_text64(statement, index, NonNull(value.text), value.text.size(),
                                 SQLITE_STATIC, SQLITE_UTF8);
    case Value::Kind::kBytes:
      return sqlite3_bind_blob64(statement, index, NonNull(value.text), value.text.size(),
                                 SQLITE_STATIC);
  }
  return SQLITE_MISUSE;
}

}  // namespace

SqliteSession::Prepared* SqliteSession::Lookup(std::string_view sql, std::optional<Error>& error,
                                               bool& refused_by_text) {
  if (Prepared* known = prepared_.Find(sql)) return known;
  Prepared prepared;
  error = Compile(sql, prepared, refused_by_text);
  if (error.has_value()) return nullptr;
  // What only a session may run must not be found there by others.
  const bool for_all = !prepared.leaves_traces && !prepared.transaction.has_value();
  if (for_all && sql.size() <= kCachedSqlBytesMax) {
    return &prepared_.Insert(sql, std::move(prepared));
  }
  uncached_ = std::move(prepared);
  return &uncached_;
}

std::optional<Error> SqliteSession::CheckText(std::string_view sql) {
  if (sql.find('\0') != std::string_view::npos) {
    return InvalidArgument("the statement contains a NUL character");
  }
  if (sql.size() > kSqlBytesMax) return InvalidArgument("the statement is too long");
  return std::nullopt;
}

std::optional<Error> SqliteSession::Compile(std::string_view sql, Prepared& prepared,
                                            bool& refused_by_text) {
  refused_by_text = true;
  if (std::optional<Error> error = CheckText(sql)) return error;
  const size_t begin = BlankPrefix(sql);
  if (begin == sql.size()) return InvalidArgument("the statement is empty");
  size_t end = 0;
  std::optional<Error> error = CompileAt(sql, begin, prepared, end, refused_by_text);
  if (error.has_value() || BlankPrefix(sql.substr(end)) == sql.size() - end) return error;
  refused_by_text = true;
  return InvalidArgument("one statement per call; use Script for many");
}

std::optional<Error> SqliteSession::CompileAt(std::string_view sql, size_t begin,
                                              Prepared& prepared, size_t& end,
                                              bool& refused_by_text) {
  refused_by_text = true;
  sqlite3_stmt* statement = nullptr;
  const char* tail = nullptr;
  authorizer_.BeginStatement(purpose_);
  const int code =
      sqlite3_prepare_v3(database_, sql.data() + begin, static_cast<int>(sql.size() - begin),
                         SQLITE_PREPARE_PERSISTENT, &statement, &tail);
  Verdict verdict = authorizer_.EndStatement();
  prepared.statement.reset(statement);
  prepared.transaction = verdict.transaction;
  prepared.leaves_traces = verdict.leaves_traces;
  // Some PRAGMAs take effect when they are compiled.
  const bool may_run = purpose_ != Authorizer::Purpose::kDescription;
  traces_ = traces_ || (may_run && verdict.leaves_traces);
  if (verdict.refusal.has_value()) return std::move(verdict.refusal);
  if (code != SQLITE_OK) {
    refused_by_text = false;
    return Failure(sql, begin);
  }
  end = static_cast<size_t>(tail - sql.data());
  prepared.name = NameCommand(sql.substr(begin, end - begin));
  if (prepared.name.after_with) {
    prepared.name.command = verdict.change.value_or(Command::kSelect);
  }
  const bool only_reads = sqlite3_stmt_readonly(statement) != 0 || verdict.reading_pragma ||
                          sqlite3_stmt_isexplain(statement) != 0;
  prepared.writes = !only_reads || verdict.writing_pragma || ChangesSchema(prepared.name);
  prepared.returns_rows = sqlite3_column_count(statement) > 0;
  std::optional<Error> error = NumberParameters(prepared);
  refused_by_text = error.has_value();
  return error;
}

std::optional<Error> SqliteSession::NumberParameters(Prepared& prepared) {
  const int count = sqlite3_bind_parameter_count(prepared.statement.get());
  prepared.parameter_numbers.reserve(static_cast<size_t>(count));
  for (int index = 1; index <= count; ++index) {
    const size_t number =
        ParameterNumber(sqlite3_bind_parameter_name(prepared.statement.get(), index), index);
    if (number == 0) {
      return InvalidArgument(
          "parameters are written $1, $2, ...; SQLite has no \"::\" casts, use CAST($1 AS type)");
    }
    prepared.parameter_numbers.push_back(number);
    prepared.parameters_needed = std::max(prepared.parameters_needed, number);
  }
  return std::nullopt;
}

std::optional<Error> SqliteSession::CheckCount(const Prepared& prepared,
                                               const std::vector<Value>& parameters) {
  if (parameters.size() == prepared.parameters_needed) return std::nullopt;
  return WrongCount(parameters.size(), prepared.parameters_needed);
}

std::optional<Error> SqliteSession::Bind(Prepared& prepared, const std::vector<Value>& parameters) {
  if (std::optional<Error> error = CheckCount(prepared, parameters)) return error;
  for (size_t i = 0; i < prepared.parameter_numbers.size(); ++i) {
    const size_t number = prepared.parameter_numbers[i];
    const Value& value = parameters[number - 1];
    if (std::optional<Error> error = CheckValue(value, number)) return error;
    if (BindValue(prepared.statement.get(), static_cast<int>(i) + 1, value) != SQLITE_OK) {
      return Failure();
    }
  }
  return std::nullopt;
}

}  // namespace dbsidecar::pool
