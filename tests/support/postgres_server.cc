#include "tests/support/postgres_server.h"

#include <pwd.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <pqxx/pqxx>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace dbsidecar::test_support {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

// The newest version installed, or what PATH has.
std::string FindBinaries() {
  std::vector<std::pair<int, std::string>> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", ignored)) {
    const std::string folder = entry.path() / "bin";
    if (fs::exists(folder + "/initdb") && fs::exists(folder + "/postgres")) {
      found.emplace_back(std::atoi(entry.path().filename().c_str()), folder);
    }
  }
  if (!found.empty()) return std::max_element(found.begin(), found.end())->second;
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (fs::exists(folder + "/initdb") && fs::exists(folder + "/postgres")) return folder;
  }
  throw std::runtime_error(
      "These tests start a PostgreSQL server of their own, and found no initdb and postgres in "
      "/usr/lib/postgresql/*/bin or PATH. Install the package `postgresql`.");
}

std::string Quote(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("''") : std::string(1, c);
  return quoted + "'";
}

std::string EncodeForUrl(const std::string& text) {
  std::ostringstream encoded;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c))) {
      encoded << c;
    } else {
      encoded << '%' << std::hex << std::uppercase << static_cast<int>(c);
    }
  }
  return encoded.str();
}

}  // namespace

PostgresServer::PostgresServer() : binaries_(FindBinaries()) {
  folder_ = MakeTemporaryFolder("postgres");
  port_ = FreePort();
  if (geteuid() == 0) {
    // PostgreSQL refuses to run as root.
    const passwd* account = getpwnam("postgres");
    if (account == nullptr) {
      throw std::runtime_error("PostgreSQL does not run as root, and there is no user `postgres`.");
    }
    user_ = account->pw_uid;
    group_ = account->pw_gid;
    if (chown(folder_.c_str(), user_, group_) != 0) throw std::runtime_error("chown " + folder_);
  }
  InitializeCluster();
  Start();
  Psql("create role app login password " + Quote(kPassword));
  Psql("grant create on database postgres to app");
}

PostgresServer::~PostgresServer() {
  if (process_) {
    Thaw();
    Stop(StopMode::kImmediate);
  }
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

PostgresServer& PostgresServer::Shared() {
  // Ended by the process's exit handlers, and by its death signal if they do not run.
  static PostgresServer server;
  return server;
}

Command PostgresServer::PostgresCommand(const std::string& program,
                                        std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), binaries_ + "/" + program);
  return {.arguments = std::move(arguments),
          .environment = {{"LC_ALL", "C.UTF-8"}, {"TZ", "UTC"}},
          .dropped_prefixes = {"PG", "LD_PRELOAD"},
          .output_file = folder_ + "/log",
          .user = user_,
          .group = group_,
          .death_signal = SIGQUIT};
}

void PostgresServer::InitializeCluster() {
  const int code =
      RunToExit(PostgresCommand("initdb", {"-D", folder_ + "/data", "-U", "postgres", "-A", "trust",
                                           "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"}),
                seconds(60));
  if (code != 0) throw std::runtime_error("initdb failed:\n" + ReadFile(folder_ + "/log"));
  std::ofstream(folder_ + "/data/pg_hba.conf") << "local all all trust\n"
                                                  "host all all 127.0.0.1/32 scram-sha-256\n";
}

void PostgresServer::Start() {
  process_ = std::make_unique<ChildProcess>(
      PostgresCommand("postgres", {"-D", folder_ + "/data",
                                   "-k", folder_,
                                   "-p", std::to_string(port_),  //
                                   "-c", "listen_addresses=127.0.0.1",
                                   "-c", "max_connections=100",  //
                                   "-c", "fsync=off",
                                   "-c", "synchronous_commit=off",
                                   "-c", "full_page_writes=off",
                                   "-c", "password_encryption=scram-sha-256",
                                   "-c", "timezone=UTC"}));
  WaitUntilReady();
}

void PostgresServer::WaitUntilReady() {
  const auto end = Clock::now() + seconds(30);
  std::string reason;
  while (Clock::now() < end && process_->Running()) {
    try {
      pqxx::connection connection(Url());
      return;
    } catch (const pqxx::broken_connection& error) {
      reason = error.what();
    }
    std::this_thread::sleep_for(milliseconds(20));
  }
  throw std::runtime_error("PostgreSQL does not start: " + reason + "\n" +
                           ReadFile(folder_ + "/log"));
}

void PostgresServer::Stop(StopMode mode) {
  if (!process_) return;
  process_->Signal(mode == StopMode::kFast ? SIGINT : SIGQUIT);
  const bool ended = process_->WaitExit(seconds(20)).has_value();
  process_.reset();
  if (!ended) throw std::runtime_error("PostgreSQL did not stop within 20 s and was killed");
}

void PostgresServer::Freeze() { SignalAll(SIGSTOP); }

void PostgresServer::Thaw() { SignalAll(SIGCONT); }

// The postmaster first: stopped, it starts no more children.
void PostgresServer::SignalAll(int signal) const {
  const pid_t postmaster = process_->pid();
  kill(postmaster, signal);
  std::ifstream children("/proc/" + std::to_string(postmaster) + "/task/" +
                         std::to_string(postmaster) + "/children");
  for (pid_t child = 0; children >> child;) kill(child, signal);
}

std::string PostgresServer::Url(const std::string& database) const {
  return "postgresql://postgres@/" + database + "?host=" + EncodeForUrl(folder_) +
         "&port=" + std::to_string(port_);
}

std::string PostgresServer::TcpUrl(const std::string& database, const std::string& password,
                                   int port) const {
  return "postgresql://app:" + EncodeForUrl(password) +
         "@127.0.0.1:" + std::to_string(port == 0 ? port_ : port) + "/" + database;
}

std::string PostgresServer::CreateDatabase(const std::string& purpose) {
  const std::string name = purpose + "_" + std::to_string(++databases_);
  pqxx::connection connection(Url());
  pqxx::nontransaction work(connection);
  work.exec("create database " + name);
  work.exec("grant all on database " + name + " to app");
  return name;
}

std::string PostgresServer::Psql(const std::string& sql, const std::string& database) const {
  pqxx::connection connection(Url(database));
  pqxx::nontransaction work(connection);
  const pqxx::result result = work.exec(sql);
  if (result.empty() || result.columns() == 0 || result[0][0].is_null()) return "";
  return result[0][0].c_str();
}

int PostgresServer::Connections(const std::string& database) const {
  return std::stoi(
      Psql("select count(*) from pg_stat_activity where backend_type = 'client backend' and "
           "pid <> pg_backend_pid() and datname = " +
           Quote(database)));
}

int PostgresServer::RunningStatements(const std::string& database,
                                      const std::string& sql_part) const {
  return std::stoi(
      Psql("select count(*) from pg_stat_activity where state = 'active' and "
           "pid <> pg_backend_pid() and datname = " +
           Quote(database) + " and query like " + Quote("%" + sql_part + "%")));
}

}  // namespace dbsidecar::test_support
