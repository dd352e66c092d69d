#include "pool/postgres/transaction_commands.h"

namespace dbsidecar::pool {

std::string BeginText(const BeginOptions& options) {
  std::string sql = "BEGIN";
  switch (options.isolation) {
    case BeginOptions::Isolation::kDefault:
      break;
    case BeginOptions::Isolation::kReadCommitted:
      sql += " ISOLATION LEVEL READ COMMITTED";
      break;
    case BeginOptions::Isolation::kRepeatableRead:
      sql += " ISOLATION LEVEL REPEATABLE READ";
      break;
    case BeginOptions::Isolation::kSerializable:
      sql += " ISOLATION LEVEL SERIALIZABLE";
      break;
  }
  if (options.read_only) sql += " READ ONLY";
  if (options.deferrable) sql += " DEFERRABLE";
  return sql;
}

}  // namespace dbsidecar::pool
