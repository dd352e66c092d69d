#include "server/cli/client_options.h"

#include <array>
#include <limits>
#include <span>
#include <utility>

#include "server/cli/client_arguments.h"
#include "server/cli/display_text.h"
#include "server/cli/flags.h"
#include "server/cli/parameters.h"
#include "server/config/values.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

using std::chrono_literals::operator""h;
using std::chrono_literals::operator""s;

constexpr AddressSource kSidecar{
    .flag = "--addr", .variable = "DBSIDECAR_ADDR", .otherwise = "127.0.0.1:50051"};

absl::Status ReadInto(ClientOptions& client, const std::vector<std::string>& arguments,
                      const Environment& environment, std::span<const Flag> known,
                      const TakeArgument& take) {
  return ReadClientArguments(client, arguments, environment, known, kSidecar, take);
}

template <typename Options>
absl::Status SetOutput(ResultOutput output, Options& options) {
  if (options.output != ResultOutput::kTable && options.output != output) {
    return absl::InvalidArgumentError("--json and --csv exclude each other; give one");
  }
  options.output = output;
  return absl::OkStatus();
}

absl::Status SetRowsMax(const std::string& text, QueryOptions& options) {
  const auto rows = ParseInteger(text);
  if (!rows.ok() || *rows < 1 || *rows > std::numeric_limits<std::uint32_t>::max()) {
    return Bad(Concat("--max-rows \"", Displayable(text), "\""),
               "is not a number of rows; write a whole number from 1 to 4294967295");
  }
  options.rows_max = static_cast<std::uint32_t>(*rows);
  return absl::OkStatus();
}

absl::Status AddParameter(absl::StatusOr<v1::Value> value, const std::string& word,
                          QueryOptions& options) {
  if (!value.ok()) {
    return Bad(Concat("--param \"", Displayable(word), "\""), value.status());
  }
  options.parameters.push_back(*std::move(value));
  return absl::OkStatus();
}

absl::Status SetLimit(const Argument& argument, google::protobuf::Duration& limit) {
  const auto parsed = ParseDuration(argument.value, BareNumber::kRefused);
  const std::string subject = Concat(argument.flag, " \"", Displayable(argument.value), "\"");
  if (!parsed.ok()) return Bad(subject, parsed.status());
  if (parsed->count() <= 0) return Bad(subject, "leaves no time; write 5s, for example");
  limit.set_seconds(parsed->count() / 1000);
  limit.set_nanos(static_cast<std::int32_t>(parsed->count() % 1000 * 1'000'000));
  return absl::OkStatus();
}

// False = the flag is none of these.
bool TakeSetting(const Argument& argument, QueryOptions& options, absl::Status& status) {
  v1::CallSettings settings = options.settings.value_or(v1::CallSettings());
  if (argument.flag == "--role") {
    settings.set_role(argument.value);
  } else if (argument.flag == "--search-path") {
    settings.set_search_path(argument.value);
  } else if (argument.flag == "--time-zone") {
    settings.set_time_zone(argument.value);
  } else if (argument.flag == "--application-name") {
    settings.set_application_name(argument.value);
  } else if (argument.flag == "--statement-timeout") {
    status = SetLimit(argument, *settings.mutable_statement_timeout());
  } else if (argument.flag == "--lock-timeout") {
    status = SetLimit(argument, *settings.mutable_lock_timeout());
  } else {
    return false;
  }
  options.settings = std::move(settings);
  return true;
}

// Statements, or one and its parameters, in the order given.
absl::Status TakeWords(const std::vector<Argument>& words, bool& sql_given, QueryOptions& options) {
  for (const auto& [flag, word] : words) {
    absl::Status status;
    if (flag == "--param") {
      status = AddParameter(ParameterFromTypedWord(word), word, options);
    } else if (options.transaction) {
      sql_given = true;
      options.statements.push_back(word);
    } else if (!sql_given) {
      sql_given = true;
      options.sql = word;
    } else {
      absl::StatusOr<v1::Value> value = ParameterFromWord(word);
      if (!value.ok()) return value.status();
      options.parameters.push_back(*std::move(value));
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

bool& WishOf(const std::string& flag, QueryOptions& options) {
  if (flag == "--timing") return options.timing;
  if (flag == "--stream") return options.stream;
  if (flag == "--copy-in") return options.copy_in;
  if (flag == "--copy-out") return options.copy_out;
  if (flag == "--separate-transactions") return options.separate_transactions;
  if (flag == "--transaction") return options.transaction;
  return options.read_only;
}

// Flags that exclude each other.
absl::Status CheckTogether(const QueryOptions& options, bool sql_given) {
  if (options.stream && options.rows_max != 0) {
    return absl::InvalidArgumentError(
        "--stream prints every row, so it goes without --max-rows; write LIMIT in the statement");
  }
  if (options.separate_transactions && options.file.empty()) {
    return absl::InvalidArgumentError("--separate-transactions is for a script, with --file");
  }
  if (options.transaction && (!options.parameters.empty() || !options.file.empty() ||
                              options.stream || options.copy_in || options.copy_out)) {
    return absl::InvalidArgumentError(
        "--transaction takes statements, without values, --param, --file, --stream and copies");
  }
  if (!options.file.empty() &&
      (sql_given || options.stream || options.read_only || !options.parameters.empty())) {
    return absl::InvalidArgumentError(
        "--file runs a script, which goes without SQL, values, --param, --stream and --read-only");
  }
  const bool copies = options.copy_in || options.copy_out;
  if (copies && ((options.copy_in && options.copy_out) || !options.file.empty() || options.stream ||
                 options.rows_max != 0 || options.read_only || !options.parameters.empty() ||
                 options.output != ResultOutput::kTable || options.sql == "-")) {
    return absl::InvalidArgumentError(
        "--copy-in and --copy-out take one COPY statement, which names the format: no values, and "
        "no "
        "flags that shape rows");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<QueryOptions> ReadQueryOptions(const std::vector<std::string>& arguments,
                                              const Environment& environment) {
  static constexpr std::array<Flag, 21> kFlags{{{"--addr", true},
                                                {"--timeout", true},
                                                {"--pool", true},
                                                {"--json", false},
                                                {"--csv", false},
                                                {"--param", true},
                                                {"--max-rows", true},
                                                {"--read-only", false},
                                                {"--copy-in", false},
                                                {"--copy-out", false},
                                                {"--file", true},
                                                {"--separate-transactions", false},
                                                {"--transaction", false},
                                                {"--stream", false},
                                                {"--timing", false},
                                                {"--role", true},
                                                {"--search-path", true},
                                                {"--time-zone", true},
                                                {"--application-name", true},
                                                {"--statement-timeout", true},
                                                {"--lock-timeout", true}}};
  QueryOptions options;
  bool sql_given = false;
  std::vector<Argument> words;
  const auto take = [&](const Argument& argument) {
    if (argument.flag == "--json") return SetOutput(ResultOutput::kJson, options);
    if (argument.flag == "--csv") return SetOutput(ResultOutput::kCsv, options);
    if (argument.flag == "--max-rows") return SetRowsMax(argument.value, options);
    if (argument.flag == "--file") {
      options.file = argument.value;
      return absl::OkStatus();
    }
    if (argument.flag == "--param" || argument.flag.empty()) {
      words.push_back(argument);
      return absl::OkStatus();
    }
    absl::Status status;
    if (TakeSetting(argument, options, status)) return status;
    WishOf(argument.flag, options) = true;
    return absl::OkStatus();
  };
  absl::Status status = ReadInto(options.client, arguments, environment, kFlags, take);
  if (status.ok()) status = TakeWords(words, sql_given, options);
  if (!status.ok()) return status;
  const bool may_be_long = options.stream || options.copy_in || options.copy_out;
  if (options.client.timeout == 0s) options.client.timeout = may_be_long ? 24h : 30s;
  if (absl::Status together = CheckTogether(options, sql_given); !together.ok()) return together;
  if (!sql_given && options.file.empty() && !options.client.help_wanted) {
    return absl::InvalidArgumentError(
        "no statement is given; write it after the verb in quotes, or - to read standard input");
  }
  return options;
}

absl::StatusOr<PromptOptions> ReadPromptOptions(const std::vector<std::string>& arguments,
                                                const Environment& environment) {
  static constexpr std::array<Flag, 6> kFlags{{{"--addr", true},
                                               {"--timeout", true},
                                               {"--pool", true},
                                               {"--json", false},
                                               {"--csv", false},
                                               {"--no-history", false}}};
  PromptOptions options{.client = {.timeout = 24h}};
  bool keeps_history = true;
  const auto take = [&](const Argument& argument) {
    if (argument.flag == "--json") return SetOutput(ResultOutput::kJson, options);
    if (argument.flag == "--csv") return SetOutput(ResultOutput::kCsv, options);
    if (argument.flag == "--no-history") {
      keeps_history = false;
      return absl::OkStatus();
    }
    if (!options.file.empty()) return UnwantedValue(argument);
    options.file = argument.value;
    return absl::OkStatus();
  };
  const absl::Status status = ReadInto(options.client, arguments, environment, kFlags, take);
  if (!status.ok()) return status;
  const auto home = environment.find("HOME");
  if (keeps_history && home != environment.end()) options.home = home->second;
  return options;
}

absl::StatusOr<DescribeOptions> ReadDescribeOptions(const std::vector<std::string>& arguments,
                                                    const Environment& environment) {
  static constexpr std::array<Flag, 4> kFlags{
      {{"--addr", true}, {"--timeout", true}, {"--pool", true}, {"--json", false}}};
  DescribeOptions options{.client = {.timeout = 30s}};
  const auto take = [&](const Argument& argument) {
    if (argument.flag == "--json") {
      options.json = true;
      return absl::OkStatus();
    }
    if (!options.sql.empty()) return UnwantedValue(argument);
    options.sql = argument.value;
    return absl::OkStatus();
  };
  const absl::Status status = ReadInto(options.client, arguments, environment, kFlags, take);
  if (!status.ok()) return status;
  if (options.sql.empty() && !options.client.help_wanted) {
    return absl::InvalidArgumentError(
        "no statement is given; write it after the verb in quotes, or - to read standard input");
  }
  return options;
}

absl::StatusOr<HealthOptions> ReadHealthOptions(const std::vector<std::string>& arguments,
                                                const Environment& environment) {
  static constexpr std::array<Flag, 5> kFlags{{{"--addr", true},
                                               {"--timeout", true},
                                               {"--service", true},
                                               {"--level", true},
                                               {"--json", false}}};
  HealthOptions options{.client = {.timeout = 5s}};
  const auto take = [&](const Argument& argument) {
    if (argument.flag.empty()) return UnwantedValue(argument);
    if (argument.flag == "--service") {
      options.service = argument.value;
    } else if (argument.flag == "--level") {
      if (argument.value != "basic" && argument.value != "detailed" &&
          argument.value != "database") {
        return Bad(Concat("--level \"", Displayable(argument.value), "\""),
                   "is none; write basic, detailed or database");
      }
      options.level = argument.value;
    } else {
      options.json = true;
    }
    return absl::OkStatus();
  };
  const absl::Status status = ReadInto(options.client, arguments, environment, kFlags, take);
  if (!status.ok()) return status;
  return options;
}

namespace {

absl::Status SetCount(const std::string& text, std::string_view of_what, std::uint64_t& into) {
  const auto count = ParseInteger(text);
  if (!count.ok() || *count < 1) {
    return Bad(Concat("--count \"", Displayable(text), "\""),
               Concat("is not a number of ", of_what, "; write a whole number from 1"));
  }
  into = static_cast<std::uint64_t>(*count);
  return absl::OkStatus();
}

// A number counts seconds.
absl::Status SetInterval(const std::string& text, MetricsOptions& options) {
  const auto seconds = ParseInteger(text);
  const auto interval =
      ParseDuration(seconds.ok() ? Concat(text, "s") : text, BareNumber::kRefused);
  if (!interval.ok() || interval->count() < 100) {
    return Bad(Concat("--watch \"", Displayable(text), "\""),
               "is no time between two reports; write seconds, or a duration from 100ms");
  }
  options.watch = *interval;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MetricsOptions> ReadMetricsOptions(const std::vector<std::string>& arguments,
                                                  const Environment& environment) {
  static constexpr std::array<Flag, 5> kFlags{{{"--addr", true},
                                               {"--timeout", true},
                                               {"--json", false},
                                               {"--watch", false, true},
                                               {"--count", true}}};
  MetricsOptions options{.client = {.timeout = 0s}};
  bool interval_may_follow = false;
  const auto take = [&](const Argument& argument) -> absl::Status {
    if (argument.flag.empty()) {
      if (!std::exchange(interval_may_follow, false)) return UnwantedValue(argument);
      return SetInterval(argument.value, options);
    }
    interval_may_follow = argument.flag == "--watch" && argument.value.empty();
    if (interval_may_follow) {
      options.watch = 1s;
    } else if (argument.flag == "--watch") {
      return SetInterval(argument.value, options);
    } else if (argument.flag == "--count") {
      return SetCount(argument.value, "reports", options.count);
    } else {
      options.json = true;
    }
    return absl::OkStatus();
  };
  const absl::Status status = ReadInto(options.client, arguments, environment, kFlags, take);
  if (!status.ok()) return status;
  if (options.watch) return options;
  if (options.count > 0) return absl::InvalidArgumentError("--count is for --watch");
  if (options.client.timeout == 0s) options.client.timeout = 5s;
  return options;
}

absl::StatusOr<WaitOptions> ReadWaitOptions(const std::vector<std::string>& arguments,
                                            const Environment& environment) {
  static constexpr std::array<Flag, 3> kFlags{
      {{"--addr", true}, {"--timeout", true}, {"--service", true}}};
  WaitOptions options{.client = {.timeout = 30s}};
  const auto take = [&](const Argument& argument) {
    if (argument.flag.empty()) return UnwantedValue(argument);
    options.service = argument.value;
    return absl::OkStatus();
  };
  const absl::Status status = ReadInto(options.client, arguments, environment, kFlags, take);
  if (!status.ok()) return status;
  return options;
}

absl::StatusOr<ListenOptions> ReadListenOptions(const std::vector<std::string>& arguments,
                                                const Environment& environment) {
  static constexpr std::array<Flag, 5> kFlags{{{"--addr", true},
                                               {"--timeout", true},
                                               {"--pool", true},
                                               {"--count", true},
                                               {"--json", false}}};
  ListenOptions options;
  const auto take = [&](const Argument& argument) -> absl::Status {
    if (argument.flag == "--json") {
      options.json = true;
    } else if (argument.flag.empty()) {
      options.channels.push_back(argument.value);
    } else {
      return SetCount(argument.value, "notifications", options.count);
    }
    return absl::OkStatus();
  };
  const absl::Status status = ReadInto(options.client, arguments, environment, kFlags, take);
  if (!status.ok()) return status;
  if (options.channels.empty() && !options.client.help_wanted) {
    return absl::InvalidArgumentError("no channel is given; write its name after the verb");
  }
  return options;
}

const std::string_view kQueryHelp =
    R"(Usage: dbsidecar query [FLAG]... SQL [VALUE]...
       dbsidecar query [FLAG]... --transaction SQL...
       dbsidecar query [FLAG]... --file SCRIPT

Runs one statement through a running sidecar and prints its result. SQL - reads it from standard
input. $1, $2, ... in the statement are the parameters, in the order in which they are given:

  VALUE               a whole number (5, not 007) and a decimal number of at most 15 digits (2.5)
                      are sent as numbers, everything else as text, whose type the database infers
  --param TYPE:VALUE  with its type: int:5  float:1.5  text:007  bool:true  bytes:\x00ff  null:

Flags:
  --json              an array with an object for each row: integers and numeric with all their
                      digits, raw bytes as "\x00ff", what has no JSON form as PostgreSQL's text
  --csv               a line of names, then the rows; NULL is an empty field, an empty text is ""
  --file SCRIPT       run this file's statements, all or none of them (- = standard input)
  --transaction       run all these statements in one transaction and one round trip
  --separate-transactions
                      with --file: each statement is a transaction; stops at the first error
  --copy-in           SQL is a COPY ... FROM STDIN: sends it standard input
  --copy-out          SQL is a COPY ... TO STDOUT: prints what it gives
  --stream            print rows as they come, however many: as --csv or --json
  --max-rows N        keep at most N rows and say if there were more
  --read-only         refuse a statement that writes
  --timing            say where the time went
  --role NAME  --search-path NAMES  --time-zone ZONE  --application-name NAME
  --statement-timeout DURATION  --lock-timeout DURATION
                      settings for this statement alone (SQLite: --statement-timeout only)
  --timeout DURATION  give up after this long (default 30s; 24h with --stream and copies)
  --pool NAME         the pool to use (default: the default pool)
  --addr ADDRESS      127.0.0.1:50051, or unix:/path (default DBSIDECAR_ADDR, else 127.0.0.1:50051)
  --                  only SQL and values follow
  --help              print this

Exit code: 0 it worked, 1 the statement failed, 2 wrong arguments, 3 no sidecar answers.
)";

const std::string_view kSqlHelp =
    R"(Usage: dbsidecar sql [FLAG]... [FILE]

A prompt for SQL: statements end with a semicolon, \? lists the commands. Without a terminal, or
with a FILE, it runs the statements and stops at the first error.

Flags:
  --json  --csv       how results are shown at first
  --no-history        do not keep what is typed in ~/.dbsidecar_history (a line that begins with a
                      space is never kept)
  --timeout DURATION  give up a statement after this long (default 24h; Ctrl-C stops one)
  --pool NAME         the pool to use (default: the default pool)
  --addr ADDRESS      127.0.0.1:50051, or unix:/path (default DBSIDECAR_ADDR, else 127.0.0.1:50051)
  --help              print this

Exit code: 0 it worked, 1 a statement failed, 2 wrong arguments, 3 no sidecar answers.
)";

const std::string_view kDescribeHelp =
    R"(Usage: dbsidecar describe [FLAG]... SQL

Says what one statement takes and returns, whether it only reads, and what it needs, without running
it. SQL - reads it from standard input. Types are named by their OIDs, as in pg_type.

Flags:
  --json              print JSON
  --timeout DURATION  give up after this long (default 30s)
  --pool NAME         the pool to use (default: the default pool)
  --addr ADDRESS      127.0.0.1:50051, or unix:/path (default DBSIDECAR_ADDR, else 127.0.0.1:50051)
  --help              print this

Exit code: 0 it worked, 1 the statement is wrong, 2 wrong arguments, 3 no sidecar answers.
)";

const std::string_view kHealthHelp =
    R"(Usage: dbsidecar health [FLAG]...

Prints how a running sidecar and its databases are; with --service, asks the standard health service
instead, for probes.

Flags:
  --service NAME      readiness, liveness, or "" for the whole: prints SERVING or NOT_SERVING
  --level LEVEL       basic (the default), detailed, or database, which has the recommendations;
                      with --json everything that the level holds
  --json              print JSON
  --timeout DURATION  give up after this long (default 5s)
  --addr ADDRESS      127.0.0.1:50051, or unix:/path (default DBSIDECAR_ADDR, else 127.0.0.1:50051)
  --help              print this

Exit code: 0 healthy, degraded or SERVING; 1 unhealthy or NOT_SERVING; 2 wrong arguments;
3 no sidecar answers.
)";

const std::string_view kMetricsHelp =
    R"(Usage: dbsidecar metrics [FLAG]...

Prints the figures of a running sidecar: its pools, its times, its process.

Flags:
  --watch [SECONDS]   print those that change, again and again: a line for each pool (default 1)
  --count N           with --watch: stop after so many reports
  --json              print JSON; with --watch a line for each report
  --timeout DURATION  give up after this long (default 5s; never with --watch)
  --addr ADDRESS      127.0.0.1:50051, or unix:/path (default DBSIDECAR_ADDR, else 127.0.0.1:50051)
  --help              print this

Exit code: 0 it worked, 1 the answer is an error, 2 wrong arguments, 3 no sidecar answers.
)";

const std::string_view kWaitHelp =
    R"(Usage: dbsidecar wait [FLAG]...

Returns as soon as a sidecar is ready, whether or not it runs already.

Flags:
  --timeout DURATION  give up after this long (default 30s)
  --service NAME      what must be SERVING (default readiness)
  --addr ADDRESS      127.0.0.1:50051, or unix:/path (default DBSIDECAR_ADDR, else 127.0.0.1:50051)
  --help              print this

Exit code: 0 ready, 1 not ready in time, 2 wrong arguments.
)";

const std::string_view kListenHelp =
    R"(Usage: dbsidecar listen [FLAG]... CHANNEL...

Prints the notifications (PostgreSQL's NOTIFY) of these channels as they come: the channel, a tab and
the payload. Names are taken letter for letter. What else happens, such as a gap after which
notifications may be missing, is told on standard error.

Flags:
  --count N           stop after so many notifications
  --json              a line of JSON for each event, those that are no notifications included
  --timeout DURATION  stop after this long (default: never)
  --pool NAME         the pool to use (default: the default pool)
  --addr ADDRESS      127.0.0.1:50051, or unix:/path (default DBSIDECAR_ADDR, else 127.0.0.1:50051)
  --                  only channels follow
  --help              print this

Exit code: 0 the count or the time is reached, 1 the answer is an error, 2 wrong arguments,
3 no sidecar answers, or it has gone.
)";

}  // namespace dbsidecar::server::cli
