#include "server/serve.h"

#include <fmt/format.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "server/admin_service.h"
#include "server/attach_rpc.h"
#include "server/config_in_force.h"
#include "server/copy_in_rpc.h"
#include "server/copy_out_rpc.h"
#include "server/health_listener.h"
#include "server/health_service.h"
#include "server/http/http_server.h"
#include "server/http_routes.h"
#include "server/listen_rpc.h"
#include "server/log.h"
#include "server/loop_thread.h"
#include "server/operations.h"
#include "server/pipeline_rpc.h"
#include "server/pools.h"
#include "server/query_rpc.h"
#include "server/query_stream_rpc.h"
#include "server/readiness.h"
#include "server/reports.h"
#include "server/sidecar_service.h"
#include "server/stop_orders.h"
#include "server/temporary_log_level.h"
#include "server/watch_metrics_rpc.h"

namespace dbsidecar::server {
namespace {

using std::chrono::steady_clock;

// How long the ends of the streams of events may take to be read.
constexpr steady_clock::duration kStreamEndMax = std::chrono::seconds(1);

// Tells whoever probes.
void Publish(const ReadinessState& state, const std::vector<std::string>& pools,
             HealthService& service) {
  service.SetServing("liveness", true);
  for (const char* name : {"", "readiness", "dbsidecar.v1.Sidecar"}) {
    service.SetServing(name, state.ready);
  }
  for (size_t i = 0; i < pools.size(); ++i) {
    service.SetServing("pool/" + pools[i], state.databases[i]);
  }
}

ReadinessOptions ReadinessOptionsOf(const Config& config) {
  return {.policy = config.lifecycle.readiness_policy,
          .hold = config.lifecycle.readiness_hold,
          // A check that is due, and as long as a ping or a connect may take.
          .answer_max = config.lifecycle.health_check_interval + config.pool.connect_timeout +
                        pool::PoolConfig().ping_timeout};
}

// Why nothing can listen on `address` now; empty when it can. gRPC itself tells only that it
// failed, and would take a Unix socket away from a process that uses it.
std::string ProbeUnix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return fmt::format("the path is longer than {} bytes", sizeof(address.sun_path) - 1);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool answered = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  if (answered) return "another process listens there";
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  return access(folder.c_str(), W_OK) == 0 ? "" : fmt::format("{}: {}", folder, strerror(errno));
}

std::string ProbeTcp(const ListenAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int trouble =
      getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (trouble != 0) return gai_strerror(trouble);
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const bool bound = bind(fd, found->ai_addr, found->ai_addrlen) == 0;
  std::string reason = bound ? "" : strerror(errno);
  close(fd);
  freeaddrinfo(found);
  return reason;
}

bool CanListen(const ListenAddress& address, std::string_view flag) {
  const std::string trouble = address.IsUnix() ? ProbeUnix(address.path) : ProbeTcp(address);
  if (trouble.empty()) return true;
  Log(LogLevel::kError, "server.listen_failed",
      {{"address", address.ToString()},
       {"error", trouble},
       {"remedy", fmt::format("stop what uses it, or give another address with --{}", flag)}});
  return false;
}

bool CanListenOn(const std::vector<ListenAddress>& addresses, std::string_view flag) {
  return std::all_of(addresses.begin(), addresses.end(),
                     [&](const ListenAddress& address) { return CanListen(address, flag); });
}

RequestLimits LimitsOf(const Config& config) {
  return {.result_rows_max = static_cast<uint64_t>(config.query.result_rows_max),
          .result_bytes_max = static_cast<uint64_t>(config.query.result_bytes_max),
          .parameters_max = static_cast<size_t>(config.query.params_max)};
}

void RegisterSecretsOf(const Config& config) {
  for (const std::string& secret : config.alerts.webhook.Secrets()) RegisterSecret(secret);
  const auto register_all = [](const DatabaseUrl& url) {
    if (url.driver != DatabaseDriver::kPostgres) return;
    for (const std::string& secret : SecretsInUrl(url.name)) RegisterSecret(secret);
  };
  register_all(config.database);
  for (const Config& pool : config.pools) register_all(pool.database);
}

std::vector<std::string> PoolNamesOf(const Config& config) {
  std::vector<std::string> names = {config.pool_name};
  for (const Config& pool : config.pools) names.push_back(pool.pool_name);
  return names;
}

void OnGrpcLog(gpr_log_func_args* args) {
  Log(args->severity == GPR_LOG_SEVERITY_ERROR ? LogLevel::kWarn : LogLevel::kDebug, "grpc",
      {{"message", args->message}});
}

// All parts of a serving process, in the order in which they depend on each other.
class Server {
 public:
  Server(const Config& config, ConfigInForce::Load load, StopOrders& orders)
      : config_(config),
        orders_(orders),
        in_force_(config, std::move(load)),
        limits_(LimitsOf(config)),
        pool_names_(PoolNamesOf(config)),
        readiness_(ReadinessOptionsOf(config), pool_names_.size(),
                   [this](const ReadinessState& state) {
                     Publish(state, pool_names_, health_);
                     Publish(state, pool_names_, health_listener_.service());
                   }),
        pools_(config, [this](size_t pool, bool up) { readiness_.SetDatabaseUp(pool, up); }),
        reports_(pools_, readiness_, in_force_),
        log_level_([this] { return in_force_.Get()->log.level; }),
        operations_(pools_, reports_, in_force_, orders_, log_level_),
        service_(pools_, reports_, limits_),
        rpc_(service_, pools_, limits_, encoder_loop_),
        attach_(rpc_),
        listen_(rpc_, static_cast<size_t>(config.query.listen_buffer)),
        watch_metrics_(rpc_, reports_),
        encoder_(std::make_unique<LoopThread>(encoder_loop_, "encoder")) {
    in_force_.OnChange(
        [this](const Config& before, const Config& now) { return GoBy(before, now); });
    reports_.live().SetLists([this] {
      LiveLists lists;
      operations_.ListStatements({}, lists.statements);
      operations_.ListSessions({}, lists.sessions);
      return lists;
    });
    orders_.OnHangup([this] {
      v1::ReloadResponse ignored;  // The log has it.
      operations_.Reload({}, ignored);
    });
  }

  ~Server() {
    orders_.OnHangup({});
    admin_.reset();
    reports_.live().SetServers({});
    reports_.live().SetLists({});
    if (server_ != nullptr) {
      server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
      server_->Wait();
    }
    // Before the queues, which take what it still finishes.
    encoder_.reset();
    queues_.reset();
  }

  int Run() {
    if (!Listen()) return 1;
    bool stopped = false;
    const std::string trouble = pools_.Start(config_.lifecycle.start_timeout, [&] {
      stopped = stopped || orders_.Wait(steady_clock::duration::zero());
      return stopped;
    });
    if (!trouble.empty()) {
      Log(LogLevel::kError, "server.start_failed",
          {{"error", trouble}, {"remedy", "check --database-url and that the database runs"}});
      pools_.Stop(steady_clock::duration::zero(), [] { return true; });
      return 1;
    }
    if (!stopped) ServeUntilTold();
    Stop();
    return 0;
  }

 private:
  bool Listen() {
    if (!CanListenOn(config_.listen, "listen")) return false;
    if (!CanListenOn(config_.health_listen, "health-listen")) return false;
    if (!CanListenOn(config_.admin_listen, "admin-listen")) return false;
    if (!ListenForHttp()) return false;
    grpc::EnableDefaultHealthCheckService(false);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    std::vector<int> ports(config_.listen.size(), 0);
    for (size_t i = 0; i < ports.size(); ++i) {
      builder.AddListeningPort(config_.listen[i].ToString(), grpc::InsecureServerCredentials(),
                               &ports[i]);
    }
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
    builder.SetMaxReceiveMessageSize(static_cast<int>(config_.query.request_bytes_max));
    builder.SetMaxSendMessageSize(-1);
    builder.RegisterService(&service_);
    builder.RegisterService(&health_);
    queues_ = std::make_unique<CompletionQueues>(builder, config_.grpc_threads);
    server_ = builder.BuildAndStart();
    std::vector<int> health_ports;
    if (server_ == nullptr || !health_listener_.Start(config_.health_listen, health_ports)) {
      Log(LogLevel::kError, "server.listen_failed", {{"error", "gRPC could not start"}});
      return false;
    }
    AcceptQueries(rpc_, *queues_);
    AcceptPipelines(rpc_, *queues_);
    attach_.Accept(*queues_);
    listen_.Accept(*queues_);
    watch_metrics_.Accept(*queues_);
    AcceptQueryStreams(rpc_, *queues_);
    AcceptCopiesIn(rpc_, *queues_);
    AcceptCopiesOut(rpc_, *queues_);
    health_.AcceptWatches(*queues_);
    queues_->Start();
    LogListening("server.listening", config_.listen, ports);
    LogListening("server.listening_health", config_.health_listen, health_ports);
    return ListenForAdmin();
  }

  bool ListenForAdmin() {
    if (config_.admin_listen.empty()) return true;
    admin_ = AdminServer::Listen(config_.admin_listen, operations_);
    if (admin_ == nullptr) {
      Log(LogLevel::kError, "server.listen_failed", {{"error", "gRPC could not start Admin"}});
      return false;
    }
    for (const ListenAddress& address : admin_->addresses()) {
      Log(LogLevel::kInfo, "server.listening_admin", {{"address", address.ToString()}});
    }
    return true;
  }

  // After a reload, or a change by hand. What is not named here goes by `in_force_` itself.
  std::optional<pool::Error> GoBy(const Config& before, const Config& now) {
    RegisterSecretsOf(now);
    if (auto trouble = pools_.Reconfigure(before, now)) return trouble;
    limits_.Set(LimitsOf(now));
    readiness_.SetAnswerMax(ReadinessOptionsOf(now).answer_max);
    if (now.log.format != before.log.format) InitLog(CurrentLogLevel(), now.log.format);
    if (now.log.level != before.log.level) {
      log_level_.Forget();
      SetLogLevel(now.log.level);
    }
    return std::nullopt;
  }

  bool ListenForHttp() {
    for (const ListenAddress& address : config_.http_listen) {
      if (!CanListen(address, "http-listen")) return false;
      if (address.IsUnix()) unlink(address.path.c_str());  // Of a process that is no more.
      auto server = HttpServer::Listen(address, {}, [this](const HttpRequest& request) {
        return AnswerHttp(request, reports_);
      });
      if (!server.ok()) {
        Log(LogLevel::kError, "server.listen_failed",
            {{"address", address.ToString()}, {"error", std::string(server.status().message())}});
        return false;
      }
      (*server)->Start();
      Log(LogLevel::kInfo, "server.listening_http", {{"address", (*server)->address().ToString()}});
      http_.push_back(*std::move(server));
    }
    std::vector<HttpServer*> servers;
    for (const auto& server : http_) servers.push_back(server.get());
    reports_.live().SetServers(std::move(servers));
    return true;
  }

  static void LogListening(std::string_view event, std::vector<ListenAddress> addresses,
                           const std::vector<int>& ports) {
    for (size_t i = 0; i < addresses.size(); ++i) {
      ListenAddress& address = addresses[i];
      if (!address.IsUnix()) address.port = static_cast<uint16_t>(ports[i]);
      Log(LogLevel::kInfo, event, {{"address", address.ToString()}});
    }
  }

  void ServeUntilTold() {
    reports_.SetPhase(v1::LIFECYCLE_PHASE_SERVING);
    readiness_.SetServing(true);
    Log(LogLevel::kInfo, "server.ready", {{"version", DBSIDECAR_VERSION}});
    while (!orders_.Wait(std::chrono::hours(1))) {
    }
  }

  void Stop() {
    const LifecycleConfig lifecycle = in_force_.Get()->lifecycle;
    const StopOrders::Drain wish = orders_.drain();
    // Readiness goes first, so that no new work is sent here; then the calls that come all the
    // same are served for a while.
    readiness_.SetServing(false);
    reports_.SetPhase(v1::LIFECYCLE_PHASE_LAME_DUCK);
    reports_.live().Publish();
    const bool again = orders_.quits() || orders_.Wait(wish.delay.value_or(lifecycle.drain_delay));
    const steady_clock::duration limit =
        again ? steady_clock::duration::zero() : wish.timeout.value_or(lifecycle.drain_timeout);
    reports_.SetPhase(v1::LIFECYCLE_PHASE_DRAINING);
    reports_.live().Publish();
    Log(LogLevel::kInfo, "server.draining",
        {{"timeout_ms", std::chrono::duration_cast<std::chrono::milliseconds>(limit).count()}});
    attach_.Drain(limit);
    const auto give_up = steady_clock::now() + limit;
    bool hurry = again;
    const auto hurried = [&] {
      hurry = hurry || orders_.Wait(steady_clock::duration::zero());
      return hurry;
    };
    const size_t given_up = pools_.Stop(limit, hurried);
    // The last replies may still be on their way to callers that read slowly.
    while (rpc_.open_calls() > 0 && steady_clock::now() < give_up && !hurried()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    attach_.End();
    watch_metrics_.End();
    // Streams have been told to end; whoever does not read cannot hear it.
    const auto leave = steady_clock::now() + kStreamEndMax;
    while (rpc_.open_streams() > 0 && steady_clock::now() < leave && !hurried()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    Log(given_up == 0 ? LogLevel::kInfo : LogLevel::kWarn, "server.stopped",
        {{"calls_given_up", given_up}});
  }

  const Config& config_;  // As at the start: for what cannot change.
  StopOrders& orders_;
  ConfigInForce in_force_;
  CurrentLimits limits_;
  HealthService health_;
  HealthListener health_listener_;
  const std::vector<std::string> pool_names_;
  Readiness readiness_;
  Pools pools_;
  Reports reports_;
  TemporaryLogLevel log_level_;
  Operations operations_;
  SidecarService service_;
  pool::EventLoop encoder_loop_;
  RpcContext rpc_;
  AttachRpc attach_;
  ListenRpc listen_;
  WatchMetricsRpc watch_metrics_;
  std::unique_ptr<LoopThread> encoder_;
  std::unique_ptr<CompletionQueues> queues_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<AdminServer> admin_;
  std::vector<std::unique_ptr<HttpServer>> http_;
};

}  // namespace

int Serve(const Config& config, std::function<LoadedConfig()> load_again) {
  // Debian builds Abseil with it on, and gRPC's every lock pays for it.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  gpr_set_log_function(&OnGrpcLog);
  StopOrders orders;
  RegisterSecretsOf(config);
  // Never undone: with the last reference gone gRPC waits up to 10 s for a poll of its own.
  grpc_init();
  const int exit_code = Server(config, std::move(load_again), orders).Run();
  FlushLog();
  return exit_code;
}

}  // namespace dbsidecar::server
