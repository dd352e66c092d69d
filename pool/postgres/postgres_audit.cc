// The part of PostgresConnection that looks at a session before and after its reset.
#include "pool/postgres/postgres_audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pool/postgres/postgres_connection.h"

namespace dbsidecar::pool {
namespace {

// A role may also be the database's doing (ALTER ROLE ... SET role), and is there again after a
// reset; all else can only be a session's.
bool IsOfASession(const std::string& finding) { return !finding.starts_with("role "); }

}  // namespace

// Names are qualified, since a session may have set search_path as it liked. What the driver itself
// prepared is not the session's.
const char kAuditText[] = R"(
select 'setting ' || name from pg_catalog.pg_settings where source = 'session'
union all
select 'role ' || current_user where current_user <> session_user
union all
select 'temporary ' || case relkind when 'v' then 'view ' when 'S' then 'sequence ' else 'table ' end
       || relname
  from pg_catalog.pg_class
  where relnamespace = pg_catalog.pg_my_temp_schema() and relkind in ('r', 'v', 'S', 'p', 'f', 'm')
union all
select 'temporary function ' || proname from pg_catalog.pg_proc
  where pronamespace = pg_catalog.pg_my_temp_schema()
union all
select 'temporary type ' || typname from pg_catalog.pg_type
  where typnamespace = pg_catalog.pg_my_temp_schema() and typtype in ('d', 'e', 'r')
union all
select 'prepared statement ' || name from pg_catalog.pg_prepared_statements
  where pg_catalog.left(name, 10) <> 'dbsidecar_'
union all
select 'cursor ' || name from pg_catalog.pg_cursors where is_holdable
union all
select 'channel ' || channel from pg_catalog.pg_listening_channels() channel
union all
select 'advisory lock ' || case objsubid
         when 1 then (classid::int8 << 32 | objid::int8)::text
         else classid::int4 || ', ' || objid::int4 end
  from pg_catalog.pg_locks where locktype = 'advisory' and pid = pg_catalog.pg_backend_pid()
union all
select 'temporary replication slot ' || slot_name from pg_catalog.pg_replication_slots
  where temporary and active_pid = pg_catalog.pg_backend_pid())";

void PostgresConnection::AuditAndReset() {
  audit_ = Audit();
  RollBackWhatIsOpen();
  Send(std::make_unique<Operation>(Operation::Kind::kAuditBefore), true);
  Reset();
  Send(std::make_unique<Operation>(Operation::Kind::kAuditAfter), true);
}

void PostgresConnection::TakeFindings(const Operation& operation, const PGresult* result) {
  const bool before = operation.kind == Operation::Kind::kAuditBefore;
  if (!before && operation.kind != Operation::Kind::kAuditAfter) return;
  AuditFindings& findings = audit_->findings;
  for (int row = 0; row < PQntuples(result); ++row) {
    (before ? findings.left : findings.survived).emplace_back(PQgetvalue(result, row, 0));
  }
}

void PostgresConnection::CompleteAudit(const Operation& operation) {
  if (operation.outcome.error) audit_->failure = operation.outcome.error->message;
  if (operation.kind == Operation::Kind::kAuditBefore) {
    if (!audit_->failure.empty()) {
      audit_->findings.left.push_back("unknown: " + std::exchange(audit_->failure, {}));
    }
    return;
  }
  Audit audit = std::move(*audit_);
  audit_.reset();
  AuditFindings& findings = audit.findings;
  std::erase_if(findings.left, [&](const std::string& finding) {
    return std::find(findings.survived.begin(), findings.survived.end(), finding) !=
           findings.survived.end();
  });
  std::erase_if(findings.survived, [](const std::string& it) { return !IsOfASession(it); });
  if (!audit.failure.empty()) findings.survived.push_back("unknown: " + audit.failure);
  const bool clean = audit.reset && findings.survived.empty();
  events_.OnAudited(id_, findings);
  events_.OnReset(id_, clean);
}

}  // namespace dbsidecar::pool
