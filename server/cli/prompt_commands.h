// The prompt's commands that look at the database, as SQL for each kind of database.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dbsidecar::server::cli {

struct CatalogQuery {
  std::string title;
  std::string sql;  // With `parameters` texts as $1...
  std::vector<std::string> parameters;
};

// `command` is one of d, dt, dv, di, dn, df, du, l; `argument` a name, with `*` and `?` as
// wildcards, or empty. `\d NAME` is several: the columns, the indexes, the constraints. Empty: no
// such command. A query without SQL is its title alone: what the database has not got.
std::vector<CatalogQuery> CatalogQueries(bool sqlite, std::string_view command,
                                         std::string_view argument);

extern const std::string_view kPromptCommandsHelp;

}  // namespace dbsidecar::server::cli
