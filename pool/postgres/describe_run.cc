#include "pool/postgres/describe_run.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "pool/postgres/call_settings.h"
#include "pool/postgres/postgres_error.h"
#include "pool/postgres/postgres_result.h"

namespace dbsidecar::pool {
namespace {

using Json = nlohmann::json;

// PostgreSQL's FirstNormalObjectId: what is below it is the same in every database.
constexpr uint32_t kFirstOwnOid = 16384;

// Those of $1 and what they are made of, but for PostgreSQL's own.
constexpr char kTypes[] = R"sql(
WITH RECURSIVE wanted (oid) AS (
  SELECT unnest($1::pg_catalog.oid[])
  UNION
  SELECT part.oid FROM wanted w JOIN pg_catalog.pg_type t ON t.oid = w.oid
  CROSS JOIN LATERAL (
    SELECT t.typelem UNION ALL SELECT t.typbasetype
    UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
    UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
      WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) part (oid)
  WHERE part.oid >= 16384)
SELECT t.oid, n.nspname, t.typname,
  CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN 'a' ELSE t.typtype::pg_catalog.text END,
  CASE WHEN t.typcategory = 'A' THEN t.typelem
       WHEN t.typtype = 'd' THEN t.typbasetype
       ELSE coalesce((SELECT r.rngsubtype FROM pg_catalog.pg_range r
                      WHERE t.oid IN (r.rngtypid, r.rngmultitypid)), 0) END,
  coalesce((SELECT pg_catalog.json_agg(e.enumlabel ORDER BY e.enumsortorder)
            FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid), '[]'),
  coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
              a.attname, a.atttypid::pg_catalog.int8, a.atttypmod, a.attrelid::pg_catalog.int8,
              a.attnum) ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute a
            WHERE t.typrelid <> 0 AND a.attrelid = t.typrelid AND a.attnum > 0
              AND NOT a.attisdropped), '[]')
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.oid IN (SELECT oid FROM wanted) ORDER BY t.oid)sql";

TypeInfo::Kind KindOf(std::string_view type) {
  using Kind = TypeInfo::Kind;
  switch (type.empty() ? ' ' : type[0]) {
    case 'a':
      return Kind::kArray;
    case 'b':
      return Kind::kBase;
    case 'c':
      return Kind::kComposite;
    case 'd':
      return Kind::kDomain;
    case 'e':
      return Kind::kEnum;
    case 'm':
      return Kind::kMultirange;
    case 'p':
      return Kind::kPseudo;
    case 'r':
      return Kind::kRange;
  }
  return Kind::kUnknown;
}

uint32_t OidOf(std::string_view text) {
  uint32_t oid = 0;
  std::from_chars(text.data(), text.data() + text.size(), oid);
  return oid;
}

ColumnInfo AttributeOf(const Json& row) {
  ColumnInfo attribute;
  attribute.name = row[0];
  attribute.type_oid = row[1];
  attribute.type_modifier = row[2];
  attribute.table_oid = row[3];
  attribute.column_number = row[4];
  return attribute;
}

}  // namespace

DescribeRun::DescribeRun(const Call& call, PGconn* conn, bool in_transaction)
    : call_(call), conn_(conn), in_transaction_(in_transaction) {}

bool DescribeRun::Send() {
  if (stage_ == Stage::kDescribe) {
    stage_ = Stage::kTypes;
    return SendDescribe();
  }
  if (stage_ == Stage::kSent || !expected_.empty()) return true;
  stage_ = Stage::kSent;
  return outcome_.error || stopped_ || SendTypes();
}

bool DescribeRun::SendDescribe() {
  const Statement& statement = call_.statement;
  call_.description->types.clear();
  if (in_transaction_ && !SendControl("SAVEPOINT dbsidecar_describe")) return false;
  if (!statement.settings.none()) {
    const SettingsCommand command = CommandFor(statement.settings, SettingsReach::kTransaction);
    std::vector<const char*> values;
    for (const std::string& value : command.values) values.push_back(value.c_str());
    expected_.push_back(Command::kControl);
    if (PQsendQueryParams(conn_, command.sql.c_str(), static_cast<int>(values.size()), nullptr,
                          values.data(), nullptr, nullptr, 0) != 1) {
      return false;
    }
  }
  std::vector<Oid> types;
  for (const Value& value : statement.parameters) types.push_back(value.type_oid);
  expected_.push_back(Command::kDescribe);
  expected_.push_back(Command::kDescribe);
  if (PQsendPrepare(conn_, "", std::string(statement.sql).c_str(), static_cast<int>(types.size()),
                    types.data()) != 1 ||
      PQsendDescribePrepared(conn_, "") != 1 || !SendSync()) {
    return false;
  }
  if (!in_transaction_) return true;
  return SendControl("ROLLBACK TO SAVEPOINT dbsidecar_describe") &&
         SendControl("RELEASE SAVEPOINT dbsidecar_describe") && SendSync();
}

bool DescribeRun::SendTypes() {
  const std::string types = UnknownTypes();
  if (types.empty()) return true;
  const char* values[] = {types.c_str()};
  expected_.push_back(Command::kTypes);
  return PQsendQueryParams(conn_, kTypes, 1, nullptr, values, nullptr, nullptr, 0) == 1 &&
         SendSync();
}

bool DescribeRun::SendControl(const char* sql) {
  expected_.push_back(Command::kControl);
  return PQsendQueryParams(conn_, sql, 0, nullptr, nullptr, nullptr, nullptr, 0) == 1;
}

bool DescribeRun::SendSync() {
  expected_.push_back(Command::kSync);
  return PQpipelineSync(conn_) == 1;
}

// As PostgreSQL's text of an array; empty for none.
std::string DescribeRun::UnknownTypes() const {
  std::set<uint32_t> oids;
  for (const uint32_t oid : call_.description->parameter_types) oids.insert(oid);
  for (const ColumnInfo& column : call_.description->columns) oids.insert(column.type_oid);
  oids.erase(oids.begin(), oids.lower_bound(kFirstOwnOid));
  return oids.empty() ? "" : fmt::format("{{{}}}", fmt::join(oids, ","));
}

void DescribeRun::Take(const PGresult* result) {
  switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
      if (expected_.front() != Command::kDescribe) break;
      // The answer to the parse has nothing, and is replaced by that to the describe.
      call_.description->parameter_types.clear();
      for (int i = 0; i < PQnparams(result); ++i) {
        call_.description->parameter_types.push_back(PQparamtype(result, i));
      }
      call_.description->columns = ColumnsOf(result);
      break;
    case PGRES_TUPLES_OK:
      if (expected_.front() == Command::kTypes) TakeTypes(result);
      break;
    case PGRES_FATAL_ERROR:
    case PGRES_BAD_RESPONSE:
      fatal_ = fatal_ || IsFatal(result);
      if (outcome_.error) break;
      outcome_.error = DatabaseError(result);
      if (expected_.front() != Command::kDescribe) outcome_.error->sql.position = 0;
      break;
    case PGRES_EMPTY_QUERY:
    case PGRES_NONFATAL_ERROR:
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
    case PGRES_SINGLE_TUPLE:
    case PGRES_PIPELINE_ABORTED:
    case PGRES_PIPELINE_SYNC:
      break;
  }
}

void DescribeRun::TakeTypes(const PGresult* result) {
  for (int row = 0; row < PQntuples(result); ++row) {
    TypeInfo& type = call_.description->types.emplace_back();
    type.oid = OidOf(PQgetvalue(result, row, 0));
    type.schema = PQgetvalue(result, row, 1);
    type.name = PQgetvalue(result, row, 2);
    type.kind = KindOf(PQgetvalue(result, row, 3));
    type.base_oid = OidOf(PQgetvalue(result, row, 4));
    const Json labels = Json::parse(PQgetvalue(result, row, 5), nullptr, false);
    if (!labels.is_discarded()) type.labels = labels.get<std::vector<std::string>>();
    const Json attributes = Json::parse(PQgetvalue(result, row, 6), nullptr, false);
    if (attributes.is_discarded()) continue;
    for (const Json& attribute : attributes) type.attributes.push_back(AttributeOf(attribute));
  }
}

Outcome DescribeRun::Lost(const std::string& reason) {
  if (!outcome_.error) {
    outcome_.error = OwnError(ErrorKind::kConnectionLost,
                              fmt::format("the connection was lost; nothing was run: {}", reason));
  }
  return std::move(outcome_);
}

}  // namespace dbsidecar::pool
