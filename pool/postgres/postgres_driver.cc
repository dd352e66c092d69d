#include "pool/postgres/postgres_driver.h"

#include <fmt/format.h>

#include <utility>

#include "pool/postgres/blocking_threads.h"
#include "pool/postgres/control_connection.h"
#include "pool/postgres/postgres_connection.h"
#include "pool/postgres/postgres_listener.h"
#include "pool/postgres/statement_classifier.h"

namespace dbsidecar::pool {
namespace {

constexpr size_t kParametersMax = 65535;  // A 16-bit count in PostgreSQL's protocol.

Error Invalid(std::string message) {
  return OwnError(ErrorKind::kInvalidArgument, std::move(message));
}

// The transaction that is made read-only ends where such a statement commits.
Error NotReadOnly() {
  Error error{.kind = ErrorKind::kDatabase,
              .message =
                  "a read_only call cannot run CALL, DO, or a maintenance command, which may "
                  "commit by themselves",
              .sql = {},
              .outcome_unknown = false};
  error.sql.sqlstate = "25006";
  error.sql.severity = "ERROR";
  error.sql.message = error.message;
  return error;
}

// They would end where such a statement commits, and the rest of it run without them.
Error NoSettings() {
  return Invalid(
      "a call with settings cannot run CALL, DO, or a maintenance command, which may commit by "
      "themselves; begin a transaction with the settings and run it there, or set them in a pinned "
      "session");
}

bool HasNul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

// What libpq would truncate or the server would answer less clearly.
std::optional<Error> Validate(const Statement& statement) {
  if (HasNul(statement.sql)) {
    return Invalid("the statement's text contains a NUL character (U+0000)");
  }
  if (statement.parameters.size() > kParametersMax) {
    return Invalid(
        fmt::format("{} parameters given, PostgreSQL takes {} at most; use ExecuteMany, "
                    "or an array parameter",
                    statement.parameters.size(), kParametersMax));
  }
  for (size_t i = 0; i < statement.parameters.size(); ++i) {
    const Value& value = statement.parameters[i];
    if (value.kind == Value::Kind::kText && HasNul(value.text)) {
      return Invalid(
          fmt::format("parameter ${} contains a NUL character (U+0000), which "
                      "PostgreSQL's text cannot hold; send it as bytes_value",
                      i + 1));
    }
  }
  const CallSettings& settings = statement.settings;
  if (HasNul(settings.role) || HasNul(settings.search_path) || HasNul(settings.time_zone) ||
      HasNul(settings.application_name)) {
    return Invalid("`settings` contains a NUL character (U+0000)");
  }
  return std::nullopt;
}

class PostgresDriver final : public Driver {
 public:
  PostgresDriver(PostgresConfig config, EventLoop& loop)
      : prepared_max_(config.prepared_max),
        trace_comments_(config.trace_comments),
        conninfo_(BuildConninfo(config)),
        statement_timeout_(StatementTimeoutOf(config)),
        loop_(loop) {}

  std::string_view name() const override { return "postgresql"; }

  std::vector<LaneShape> Lanes(size_t min, size_t max) const override {
    return {{.min = min, .max = max}};
  }

  void Reconfigure(const ConnectSettings& settings) override {
    const PostgresConfig config = {.url = settings.location,
                                   .connect_timeout = settings.connect_timeout,
                                   .statement_timeout = settings.statement_timeout,
                                   .keepalive_after = settings.keepalive_after,
                                   .prepared_max = prepared_max_};
    conninfo_ = BuildConninfo(config);
    statement_timeout_ = StatementTimeoutOf(config);
  }

  bool has_sessions() const override { return true; }
  bool has(StatementForm /*form*/) const override { return true; }
  bool has_settings() const override { return true; }

  Classification Classify(const Statement& statement) override {
    Classification classification;
    classification.refusal = Validate(statement);
    if (classification.refusal) return classification;
    if (statement.form != StatementForm::kSingle) return ClassifyPlain(statement);
    const auto found = classifier_.Classify(statement.sql);
    const StatementTraits& traits = *found;
    classification.refusal = traits.refusal;
    if (!classification.refusal && statement.read_only && traits.parameters >= 0 &&
        traits.commits_inside) {
      classification.refusal = NotReadOnly();
    }
    if (!classification.refusal && !statement.settings.none() && traits.parameters >= 0 &&
        traits.commits_inside) {
      classification.refusal = NoSettings();
    }
    classification.transaction_control = traits.transaction_control;
    classification.may_write = !traits.pure_read;
    classification.shareable = !traits.leaves_traces && !traits.commits_inside;
    classification.history = traits.history;
    if (traits.kept) classification.figures = &traits.figures;
    const auto given = static_cast<int>(statement.parameters.size());
    if (!classification.refusal && traits.parameters >= 0 && traits.parameters != given) {
      classification.refusal = Invalid(
          fmt::format("the statement has {} parameters, {} given", traits.parameters, given));
    }
    return classification;
  }

  std::string Fingerprint(std::string_view sql) const override { return FingerprintOf(sql); }
  std::string WithoutConstants(std::string_view sql) const override {
    return pool::WithoutConstants(sql);
  }

  std::optional<Error> Describe(const Statement& statement, Description& into) override {
    if (std::optional<Error> trouble = Validate(statement)) return trouble;
    const auto found = classifier_.Classify(statement.sql);
    const StatementTraits& traits = *found;
    if (traits.refusal && traits.refusal->kind == ErrorKind::kInvalidArgument) {
      return traits.refusal;
    }
    into.only_reads = traits.plain_read && !classifier_.changing();
    into.verdict_reason = traits.verdict_reason;
    into.needs_session = traits.refusal && traits.refusal->kind == ErrorKind::kNeedsSession;
    into.needs_own_connection = traits.runs_alone;
    into.fingerprint = FingerprintOf(statement.sql);
    return std::nullopt;
  }

  std::unique_ptr<Connection> NewConnection(ConnectionId id, size_t /*lane*/,
                                            ConnectionEvents& events) override {
    return std::make_unique<PostgresConnection>(
        id, events,
        PostgresEnvironment{.conninfo = conninfo_,
                            .statement_timeout = statement_timeout_,
                            .prepared_max = prepared_max_,
                            .trace_comments = trace_comments_,
                            .loop = loop_,
                            .threads = threads_,
                            .classifier = classifier_});
  }

  bool has_notifications() const override { return true; }

  std::unique_ptr<NotificationSource> NewNotificationSource(
      NotificationSourceEvents& events) override {
    return std::make_unique<PostgresListener>(events, conninfo_, loop_, threads_);
  }

  DatabaseFacts facts() const override { return facts_; }

  bool facts_take_a_place() const override { return true; }

  void RefreshFacts(std::function<void(bool learnt)> done) override {
    threads_.Run([this, conninfo = conninfo_, version = classifier_.version(),
                  done = std::move(done)]() mutable {
      ControlReport report = AskServer(conninfo);
      loop_.Post([this, version, report = std::move(report), done = std::move(done)]() mutable {
        const bool learnt = report.error.empty();
        if (learnt) {
          facts_ = std::move(report.facts);
          // Whoever changed the catalogue meanwhile asks for it again.
          if (classifier_.version() == version) {
            classifier_.SetCatalog(std::move(report.catalog));
          }
        }
        done(learnt);
      });
    });
  }

 private:
  // What the simple protocol carries: it is alone on its connection, and without a history.
  Classification ClassifyPlain(const Statement& statement) {
    Classification classification;
    const auto found = TraitsOf(statement, classifier_);
    const StatementTraits& traits = *found;
    classification.refusal = traits.refusal;
    classification.transaction_control = traits.transaction_control;
    classification.may_write = !traits.pure_read;
    return classification;
  }

  const size_t prepared_max_;
  const bool trace_comments_;
  std::string conninfo_;
  Duration statement_timeout_;
  EventLoop& loop_;
  StatementClassifier classifier_;
  DatabaseFacts facts_;
  BlockingThreads threads_;  // Last: waits for its tasks before the rest goes.
};

}  // namespace

std::unique_ptr<Driver> NewPostgresDriver(PostgresConfig config, EventLoop& loop) {
  return std::make_unique<PostgresDriver>(std::move(config), loop);
}

}  // namespace dbsidecar::pool
