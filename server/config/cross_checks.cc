#include "server/config/cross_checks.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <initializer_list>
#include <map>
#include <string>
#include <utility>

#include "server/config/options.h"
#include "server/text.h"

namespace dbsidecar::server {
namespace {

using std::chrono::milliseconds;

const OptionValue& ValueOf(const Config& config, std::string_view name) {
  const auto found = std::ranges::find_if(
      config.values, [&](const OptionValue& value) { return value.option->flag == name; });
  if (found == config.values.end()) std::abort();
  return *found;
}

// Somebody chose this value.
bool IsGiven(const OptionValue& value) {
  switch (value.source) {
    case ValueSource::kDefault:
    case ValueSource::kProfile:
    case ValueSource::kRule:
    case ValueSource::kInherited:
      return false;
    case ValueSource::kFile:
    case ValueSource::kEnvironment:
    case ValueSource::kFlag:
    case ValueSource::kAdmin:
      return true;
  }
  std::abort();
}

// Makes `config.values` tell what a rule has changed.
void NoteRule(std::string_view rule, Config& config) {
  for (OptionValue& value : config.values) {
    const std::string now = FormatValue(*value.option, config);
    if (now == value.value) continue;
    value = {value.option, now, ValueSource::kRule, Concat("rule: ", rule)};
  }
}

class Checker {
 public:
  Checker(const Config& config, const OptionNames& invalid) : config_(config), invalid_(invalid) {}

  std::vector<Problem> Run() {
    CheckPoolSize();
    CheckSqlite();
    CheckWaiters();
    CheckInMemory();
    CheckStatementLimit();
    // A limit that ends things later than another one does has no effect. Only settings that
    // somebody chose are refused for it; a default may lie behind what the user made shorter.
    CheckNotLater("idle-timeout", config_.pool.idle_timeout, "lifetime", config_.pool.lifetime);
    CheckNotLater("keep-alive-after", config_.pool.keep_alive_after, "lifetime",
                  config_.pool.lifetime);
    CheckNotLater("statement-timeout", config_.query.statement_timeout, "query-timeout",
                  config_.query.query_timeout);
    CheckHistoryFile();
    // The others are the process's, and not inherited.
    if (config_.pool_name == kDefaultPool) {
      CheckHistory();
      CheckListen();
    }
    return std::move(problems_);
  }

 private:
  bool Valid(std::initializer_list<std::string_view> names) const {
    return std::ranges::none_of(names, [&](auto name) { return invalid_.contains(name); });
  }

  bool Given(std::string_view name) const { return IsGiven(ValueOf(config_, name)); }

  bool IsSqliteFile() const {
    return config_.database.driver == DatabaseDriver::kSqlite && !config_.database.in_memory;
  }

  // "max-connections = 3 (flag --max-connections)"
  std::string Describe(std::string_view name) const {
    const OptionValue& value = ValueOf(config_, name);
    return Concat(OptionName(name, config_), " = ", value.value, " (", value.origin, ")");
  }

  void Refuse(std::string_view name, std::string message) {
    const OptionValue& value = ValueOf(config_, name);
    problems_.push_back({OptionName(name, config_), value.origin, value.value, std::move(message)});
  }

  void CheckPoolSize() {
    if (!Valid({"min-connections", "max-connections"})) return;
    if (config_.database.in_memory) return;  // CheckInMemory() has its own words.
    if (config_.pool.connections_min <= config_.pool.connections_max) return;
    Refuse("min-connections", Concat("is more than ", Describe("max-connections"),
                                     "; lower the one or raise the other"));
  }

  void CheckSqlite() {
    if (!Valid({"max-connections", "database-url"})) return;
    if (!IsSqliteFile() || config_.pool.connections_max >= 2) return;
    Refuse("max-connections",
           "is too few for a SQLite file, which has one connection to write and others to read; "
           "write 2 or more");
  }

  // Beyond the minimum connections are opened for waiting calls only.
  void CheckWaiters() {
    if (!Valid({"waiters-max", "min-connections", "database-url"})) return;
    if (config_.pool.waiters_max != 0 || config_.database.in_memory) return;
    const int needed = IsSqliteFile() ? 2 : 1;
    if (config_.pool.connections_min >= needed) return;
    Refuse("waiters-max", Concat("lets no call wait for a connection to be opened, and ",
                                 Describe("min-connections"),
                                 " keeps too few open; raise the one, or the other to ", needed,
                                 IsSqliteFile() ? ": one to write and one to read" : ""));
  }

  void CheckInMemory() {
    if (!Valid({"database-url"}) || !config_.database.in_memory) return;
    constexpr std::string_view kWhy = "; a SQLite database in memory lives in one connection: ";
    const PoolConfig& pool = config_.pool;
    if (Valid({"max-connections"}) && Given("max-connections") && pool.connections_max != 1) {
      Refuse("max-connections", Concat("is not 1", kWhy, "leave it out, or use a file"));
    }
    if (Valid({"min-connections"}) && Given("min-connections") && pool.connections_min > 1) {
      Refuse("min-connections", Concat("is more than 1", kWhy, "leave it out, or use a file"));
    }
    for (const auto& [name, value] :
         {std::pair{"idle-timeout", pool.idle_timeout}, std::pair{"lifetime", pool.lifetime}}) {
      if (Valid({name}) && Given(name) && value > milliseconds::zero()) {
        Refuse(name, Concat("would end the database", kWhy, "leave it out, or use a file"));
      }
    }
  }

  // Statements are told apart by what is counted for them.
  void CheckStatementLimit() {
    if (!Valid({"limit-statement", "metrics-statements"})) return;
    if (config_.pool.limit_statement == 0 || config_.metrics.statements != 0) return;
    Refuse("limit-statement", Concat("never takes effect, because ", Describe("metrics-statements"),
                                     " tells no statements apart; raise it, or leave this out"));
  }

  void CheckNotLater(std::string_view late, milliseconds late_value, std::string_view early,
                     milliseconds early_value) {
    if (!Valid({late, early}) || !Given(late)) return;
    if (config_.database.in_memory && early == "lifetime") return;  // Lifetime is off then.
    if (early_value == milliseconds::zero() || late_value <= early_value) return;
    Refuse(late, Concat("never takes effect, because ", Describe(early),
                        " comes first; lower the one or raise the other"));
  }

  void CheckHistory() {
    if (!Valid({"history-file", "history"}) || config_.history.file.empty()) return;
    if (config_.history.enabled) return;
    Refuse("history-file", Concat("is never written, because ", Describe("history"),
                                  "; leave out the one or the other"));
  }

  // The history file is kept locked.
  void CheckHistoryFile() {
    if (!Valid({"history-file", "database-url"}) || config_.history.file.empty()) return;
    if (IsSqliteFile() && config_.history.file == config_.database.name) {
      Refuse("history-file", "is the database itself; give the history a file of its own");
    }
  }

  void CheckListen() {
    if (!Valid({"listen", "http-listen", "health-listen", "admin-listen"})) return;
    std::vector<ListenAddress> seen;
    const auto check = [&](std::string_view flag, const std::vector<ListenAddress>& addresses) {
      for (const ListenAddress& address : addresses) {
        const bool any_port = !address.IsUnix() && address.port == 0;
        if (!any_port && std::find(seen.begin(), seen.end(), address) != seen.end()) {
          Refuse(flag, Concat("holds ", address.ToString(), " a second time; leave one"));
        }
        seen.push_back(address);
      }
    };
    check("listen", config_.listen);
    check("http-listen", config_.http_listen);
    check("health-listen", config_.health_listen);
    check("admin-listen", config_.admin_listen);
    for (const ListenAddress& address : config_.admin_listen) {
      if (address.IsLocal()) continue;
      Refuse("admin-listen",
             Concat("holds ", address.ToString(),
                    ", which other hosts may reach, and whoever "
                    "reaches it can stop every caller's database access; write a Unix socket, such "
                    "as unix:/run/dbsidecar/admin.sock, or an address such as 127.0.0.1:50052"));
    }
  }

  const Config& config_;
  const OptionNames& invalid_;
  std::vector<Problem> problems_;
};

}  // namespace

std::vector<Problem> CheckTogether(const Config& config, const OptionNames& invalid) {
  return Checker(config, invalid).Run();
}

std::vector<Problem> CheckPools(const Config& config) {
  std::vector<Problem> problems;
  std::map<std::string, const Config*> files = {};
  const auto check = [&](const Config& pool) {
    if (pool.database.driver != DatabaseDriver::kSqlite || pool.database.in_memory) return;
    const auto [first, is_new] = files.emplace(pool.database.name, &pool);
    if (is_new) return;
    const OptionValue& value = ValueOf(pool, "database-url");
    problems.push_back({OptionName("database-url", pool), value.origin, value.value,
                        Concat("is also the database of the pool \"", first->second->pool_name,
                               "\", and a SQLite file has one connection that writes; give the "
                               "pool a database.url of its own")});
  };
  check(config);
  for (const Config& pool : config.pools) check(pool);
  return problems;
}

void ApplyMaximumRule(Config& config) {
  PoolConfig& pool = config.pool;
  const bool more = pool.connections_min > pool.connections_max;
  if (!more || config.database.in_memory || IsGiven(ValueOf(config, "min-connections"))) return;
  pool.connections_min = pool.connections_max;
  NoteRule("max-connections", config);
}

void ApplyInMemoryRule(Config& config) {
  if (!config.database.in_memory) return;
  config.pool.connections_min = 1;
  config.pool.connections_max = 1;
  config.pool.idle_timeout = milliseconds::zero();
  config.pool.lifetime = milliseconds::zero();
  NoteRule("SQLite in memory", config);
}

}  // namespace dbsidecar::server
