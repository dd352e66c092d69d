#include "server/cli/prompt_commands.h"

#include <algorithm>

#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

struct Listing {
  std::string_view command;
  std::string_view title;
  std::string_view postgres;  // With $1, a LIKE pattern for the name.
  std::string_view sqlite;    // Empty: there are none.
};

constexpr std::string_view kRelations = R"(
  select n.nspname as schema, c.relname as name,
         case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
           when 'm' then 'materialized view' when 'S' then 'sequence' when 'f' then 'foreign table'
           when 'i' then 'index' when 'I' then 'partitioned index' end as kind,
         pg_catalog.pg_get_userbyid(c.relowner) as owner
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
    and c.relname like $1 and c.relkind in )";

constexpr std::string_view kSqliteObjects =
    "select name, type as kind, nullif(tbl_name, name) as \"table\" from sqlite_schema "
    "where name not like 'sqlite_%' and name like $1 escape '\\' and type in ";

constexpr Listing kListings[] = {
    {"d", "Relations", "('r','p','v','m','S','f') order by 1, 2", "('table', 'view') order by 1"},
    {"dt", "Tables", "('r','p') order by 1, 2", "('table') order by 1"},
    {"dv", "Views", "('v','m') order by 1, 2", "('view') order by 1"},
    {"di", "Indexes", "('i','I') order by 1, 2", "('index') order by 1"},
    {"ds", "Sequences", "('S') order by 1, 2", ""},
    {"dn", "Schemas",
     "select nspname as name, pg_catalog.pg_get_userbyid(nspowner) as owner from "
     "pg_catalog.pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema' and "
     "nspname like $1 order by 1",
     ""},
    {"df", "Functions",
     "select n.nspname as schema, p.proname as name, pg_catalog.pg_get_function_result(p.oid) as "
     "result, pg_catalog.pg_get_function_arguments(p.oid) as arguments from pg_catalog.pg_proc p "
     "join pg_catalog.pg_namespace n on n.oid = p.pronamespace where n.nspname not in "
     "('pg_catalog', 'information_schema') and p.proname like $1 order by 1, 2, 4",
     ""},
    {"du", "Roles",
     "select rolname as name, rolsuper as superuser, rolcreatedb as createdb, rolcreaterole as "
     "createrole, rolcanlogin as login from pg_catalog.pg_roles where rolname like $1 and rolname "
     "!~ '^pg_' order by 1",
     ""},
    {"l", "Databases",
     "select datname as name, pg_catalog.pg_get_userbyid(datdba) as owner, "
     "pg_catalog.pg_encoding_to_char(encoding) as encoding, datcollate as collation from "
     "pg_catalog.pg_database where datname like $1 order by 1",
     "select name, file from pragma_database_list where name like $1 escape '\\' order by seq"},
};

std::string LikePattern(std::string_view argument) {
  if (argument.empty()) return "%";
  std::string pattern;
  for (const char c : argument) {
    switch (c) {
      case '*':
        pattern += '%';
        break;
      case '?':
        pattern += '_';
        break;
      case '%':
      case '_':
      case '\\':
        pattern += '\\';
        [[fallthrough]];
      default:
        pattern += c;
    }
  }
  return pattern;
}

std::vector<CatalogQuery> DescribePostgres(const std::string& name) {
  return {
      {"Columns of " + name,
       "select a.attname as column, pg_catalog.format_type(a.atttypid, a.atttypmod) as type, "
       "not a.attnotnull as nullable, pg_catalog.pg_get_expr(d.adbin, d.adrelid) as default "
       "from pg_catalog.pg_attribute a left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid "
       "and d.adnum = a.attnum where a.attrelid = $1::pg_catalog.regclass and a.attnum > 0 and not "
       "a.attisdropped order by a.attnum",
       {name}},
      {"Indexes",
       "select pg_catalog.pg_get_indexdef(indexrelid) as index from pg_catalog.pg_index where "
       "indrelid = $1::pg_catalog.regclass order by 1",
       {name}},
      {"Constraints",
       "select conname as constraint, pg_catalog.pg_get_constraintdef(oid) as definition from "
       "pg_catalog.pg_constraint where conrelid = $1::pg_catalog.regclass order by 1",
       {name}},
      {"Referenced by",
       "select conrelid::pg_catalog.regclass as table, conname as constraint, "
       "pg_catalog.pg_get_constraintdef(oid) as definition from pg_catalog.pg_constraint where "
       "confrelid = $1::pg_catalog.regclass and contype = 'f' order by 1, 2",
       {name}},
      {"Triggers",
       "select pg_catalog.pg_get_triggerdef(oid) as trigger from pg_catalog.pg_trigger where "
       "tgrelid = $1::pg_catalog.regclass and not tgisinternal order by 1",
       {name}},
  };
}

std::vector<CatalogQuery> DescribeSqlite(const std::string& name) {
  return {
      {"Columns of " + name,
       "select name as \"column\", type, \"notnull\" = 0 as nullable, dflt_value as \"default\", "
       "nullif(pk, 0) as primary_key from pragma_table_xinfo($1) order by cid",
       {name}},
      {"Indexes",
       "select l.name as \"index\", l.\"unique\" = 1 as is_unique, (select group_concat(name, ', "
       "') "
       "from pragma_index_info(l.name)) as columns from pragma_index_list($1) l order by 1",
       {name}},
      {"Foreign keys",
       "select \"from\" as \"column\", \"table\" as refers_to, \"to\" as at from "
       "pragma_foreign_key_list($1) order by id, seq",
       {name}},
      {"Triggers",
       "select name as \"trigger\" from sqlite_schema where type = 'trigger' and tbl_name = $1 "
       "order by 1",
       {name}},
  };
}

std::string SqlOf(const Listing& listing, bool sqlite) {
  const std::string_view text = sqlite ? listing.sqlite : listing.postgres;
  if (text.empty() || text.starts_with("select")) return std::string(text);
  return Concat(sqlite ? kSqliteObjects : kRelations, text);
}

}  // namespace

std::vector<CatalogQuery> CatalogQueries(bool sqlite, std::string_view command,
                                         std::string_view argument) {
  if (command == "d" && !argument.empty() &&
      argument.find_first_of("*?") == std::string_view::npos) {
    const std::string name(argument);
    return sqlite ? DescribeSqlite(name) : DescribePostgres(name);
  }
  const auto found = std::find_if(std::begin(kListings), std::end(kListings),
                                  [&](const Listing& it) { return it.command == command; });
  if (found == std::end(kListings)) return {};
  const std::string sql = SqlOf(*found, sqlite);
  if (sql.empty()) return {{"SQLite has none of these", "", {}}};
  return {{std::string(found->title), sql, {LikePattern(argument)}}};
}

const std::string_view kPromptCommandsHelp =
    R"(A statement ends with a semicolon, and may have several lines. Ctrl-C stops one that runs, or forgets
what is typed. A transaction (BEGIN ... COMMIT) keeps its connection; what acts on the connection
itself, such as SET, needs \pin.

  \d [NAME]    tables, views and sequences; or all about one; names may have * and ?
  \dt \dv \di \ds \dn \df \du [NAME]
               tables, views, indexes, sequences, schemas, functions, roles
  \l           databases
  \i FILE      run the statements of a file
  \pin         keep one connection for all that follows; \unpin gives it back
  \rows N      show at most N rows of a result (0 = as many as the sidecar gives)
  \timing      say where each statement's time went, or stop saying it
  \json \csv \table
               how results are shown
  \? \q        this; leave (or Ctrl-D)
)";

}  // namespace dbsidecar::server::cli
