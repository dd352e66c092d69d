// Database URLs: which driver, what to open, and how to show one without its password.
//
//   postgresql://... postgres://...        PostgreSQL; everything libpq accepts, several hosts too
//   sqlite:name.db   sqlite://name.db      a file, relative to the working directory
//   sqlite:/dir/name.db  sqlite:///dir/name.db   a file by absolute path
//   sqlite::memory:                        a database in memory, gone when the process ends
//   file:...                               a SQLite URI as https://sqlite.org/uri.html describes it
//
// The path after `sqlite:` is literal: no percent-decoding and no `?parameters` (`file:` has both).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace dbsidecar::server {

enum class DatabaseDriver { kPostgres, kSqlite };

struct DatabaseUrl {
  DatabaseDriver driver = DatabaseDriver::kSqlite;
  // kPostgres: the URL as given, for libpq. Holds the password: never log it.
  // kSqlite: what sqlite3_open_v2() takes with SQLITE_OPEN_URI: a path, `:memory:` or `file:...`.
  std::string name;
  bool in_memory = false;  // kSqlite: the database lives in one connection.

  bool operator==(const DatabaseUrl&) const = default;
};

// The error says what is wrong and what to write instead; it never holds a password.
absl::StatusOr<DatabaseUrl> ParseDatabaseUrl(std::string_view url);

// `url` with its passwords as `***`: the one before the host and those in `password=` and
// `sslpassword=` parameters, however they are percent-encoded. SQLite URLs are returned as they
// are. Of a malformed URL rather too much is hidden than too little; text without a scheme is
// hidden as a whole.
std::string RedactUrl(std::string_view url);

// The passwords in `url`, as written and percent-decoded, for RegisterSecret().
std::vector<std::string> SecretsInUrl(std::string_view url);

}  // namespace dbsidecar::server
