#include "dbsidecar/error.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "clients/cpp/src/failures.h"

namespace dbsidecar {
namespace {

template <typename Exception>
[[noreturn]] void ThrowAs(Failure failure) {
  throw Exception(std::move(failure));
}

struct SqlstateClass {
  std::string_view sqlstate;  // A whole one, or the two characters of a class.
  void (*throw_it)(Failure);
};

// The first row that fits decides.
constexpr SqlstateClass kSqlstateClasses[] = {
    {"23502", ThrowAs<NotNullViolation>},     {"23503", ThrowAs<ForeignKeyViolation>},
    {"23505", ThrowAs<UniqueViolation>},      {"23514", ThrowAs<CheckViolation>},
    {"23P01", ThrowAs<ExclusionViolation>},   {"23", ThrowAs<IntegrityViolation>},
    {"25006", ThrowAs<ReadOnlyViolation>},    {"25P02", ThrowAs<TransactionFailed>},
    {"40001", ThrowAs<SerializationFailure>}, {"40P01", ThrowAs<DeadlockDetected>},
    {"40", ThrowAs<TransactionRollback>},     {"42501", ThrowAs<InsufficientPrivilege>},
    {"42601", ThrowAs<SyntaxError>},          {"42703", ThrowAs<UndefinedColumn>},
    {"42883", ThrowAs<UndefinedFunction>},    {"42P01", ThrowAs<UndefinedTable>},
    {"55P03", ThrowAs<LockNotAvailable>},
};

[[noreturn]] void ThrowSqlError(Failure failure) {
  const std::string_view sqlstate = failure.sql->sqlstate;
  const auto row =
      std::find_if(std::begin(kSqlstateClasses), std::end(kSqlstateClasses),
                   [&](const SqlstateClass& one) { return sqlstate.starts_with(one.sqlstate); });
  if (row == std::end(kSqlstateClasses)) throw SqlError(std::move(failure));
  row->throw_it(std::move(failure));
  std::abort();  // It does not return.
}

}  // namespace

const std::string& Error::sqlstate() const {
  static const std::string kNone;
  return failure_->sql.has_value() ? failure_->sql->sqlstate : kNone;
}

void Throw(Failure failure) {
  if (failure.outcome_unknown) throw OutcomeUnknown(std::move(failure));
  if (failure.code == StatusCode::kUnavailable) throw Unavailable(std::move(failure));
  if (failure.code == StatusCode::kDeadlineExceeded) throw DeadlineExceeded(std::move(failure));
  if (failure.code == StatusCode::kCancelled) throw Cancelled(std::move(failure));
  if (failure.reason == "SESSION_NOT_FOUND") throw SessionLost(std::move(failure));
  if (failure.reason == "CONVERSION") throw ConversionError(std::move(failure));
  if (failure.sql.has_value()) ThrowSqlError(std::move(failure));
  if (failure.code == StatusCode::kResourceExhausted) throw ResourceExhausted(std::move(failure));
  throw Error(std::move(failure));
}

namespace internal {
namespace {

SqlReport ToReport(const v1::SqlError& error) {
  return {.sqlstate = error.sqlstate(),
          .severity = error.severity(),
          .message = error.message(),
          .detail = error.detail(),
          .hint = error.hint(),
          .position = error.position(),
          .schema = error.schema(),
          .table = error.table(),
          .column = error.column(),
          .datatype = error.datatype(),
          .constraint = error.constraint(),
          .where = error.where(),
          .sqlite_extended_code = error.sqlite_extended_code()};
}

}  // namespace

Failure MakeFailure(StatusCode code, std::string_view reason, std::string message) {
  Failure failure;
  failure.code = code;
  failure.reason = reason;
  failure.message = std::move(message);
  return failure;
}

Failure ToFailure(const v1::Error& error) {
  Failure failure =
      MakeFailure(static_cast<StatusCode>(error.code()), error.reason(), error.message());
  failure.outcome_unknown = error.reason() == "OUTCOME_UNKNOWN" || error.sql().outcome_unknown();
  if (error.has_retry_delay()) {
    failure.retry_delay = std::chrono::seconds(error.retry_delay().seconds()) +
                          std::chrono::nanoseconds(error.retry_delay().nanos());
  }
  // Without a SQLSTATE the message only says that the outcome is unknown.
  if (!error.sql().sqlstate().empty()) failure.sql = ToReport(error.sql());
  failure.metadata.insert(error.metadata().begin(), error.metadata().end());
  return failure;
}

Failure Invalid(std::string message) {
  return MakeFailure(StatusCode::kInvalidArgument, "INVALID_REQUEST", std::move(message));
}

Failure WrongUse(std::string message) {
  return MakeFailure(StatusCode::kFailedPrecondition, "WRONG_USE", std::move(message));
}

Failure FateUnknown(StatusCode code, std::string message) {
  Failure failure = MakeFailure(code, "OUTCOME_UNKNOWN", std::move(message));
  failure.outcome_unknown = true;
  return failure;
}

}  // namespace internal
}  // namespace dbsidecar
