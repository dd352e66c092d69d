#include "pool/postgres/copy_exchange.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

namespace dbsidecar::pool {
namespace {

CopyFormat FormatOf(const PGresult* result) {
  return {.binary = PQbinaryTuples(result) == 1,
          .columns = static_cast<uint32_t>(PQnfields(result))};
}

}  // namespace

// --- Out. ---

CopyOutExchange::CopyOutExchange(const Call& call, const std::optional<TimeoutLift>& lift)
    : PlainExchange(call, lift,
                    {{.kind = Step::Kind::kText, .sql = std::string(call.statement.sql)}}),
      chunk_bytes_(call.part_limits.bytes_max) {}

PlainExchange::Progress CopyOutExchange::Take(PGconn* /*conn*/, const PGresult* result,
                                              Outcome& outcome) {
  if (PQresultStatus(result) == PGRES_COPY_OUT) {
    copying_ = true;
    outcome.copy.format = FormatOf(result);
  } else if (PQresultStatus(result) == PGRES_COMMAND_OK) {
    outcome.result.command_tag = PQcmdStatus(const_cast<PGresult*>(result));
    NoteCompleted();
  }
  return Progress::kWaits;
}

// A message of the server is a row; many make a part.
PlainExchange::Progress CopyOutExchange::Carry(PGconn* conn, Outcome& outcome) {
  while (copying_) {
    if (!cancelled() && outcome.copy.bytes.size() >= chunk_bytes_) return Progress::kPart;
    char* row = nullptr;
    const int size = PQgetCopyData(conn, &row, 1);
    const std::unique_ptr<char, decltype(&PQfreemem)> owner(row, &PQfreemem);
    if (size > 0) {
      outcome.copy_bytes += static_cast<uint64_t>(size);
      if (!cancelled()) outcome.copy.bytes.append(row, static_cast<size_t>(size));
    } else if (size == 0) {
      break;
    } else {
      copying_ = false;  // The result says whether it went well.
    }
  }
  return Progress::kWaits;
}

// --- In. ---

CopyInExchange::CopyInExchange(const Call& call, const std::optional<TimeoutLift>& lift)
    : PlainExchange(call, lift,
                    {{.kind = Step::Kind::kText, .sql = std::string(call.statement.sql)}}),
      source_(*call.source) {}

PlainExchange::Progress CopyInExchange::Take(PGconn* /*conn*/, const PGresult* result,
                                             Outcome& outcome) {
  if (PQresultStatus(result) == PGRES_COPY_IN) {
    copying_ = true;
    outcome.copy.format = FormatOf(result);
    return Progress::kPart;
  }
  if (PQresultStatus(result) == PGRES_COMMAND_OK) {
    outcome.result.command_tag = PQcmdStatus(const_cast<PGresult*>(result));
    NoteCompleted();
  }
  return Progress::kWaits;
}

PlainExchange::Progress CopyInExchange::Carry(PGconn* conn, Outcome& outcome) {
  std::string data;
  while (copying_) {
    // The server waits for data and does not look at a cancel request meanwhile.
    if (cancelled() || failed_) return End(conn, "cancelled");
    const int left = PQflush(conn);
    if (left != 0) return left > 0 ? Progress::kWaits : Progress::kLost;
    switch (source_.TakeNext(data)) {
      case CopySource::Next::kData:
        outcome.copy_bytes += data.size();
        if (PQputCopyData(conn, data.data(), static_cast<int>(data.size())) != 1) {
          return Progress::kLost;
        }
        break;
      case CopySource::Next::kNothing:
        return Progress::kStarved;
      case CopySource::Next::kEnd:
        return End(conn, nullptr);
      case CopySource::Next::kAbort:
        aborted_ = true;
        abort_reason_ = std::move(data);
        return End(conn, "given up by the caller");
    }
  }
  return Progress::kWaits;
}

PlainExchange::Progress CopyInExchange::End(PGconn* conn, const char* reason) {
  copying_ = false;
  if (PQputCopyEnd(conn, reason) != 1 || PQflush(conn) < 0) return Progress::kLost;
  return Progress::kWaits;
}

void CopyInExchange::OnError(Error& error) {
  if (!aborted_ || error.sql.sqlstate != "57014") return;
  error =
      OwnError(ErrorKind::kCancelled,
               abort_reason_.empty()
                   ? "the caller gave the copy up; nothing of it stays behind"
                   : fmt::format("the caller gave the copy up, and nothing of it stays behind: {}",
                                 abort_reason_));
}

}  // namespace dbsidecar::pool
