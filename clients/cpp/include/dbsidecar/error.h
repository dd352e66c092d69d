// What is thrown when a call fails, and what an Outcome holds instead of a Result.
//
// There is one style: the blocking forms throw, futures rethrow from get(), and callbacks get an
// Outcome whose `failure()` is the same content without a throw. Everything that this library
// throws is an Error. Which class, by the first rule that fits:
//
//   OutcomeUnknown      the statement may have taken effect. Look before you run it again.
//   Unavailable         nothing took effect: try again later.
//   DeadlineExceeded    time was up, and nothing took effect.
//   Cancelled           you cancelled, and nothing took effect.
//   SessionLost         the transaction or session is gone and was rolled back: begin again.
//   SqlError            the database reported an error; the classes below it go by SQLSTATE.
//   ResourceExhausted   a limit: a queue is full, a result or a request too large.
//   ConversionError     a cell was read as what it is not, or does not exist.
//   Error               anything else; see `code()` and `reason()`.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

namespace dbsidecar {

// gRPC's status codes, by their numbers on the wire.
enum class StatusCode : int {
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// The database's own report, field for field: dbsidecar.v1.SqlError. Empty text and 0 = not said.
struct SqlReport {
  std::string sqlstate;  // Five characters.
  std::string severity;  // "ERROR", "FATAL" or "PANIC".
  std::string message;
  std::string detail;
  std::string hint;
  int position = 0;  // A character (not byte) of the statement, from 1.
  std::string schema;
  std::string table;
  std::string column;
  std::string datatype;
  std::string constraint;
  std::string where;
  int sqlite_extended_code = 0;
};

// Why a call failed: dbsidecar.v1.Error, field for field, or this library's own finding.
struct Failure {
  StatusCode code = StatusCode::kInternal;
  std::string message;  // For people.
  // For programs, as listed in error.proto: "SQL_ERROR", "NO_CONNECTION"... This library's own are
  // among them, plus "CONVERSION" and "WRONG_USE".
  std::string reason;
  // The statement was sent and its fate is not known.
  bool outcome_unknown = false;
  // Set where the same call (of a transaction: the whole transaction) may succeed later.
  std::optional<std::chrono::nanoseconds> retry_delay;
  std::optional<SqlReport> sql;
  std::map<std::string, std::string> metadata;
};

class Error : public std::runtime_error {
 public:
  explicit Error(Failure failure)
      : std::runtime_error(failure.message),
        failure_(std::make_shared<const Failure>(std::move(failure))) {}

  StatusCode code() const { return failure_->code; }
  const std::string& reason() const { return failure_->reason; }
  bool outcome_unknown() const { return failure_->outcome_unknown; }
  // Null unless the database spoke.
  const SqlReport* sql() const { return failure_->sql.has_value() ? &*failure_->sql : nullptr; }
  // "" unless the database spoke.
  const std::string& sqlstate() const;
  const Failure& failure() const { return *failure_; }

 private:
  std::shared_ptr<const Failure> failure_;  // Copying an exception must not throw.
};

// The statement was sent, and no answer tells what became of it. `code()` says why: kUnknown, the
// connection broke; kDeadlineExceeded, no answer in time; kCancelled, cancelled or client
// destroyed.
class OutcomeUnknown : public Error {
  using Error::Error;
};
class Unavailable : public Error {
  using Error::Error;
};
class DeadlineExceeded : public Error {
  using Error::Error;
};
class Cancelled : public Error {
  using Error::Error;
};
class SessionLost : public Error {
  using Error::Error;
};
class ResourceExhausted : public Error {
  using Error::Error;
};
class ConversionError : public Error {
  using Error::Error;
};

// The database reported an error. `sql()` is never null.
class SqlError : public Error {
  using Error::Error;
};

// Class 23.
class IntegrityViolation : public SqlError {
  using SqlError::SqlError;
};
class NotNullViolation : public IntegrityViolation {  // 23502
  using IntegrityViolation::IntegrityViolation;
};
class ForeignKeyViolation : public IntegrityViolation {  // 23503
  using IntegrityViolation::IntegrityViolation;
};
class UniqueViolation : public IntegrityViolation {  // 23505
  using IntegrityViolation::IntegrityViolation;
};
class CheckViolation : public IntegrityViolation {  // 23514
  using IntegrityViolation::IntegrityViolation;
};
class ExclusionViolation : public IntegrityViolation {  // 23P01
  using IntegrityViolation::IntegrityViolation;
};

// Class 40: the transaction was rolled back; run the whole of it again.
class TransactionRollback : public SqlError {
  using SqlError::SqlError;
};
class SerializationFailure : public TransactionRollback {  // 40001
  using TransactionRollback::TransactionRollback;
};
class DeadlockDetected : public TransactionRollback {  // 40P01
  using TransactionRollback::TransactionRollback;
};

class LockNotAvailable : public SqlError {  // 55P03
  using SqlError::SqlError;
};
class ReadOnlyViolation : public SqlError {  // 25006: a write where only reads are allowed.
  using SqlError::SqlError;
};
class TransactionFailed : public SqlError {  // 25P02: an earlier statement has failed.
  using SqlError::SqlError;
};
class InsufficientPrivilege : public SqlError {  // 42501
  using SqlError::SqlError;
};
class SyntaxError : public SqlError {  // 42601
  using SqlError::SqlError;
};
class UndefinedColumn : public SqlError {  // 42703
  using SqlError::SqlError;
};
class UndefinedFunction : public SqlError {  // 42883
  using SqlError::SqlError;
};
class UndefinedTable : public SqlError {  // 42P01
  using SqlError::SqlError;
};

// Throws the class that fits.
[[noreturn]] void Throw(Failure failure);

}  // namespace dbsidecar
