#include "server/cli/admin_options.h"

#include <algorithm>
#include <array>
#include <limits>

#include "server/cli/client_arguments.h"
#include "server/cli/display_text.h"
#include "server/cli/flags.h"
#include "server/config/values.h"
#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

using std::chrono_literals::operator""s;

constexpr AddressSource kAdmin{
    .flag = "--admin-addr", .variable = "DBSIDECAR_ADMIN_ADDR", .otherwise = "127.0.0.1:50052"};
constexpr AddressSource kSidecar{
    .flag = "--addr", .variable = "DBSIDECAR_ADDR", .otherwise = "127.0.0.1:50051"};

// What can be done, and the word that has to follow.
struct Action {
  std::string_view name;
  std::string_view word;  // Empty = none.
};
constexpr auto kActions = std::to_array<Action>({{"pause", ""},
                                                 {"resume", ""},
                                                 {"reload", ""},
                                                 {"drain", ""},
                                                 {"quit", ""},
                                                 {"statements", ""},
                                                 {"cancel", "the statement's id"},
                                                 {"sessions", ""},
                                                 {"cancel-session", "the session's id"},
                                                 {"resize", ""},
                                                 {"reset-statistics", ""},
                                                 {"log-level", "debug, info, warn or error"}});

const Action* ActionOf(std::string_view name) {
  const auto* const found = std::ranges::find(kActions, name, &Action::name);
  return found == kActions.end() ? nullptr : found;
}

std::string Subject(const Argument& argument) {
  return Concat(argument.flag, " \"", Displayable(argument.value), "\"");
}

template <typename Number>
absl::Status SetNumber(const Argument& argument, Number& number) {
  const auto parsed = ParseInteger(argument.value);
  if (!parsed.ok() || *parsed < 0 || *parsed > std::numeric_limits<std::uint32_t>::max()) {
    return Bad(Subject(argument), "is not a whole number from 0 to 4294967295");
  }
  number = static_cast<std::uint32_t>(*parsed);
  return absl::OkStatus();
}

absl::Status SetDuration(const Argument& argument,
                         std::optional<std::chrono::milliseconds>& duration) {
  const auto parsed = ParseDuration(argument.value, BareNumber::kRefused);
  if (!parsed.ok()) return Bad(Subject(argument), parsed.status());
  if (parsed->count() < 0) return Bad(Subject(argument), "is less than nothing; write 10m");
  duration = *parsed;
  return absl::OkStatus();
}

absl::Status TakeWord(const Argument& argument, AdminOptions& options) {
  if (options.action.empty()) {
    options.action = argument.value;
    if (ActionOf(options.action) != nullptr) return absl::OkStatus();
    return absl::InvalidArgumentError(
        Concat("there is no action \"", Displayable(argument.value), "\"; see --help"));
  }
  if (!options.word.empty() || ActionOf(options.action)->word.empty()) {
    return UnwantedValue(argument);
  }
  options.word = argument.value;
  return absl::OkStatus();
}

absl::Status TakeFlag(const Argument& argument, AdminOptions& options) {
  if (argument.flag == "--min") return SetNumber(argument, options.min);
  if (argument.flag == "--max") return SetNumber(argument, options.max);
  if (argument.flag == "--limit") return SetNumber(argument, options.count_max);
  if (argument.flag == "--for") return SetDuration(argument, options.lasts);
  if (argument.flag == "--delay") return SetDuration(argument, options.delay);
  if (argument.flag == "--drain-timeout") return SetDuration(argument, options.drain_timeout);
  if (argument.flag == "--terminate-after") return SetDuration(argument, options.terminate_after);
  if (argument.flag == "--older-than") return SetDuration(argument, options.age_min);
  if (argument.flag == "--dry-run") options.dry_run = true;
  if (argument.flag == "--json") options.json = true;
  return absl::OkStatus();
}

absl::Status CheckWhole(AdminOptions& options) {
  if (options.action.empty()) {
    return absl::InvalidArgumentError("say what to do: pause, statements, ...; see --help");
  }
  const Action& action = *ActionOf(options.action);
  if (!action.word.empty() && options.word.empty()) {
    return absl::InvalidArgumentError(
        Concat("write ", action.word, " after \"", action.name, "\""));
  }
  if (action.name.starts_with("cancel")) {
    const auto id = ParseInteger(options.word);
    if (!id.ok() || *id < 1) {
      return Bad(Concat("\"", Displayable(options.word), "\""),
                 "is not an id; the lists show them");
    }
    options.id = static_cast<std::uint64_t>(*id);
  }
  if (action.name == "resize" && !options.min && !options.max) {
    return absl::InvalidArgumentError("say what to change: --min N, --max N, or both");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<AdminOptions> ReadAdminOptions(const std::vector<std::string>& arguments,
                                              const Environment& environment) {
  static constexpr std::array<Flag, 13> kFlags{{{"--admin-addr", true},
                                                {"--timeout", true},
                                                {"--json", false},
                                                {"--pool", true},
                                                {"--min", true},
                                                {"--max", true},
                                                {"--limit", true},
                                                {"--for", true},
                                                {"--delay", true},
                                                {"--drain-timeout", true},
                                                {"--terminate-after", true},
                                                {"--older-than", true},
                                                {"--dry-run", false}}};
  AdminOptions options{.client = {.timeout = 30s}};
  const absl::Status status = ReadClientArguments(
      options.client, arguments, environment, kFlags, kAdmin, [&](const Argument& argument) {
        return argument.flag.empty() ? TakeWord(argument, options) : TakeFlag(argument, options);
      });
  if (!status.ok()) return status;
  if (options.client.help_wanted) return options;
  if (absl::Status whole = CheckWhole(options); !whole.ok()) return whole;
  return options;
}

absl::StatusOr<TopOptions> ReadTopOptions(const std::vector<std::string>& arguments,
                                          const Environment& environment) {
  static constexpr std::array<Flag, 6> kFlags{{{"--addr", true},
                                               {"--admin-addr", true},
                                               {"--pool", true},
                                               {"--timeout", true},
                                               {"--interval", true},
                                               {"--once", false}}};
  TopOptions options{.client = {.timeout = 5s}};
  std::vector<std::string> for_admin;
  const auto take = [&](const Argument& argument) -> absl::Status {
    if (argument.flag.empty()) return UnwantedValue(argument);
    if (argument.flag == "--once") {
      options.once = true;
    } else if (argument.flag == "--admin-addr") {
      for_admin = {argument.flag, argument.value};
    } else {
      std::optional<std::chrono::milliseconds> interval;
      if (absl::Status status = SetDuration(argument, interval); !status.ok()) return status;
      options.interval = std::max(*interval, std::chrono::milliseconds(100));
    }
    return absl::OkStatus();
  };
  absl::Status status =
      ReadClientArguments(options.client, arguments, environment, kFlags, kSidecar, take);
  if (!status.ok()) return status;
  ClientOptions admin;
  status = ReadClientArguments(admin, for_admin, environment, kFlags, kAdmin,
                               [](const Argument&) { return absl::OkStatus(); });
  if (!status.ok()) return status;
  options.admin_address = admin.address;
  return options;
}

const std::string_view kAdminHelp =
    R"(Usage: dbsidecar admin ACTION [FLAG]...

Steers a running sidecar by its Admin service, which it serves on --admin-listen.

Actions:
  pause               grant no connections until resume: calls wait as long as their deadlines and
                      --wait-timeout allow. Returns when none is in use any more, and all are closed;
                      after --timeout it fails, and the pool stays paused
  resume              grant connections again
  reload [--dry-run]  read the configuration again, as SIGHUP does; --dry-run only says what would
                      change
  drain [--delay D] [--drain-timeout D]
                      stop in order, as SIGTERM does; the times default to the configured ones
  quit                stop now: what runs is cancelled
  statements [--older-than D] [--limit N]
                      what runs and what waits, the oldest first
  cancel ID [--terminate-after D]
                      cancel a statement; its caller gets CANCELLED. If the database does not react
                      within D, its connection is closed
  sessions [--older-than D] [--limit N]
                      open transactions and pinned connections, the oldest first
  cancel-session ID   roll a session back and end it
  resize [--min N] [--max N]
                      change the pool's size until a reload changes it, or a restart
  reset-statistics    let `dbsidecar metrics` count from now on; Prometheus' counters go on
  log-level LEVEL [--for D]
                      debug, info, warn or error; with --for, go back after that time

Flags:
  --json              print JSON
  --pool NAME         the pool that is meant (default: the default pool)
  --timeout DURATION  give up after this long (default 30s)
  --admin-addr ADDRESS
                      unix:/path or 127.0.0.1:50052 (default DBSIDECAR_ADMIN_ADDR, else
                      127.0.0.1:50052)
  --help              print this

Exit code: 0 it worked, 1 the answer is an error, 2 wrong arguments, 3 no sidecar answers.
)";

const std::string_view kTopHelp =
    R"(Usage: dbsidecar top [FLAG]...

Shows a running sidecar live: its connections, waiting calls, throughput, times, errors and alerts;
and, where its Admin service can be reached, what runs and which sessions are open.

Keys:
  q  quit                        p  pause or resume the pool, after a question
  s  sort by age, state, caller  up, down  choose a statement, and
  h  help                        c  cancel it, after a question

Flags:
  --pool NAME         the pool that p pauses (default: the default pool)
  --once              print one view as plain text, and return
  --interval D        the time between two looks (default 1s)
  --timeout DURATION  give up a look after this long (default 5s)
  --addr ADDRESS      127.0.0.1:50051, or unix:/path (default DBSIDECAR_ADDR, else 127.0.0.1:50051)
  --admin-addr ADDRESS
                      the same of Admin (default DBSIDECAR_ADMIN_ADDR, else 127.0.0.1:50052)
  --help              print this

Exit code: 0 it worked, 1 the answer is an error, 2 wrong arguments, 3 no sidecar answers.
)";

}  // namespace dbsidecar::server::cli
