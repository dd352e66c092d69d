#include "server/config/option_docs.h"

#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

#include "server/config/options.h"
#include "server/text.h"

namespace dbsidecar::server {
namespace {

std::string Placeholder(const Option& option) {
  switch (option.type) {
    case OptionType::kString:
      return "FILE";
    case OptionType::kUrl:
    case OptionType::kWebhook:
      return "URL";
    case OptionType::kAddressList:
      return "ADDRESS";
    case OptionType::kInteger:
      return "N";
    case OptionType::kDuration:
      return "DURATION";
    case OptionType::kBytes:
      return "SIZE";
    case OptionType::kBoolean:
      return "";
    case OptionType::kChoice:
      return std::string(option.choices);
  }
  std::abort();
}

std::string Usage(const Option& option) {
  if (option.type == OptionType::kBoolean) return Concat("--", option.flag, "[=false]");
  return Concat("--", option.flag, " ", Placeholder(option));
}

bool SameInAllProfiles(const Option& option) {
  return option.production == option.development && option.production == option.test;
}

std::string DefaultsForHelp(const Option& option) {
  if (option.production.empty()) return "none";
  if (SameInAllProfiles(option)) {
    const bool special = option.production == "0" && !option.zero.empty();
    return special ? Concat("0 (", option.zero, ")") : std::string(option.production);
  }
  return Concat(option.production, " (production), ", option.development, " (development), ",
                option.test, " (test)");
}

// Breaks `text` at spaces, so that no line is longer than `width`.
std::vector<std::string> Wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines = {""};
  for (const std::string_view word : Split(text, ' ')) {
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > width) {
      lines.emplace_back();
    }
    lines.back() += Concat(lines.back().empty() ? "" : " ", word);
  }
  return lines;
}

void AppendHelp(const Option& option, std::string& text) {
  constexpr std::string_view kIndent = "      ";
  constexpr std::size_t kWidth = 94;
  text += Concat("  ", Usage(option), "\n");
  std::vector<std::string> lines = Wrapped(option.help, kWidth);
  lines.push_back(Concat("default: ", DefaultsForHelp(option)));
  lines.push_back(Concat("environment: ", option.environment));
  if (option.environment_is_milliseconds) lines.back() += " (a bare number is milliseconds)";
  for (const std::string& line : lines) text += Concat(kIndent, line, "\n");
}

std::string Code(std::string_view text) { return text.empty() ? "" : Concat("`", text, "`"); }

std::string DefaultsForTable(const Option& option) {
  if (option.production.empty()) return "none";
  if (SameInAllProfiles(option)) return Code(option.production);
  return Concat(Code(option.production), " / ", Code(option.development), " / ", Code(option.test));
}

std::string Meaning(const Option& option) {
  std::string meaning(option.help);
  if (option.type == OptionType::kInteger || option.type == OptionType::kDuration ||
      option.type == OptionType::kBytes) {
    meaning += Concat(" Accepts ", DescribeAccepted(option), ".");
  } else if (option.type == OptionType::kChoice) {
    meaning += Concat(" One of ", DescribeAccepted(option), ".");
  }
  if (option.environment_is_milliseconds) {
    meaning += " In the environment a bare number is milliseconds.";
  }
  if (option.type == OptionType::kWebhook) {
    meaning += " Secret: only its host is printed.";
  } else if (option.secret) {
    meaning += " Secret: its password is never printed.";
  }
  return ReplaceAll(meaning, {{"|", "\\|"}});
}

void AppendRow(const Option& option, std::string& text) {
  text += Concat("| `--", option.flag, "` | `", option.environment, "` | ",
                 option.yaml_key.empty() ? "-" : Code(option.yaml_key), option.per_pool ? " †" : "",
                 " | ", DefaultsForTable(option), " | ", option.reload ? "yes" : "no", " | ",
                 Meaning(option), " |\n");
}

constexpr std::string_view kHelpHead =
    R"(Usage: dbsidecar serve [OPTION]...

Lends database connections to the programs on this host, over gRPC.

A value is taken from the first of these that has one: flag, environment, file, profile, default.
Durations are written with their unit (500ms, 10s, 5min, 1h), sizes too (512KiB, 4MiB); 0 turns a
timeout off. `dbsidecar config check` prints the values and where each one came from.

  -h, --help
      Print this text.
)";

constexpr std::string_view kMarkdownHead =
    R"(<!-- Generated from server/config/options.cc. To change it, change the table there. -->
# Configuration

Every option of `dbsidecar serve` can be given as a flag, as an environment variable or in a YAML
file. A value is taken from the first of these that has one:

1. the flag,
2. the environment variable,
3. the file that `--config` or `DBSIDECAR_CONFIG` names,
4. the profile (`--profile production`, `development` or `test`),
5. the default.

`dbsidecar config check` takes the same flags and prints every value and where it came from, with
passwords hidden. Nothing is repaired silently: unknown flags, keys and `DBSIDECAR_` variables,
empty values, values that are out of range or contradict each other are all listed at once, and the
sidecar exits with code 2. A bad value counts even where a better source overrides it. The variables
that Kubernetes makes from a service called `dbsidecar` (`DBSIDECAR_SERVICE_HOST`,
`DBSIDECAR_PORT`...) are ignored, and so are `DBSIDECAR_ADDR` and `DBSIDECAR_ADMIN_ADDR`, which the
client verbs read.

## How values are written

* Durations are whole numbers with a unit: `500ms`, `10s`, `5min` (or `5m`), `1h`. A bare number is
  refused, because it could mean anything; only `0`, and `HEALTH_CHECK_INTERVAL` in the environment,
  which is in milliseconds, need no unit.
* Sizes: `512KiB`, `4MiB`, `1GiB`; a bare number counts bytes.
* Booleans: `true`, `on`, `yes`, `1` and `false`, `off`, `no`, `0`. As a flag, `--log-calls` alone
  means true and `--log-calls=false` means false.
* Lists are separated by commas; a flag may be repeated, and the file may hold a YAML list.

## Options

Three defaults are those of the profiles production / development / test. "Reload" says whether a
reload of a running sidecar applies a new value; † that a named pool may have a value of its own
([several pools](#several-pools)).
)";

constexpr std::string_view kMarkdownTail = R"(
## Database URLs

| URL | what it opens |
|---|---|
| `postgresql://user:password@host:5432/database?sslmode=require` | PostgreSQL; everything that libpq accepts, several hosts too. `postgres://` is the same |
| `sqlite:name.db`, `sqlite://name.db` | a SQLite file, relative to the working directory |
| `sqlite:/dir/name.db`, `sqlite:///dir/name.db` | a SQLite file by its absolute path |
| `sqlite::memory:` | a SQLite database in memory, gone when the sidecar ends |
| `file:name.db?mode=ro` | a SQLite URI, passed on as it is |

The path after `sqlite:` is taken literally: nothing in it is percent-decoded, and it has no
`?parameters`. In a PostgreSQL URL the characters `/ : @ ?` of a user name or password are written
`%2F %3A %40 %3F`.

## Rules between options

* `min-connections` is not more than `max-connections`. A default that is more is lowered to it, and
  `config check` shows it with the source "rule: max-connections"; one that is set is refused.
* With `waiters-max` 0 the pool never grows beyond `min-connections`, because it opens more for
  waiting calls only. So `min-connections` has to be 1 or more then, and 2 or more for a SQLite file.
* A SQLite file needs `max-connections` of 2 or more: one connection writes, the others read.
* A SQLite database in memory lives in one connection. The sidecar then sets `max-connections` and
  `min-connections` to 1 and turns `idle-timeout` and `lifetime` off; setting them otherwise is
  refused. `config check` shows these values with the source "rule: SQLite in memory".
* `idle-timeout` or `keep-alive-after` longer than `lifetime`, and `statement-timeout` longer than
  `query-timeout`, are refused when they are set (not when they are defaults), because they would
  never take effect.
* No address is listened on twice.

## Several pools

The options above describe the pool `default`. A file may name more, each with a database and limits of its
own: other databases, a replica for reports, or the same server with fewer connections for what must not
starve the rest.

```yaml
database:
  url: postgresql://app@db.example.com/orders
pools:
  reports:
    database:
      url: postgresql://app@replica.example.com/orders
    pool:
      max: 4
    query:
      timeout: 5min
```

A pool's section takes the same keys as the top level, those marked † in the tables; whatever it does not say
it inherits, from flags and environment variables too. Names are up to 63 lower-case letters, digits, `-` and
`_`, a letter first. A reload applies a pool's own values like all others; another set of pools needs a
restart.

Callers choose by `pool` in their requests (`dbsidecar query --pool reports ...`); a call that continues a
session need not. Health, metrics, alerts, history and the live page tell of each pool by its name,
`grpc.health.v1` knows it as `pool/NAME`, operators pause and resize it alone, and `config check` shows its
values as `pools.NAME.OPTION`. The sidecar is ready when every pool is.

## Example

```yaml
)";

}  // namespace

std::string ServeHelp() {
  std::string text(kHelpHead);
  std::optional<OptionGroup> group;
  for (const Option& option : Options()) {
    if (group != option.group) text += Concat("\n", GroupTitle(option.group), ":\n");
    group = option.group;
    AppendHelp(option, text);
  }
  return text;
}

std::string ExampleYaml() {
  return R"(profile: production
database:
  url: postgresql://app@db.example.com/orders?sslmode=verify-full
listen:
  - 127.0.0.1:50051
  - unix:/run/dbsidecar/dbsidecar.sock
pool:
  max: 40
  min: 10
  wait_timeout: 5s
query:
  timeout: 20s
  statement_timeout: 20s
  result_bytes_max: 2MiB
lifecycle:
  drain_timeout: 25s
log:
  level: warn
)";
}

std::string ConfigurationMarkdown() {
  std::string text(kMarkdownHead);
  std::optional<OptionGroup> group;
  for (const Option& option : Options()) {
    if (group != option.group) {
      text += Concat("\n### ", GroupTitle(option.group),
                     "\n\n| flag | environment | YAML key | default | reload | meaning |\n"
                     "|---|---|---|---|---|---|\n");
    }
    group = option.group;
    AppendRow(option, text);
  }
  return Concat(text, kMarkdownTail, ExampleYaml(), "```\n");
}

}  // namespace dbsidecar::server
