// What is read off SQL's text alone is what SQLite reads there: where statements begin and end,
// and what does nothing. Nothing is run.
#include <sqlite3.h>

#include <memory>
#include <string>
#include <string_view>

#include "pool/sqlite/statement_text.h"
#include "tests/fuzz/fuzzer.h"

namespace {

using namespace dbsidecar;
using namespace dbsidecar::pool;

sqlite3* Database() {
  static sqlite3* const database = [] {
    sqlite3* opened = nullptr;
    if (sqlite3_open(":memory:", &opened) != SQLITE_OK) std::abort();
    sqlite3_exec(opened, "create table t (a, b); create view v as select * from t", nullptr,
                 nullptr, nullptr);
    return opened;
  }();
  return database;
}

struct Finalizer {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

// Compiles the first statement of `sql`; `rest` is what follows it.
std::unique_ptr<sqlite3_stmt, Finalizer> Prepare(std::string_view sql, int& status,
                                                 std::string_view& rest) {
  sqlite3_stmt* statement = nullptr;
  const char* tail = nullptr;
  status =
      sqlite3_prepare_v2(Database(), sql.data(), static_cast<int>(sql.size()), &statement, &tail);
  rest = tail == nullptr ? std::string_view() : sql.substr(static_cast<size_t>(tail - sql.data()));
  return std::unique_ptr<sqlite3_stmt, Finalizer>(statement);
}

void RunStatement(std::string_view sql, sqlite3_stmt* statement) {
  const CommandName name = NameCommand(sql);
  const std::string told(sql);
  const bool control = IsTransactionControl(sql);
  if (name.command == Command::kInsert || name.command == Command::kUpdate ||
      name.command == Command::kDelete) {
    FUZZ_REQUIRE(!control, told);
  }
  // EXPLAIN is another command, and SQLite's COMMIT and so on are not read-only by its own word.
  if (name.command == Command::kSelect && !name.after_with)
    FUZZ_REQUIRE(sqlite3_column_count(statement) > 0, told);
  // As PostgreSQL's: words, and for some a count.
  const std::string tag = CommandTag(name, 3);
  for (const char c : tag) FUZZ_REQUIRE(c >= ' ' && c < 0x7f, told + "\n" + tag);
}

void RunScript(std::string_view sql) {
  for (int statements = 0; statements < 100; ++statements) {
    const size_t blank = BlankPrefix(sql);
    FUZZ_REQUIRE(blank <= sql.size(), sql);
    int status = SQLITE_OK;
    std::string_view rest;
    // What is called blank compiles to nothing.
    if (blank > 0) {
      FUZZ_REQUIRE(Prepare(sql.substr(0, blank), status, rest) == nullptr, sql);
      FUZZ_REQUIRE(status == SQLITE_OK, sql);
    }
    sql.remove_prefix(blank);
    if (sql.empty()) return;
    FUZZ_REQUIRE(BlankPrefix(sql) == 0, sql);
    const auto statement = Prepare(sql, status, rest);
    if (status != SQLITE_OK) return;
    // And what is not blank does not.
    FUZZ_REQUIRE(statement != nullptr, sql);
    FUZZ_REQUIRE(rest.size() < sql.size(), sql);
    RunStatement(sql.substr(0, sql.size() - rest.size()), statement.get());
    sql = rest;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // SQLite's texts end at a zero byte, and calls with one are refused before they come here.
  const std::string sql(fuzz::Input(data, size).TakeText());
  RunScript(sql);
  const std::string fingerprint = TextFingerprint(sql);
  FUZZ_REQUIRE(fingerprint.size() == 16, sql);
  // A vertical tab is an error unless a space comes before it.
  if (!sql.starts_with('\v')) {
    FUZZ_REQUIRE(TextFingerprint("/* c */ " + sql) == fingerprint, sql);
  }
  const int32_t last = CharacterPosition(sql, static_cast<int64_t>(sql.size()));
  FUZZ_REQUIRE(last >= 1 && last <= static_cast<int32_t>(sql.size()) + 1, sql);
  return 0;
}
