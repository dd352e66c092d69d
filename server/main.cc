// The one binary: `dbsidecar VERB`. This file only chooses the verb.
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "server/cli/client_verbs.h"
#include "server/config/config.h"
#include "server/config/config_report.h"
#include "server/config/option_docs.h"
#include "server/log.h"
#include "server/serve.h"

namespace dbsidecar::server {
namespace {

constexpr int kUsageError = 2;

constexpr char kUsage[] =
    "dbsidecar " DBSIDECAR_VERSION
    ": lends PostgreSQL and SQLite connections over gRPC\n"
    "\n"
    "  dbsidecar serve          run the sidecar; on SQLite unless DATABASE_URL says otherwise\n"
    "  dbsidecar query SQL      run one statement through a sidecar and print the result\n"
    "  dbsidecar sql            a prompt for SQL; or run the statements of standard input\n"
    "  dbsidecar listen CHANNEL print notifications (PostgreSQL's NOTIFY) as they come\n"
    "  dbsidecar describe SQL   say what one statement takes and returns, without running it\n"
    "  dbsidecar health         ask a sidecar how it is; for probes: --service readiness\n"
    "  dbsidecar metrics        print a sidecar's figures\n"
    "  dbsidecar wait           return when a sidecar is ready\n"
    "  dbsidecar admin ACTION   steer a sidecar: pause, resume, reload, drain, cancel, resize...\n"
    "  dbsidecar top            show a sidecar live: connections, times, what runs\n"
    "  dbsidecar config check   say whether serve would accept its configuration, and what it is\n"
    "  dbsidecar config docs    print the reference of all options as Markdown\n"
    "  dbsidecar version        print the version\n"
    "\n"
    "Each verb has --help.\n";

void Print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }
void Complain(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stderr); }

int RunServe(const std::vector<std::string>& arguments) {
  const LoadedConfig loaded = LoadConfig(arguments, ProcessEnvironment());
  if (loaded.help_wanted) {
    Print(ServeHelp());
    return 0;
  }
  if (!loaded.ok()) {
    Complain(FormatProblems(loaded.problems));
    return kUsageError;
  }
  const Config& config = loaded.config;
  InitLog(config.log.level, config.log.format);
  return Serve(config, [arguments] { return LoadConfig(arguments, ProcessEnvironment()); });
}

int RunConfigCheck(std::vector<std::string> arguments) {
  const bool json = std::erase(arguments, "--json") > 0;
  const LoadedConfig loaded = LoadConfig(arguments, ProcessEnvironment());
  if (loaded.help_wanted) {
    Print("Takes the flags of `dbsidecar serve`, and --json.\n\n" + ServeHelp());
    return 0;
  }
  if (json) {
    Print(FormatConfigCheckJson(loaded));
  } else if (loaded.ok()) {
    Print(FormatConfigCheck(loaded.config));
  } else {
    Complain(FormatProblems(loaded.problems));
  }
  return loaded.ok() ? 0 : kUsageError;
}

int RunConfig(const std::vector<std::string>& arguments) {
  const std::string what = arguments.empty() ? "" : arguments[0];
  if (what == "check") return RunConfigCheck({arguments.begin() + 1, arguments.end()});
  if (what == "docs") {
    Print(ConfigurationMarkdown());
    return 0;
  }
  Complain("dbsidecar config: say `check` or `docs`\n");
  return kUsageError;
}

int Run(const std::vector<std::string>& words) {
  const std::string verb = words.empty() ? "help" : words[0];
  const std::vector<std::string> arguments(words.begin() + (words.empty() ? 0 : 1), words.end());
  if (verb == "serve") return RunServe(arguments);
  if (verb == "query") return RunQuery(arguments, ProcessEnvironment());
  if (verb == "sql") return RunSql(arguments, ProcessEnvironment());
  if (verb == "listen") return RunListen(arguments, ProcessEnvironment());
  if (verb == "describe") return RunDescribe(arguments, ProcessEnvironment());
  if (verb == "health") return RunHealth(arguments, ProcessEnvironment());
  if (verb == "metrics") return RunMetrics(arguments, ProcessEnvironment());
  if (verb == "wait") return RunWait(arguments, ProcessEnvironment());
  if (verb == "admin") return RunAdmin(arguments, ProcessEnvironment());
  if (verb == "top") return RunTop(arguments, ProcessEnvironment());
  if (verb == "config") return RunConfig(arguments);
  if (verb == "version" || verb == "--version") {
    Print("dbsidecar " DBSIDECAR_VERSION "\n");
    return 0;
  }
  if (verb == "help" || verb == "--help" || verb == "-h") {
    Print(kUsage);
    return words.empty() ? kUsageError : 0;
  }
  Complain("dbsidecar: there is no verb \"" + verb + "\"\n\n" + kUsage);
  return kUsageError;
}

}  // namespace
}  // namespace dbsidecar::server

int main(int argc, char** argv) {
  return dbsidecar::server::Run(std::vector<std::string>(argv + 1, argv + argc));
}
