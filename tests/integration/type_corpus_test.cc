// Every PostgreSQL type as the sidecar delivers it, against what libpqxx and libpq say of the same
// statement on the same database.
#include <libpq-fe.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <pqxx/pqxx>

#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

enum TypeOid : uint32_t {
  kBoolOid = 16,
  kByteaOid = 17,
  kInt8Oid = 20,
  kInt2Oid = 21,
  kInt4Oid = 23,
  kOidOid = 26,
  kFloat4Oid = 700,
  kFloat8Oid = 701,
};

constexpr const char* kSchema = R"(
  create type mood as enum ('sad', 'ok', 'very happy');
  create domain positive as integer check (value > 0);
  create domain short_text as varchar(10);
  create type pair as (number integer, label text);
  create table everything (id serial primary key, flag boolean, label varchar(20), amount numeric(10, 2));
  insert into everything (flag, label, amount) values (true, 'one', 1.50), (null, '', null), (false, 'drei', -2);
)";

constexpr const char* kStatements[] = {
    "select true, false, null::bool",
    "select '-32768'::int2, 32767::int2, 0::int2, null::int2",
    "select '-2147483648'::int4, 2147483647, null::int4",
    "select '-9223372036854775808'::int8, 9223372036854775807::int8, 9007199254740993::int8",
    "select 0::oid, 4294967295::oid",
    "select 1.5::float4, 0.1::float4, 'NaN'::float4, 'Infinity'::float4, '-Infinity'::float4, "
    "'-0'::float4",
    "select 3.4028235e38::float4, 1e-45::float4",
    "select 0.1::float8, 1e308::float8, 5e-324::float8, 'NaN'::float8, 'Infinity'::float8, "
    "'-Infinity'::float8",
    "select 1.7976931348623157e308::float8, 2.2250738585072014e-308::float8, '-0'::float8, "
    "null::float8",
    "select 0::numeric, 123456789012345678901234567890.123456789::numeric, 'NaN'::numeric, "
    "'Infinity'::numeric",
    "select 1.50::numeric(10, 2), -0.000000001::numeric, 1e100::numeric",
    "select 'text', ''::text, 'smörgåsbord \U0001F600'::text, null::text, "
    "E'tab\\there\\nline'::text",
    "select 'abc'::varchar(10), ''::varchar, 'x'::char(5), 'y'::\"char\", 'name'::name",
    "select repeat('long ', 20000)",
    R"(select '\x'::bytea, '\x00ff10deadbeef'::bytea, 'plain'::bytea, null::bytea)",
    "select '2024-02-29'::date, '0001-01-01 BC'::date, 'infinity'::date, '294276-12-31'::date",
    "select '23:59:59.999999'::time, '24:00'::time, '12:00+05:30'::timetz",
    "select '2024-02-29 12:34:56.789'::timestamp, '-infinity'::timestamp, "
    "'2024-01-01'::timestamptz",
    "select '2024-06-01 00:00+02'::timestamptz, '4713-01-01 BC'::timestamp",
    "select '1 year 2 mons 3 days 04:05:06.7'::interval, '-1 day'::interval, '0'::interval",
    "select 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
    R"(select '{"a": [1, 2.50, null], "a": "ä"}'::json, '{"b": 1.10, "a": [true]}'::jsonb, 'null'::jsonb)",
    "select '{}'::int4[], '{1,NULL,3}'::int4[], '{{1,2},{3,4}}'::int8[], '[2:3]={a,b}'::text[]",
    R"(select '{"with, comma","with \"quote\"","",NULL,"NULL"}'::text[])",
    R"(select '{"\\x00ff"}'::bytea[], '{t,f}'::bool[], '{1.5,NaN}'::float8[])",
    "select 'very happy'::mood, null::mood, '{sad,\"very happy\"}'::mood[]",
    "select 5::positive, 'short'::short_text, null::positive",
    "select row(1, 'a b')::pair, row(null, null)::pair, row(1, null, 'x')",
    "select '[1,10)'::int4range, 'empty'::int4range, '(,5]'::int8range, "
    "'{[1,2],[5,7]}'::int4multirange",
    "select '[2024-01-01,2024-02-01)'::daterange, numrange(1.1, 2.2)",
    "select '192.168.1.0/24'::cidr, '::1'::inet, '08:00:2b:01:02:03'::macaddr",
    "select '(1,2)'::point, '<(0,0),5>'::circle, '((0,0),(1,1))'::box",
    "select 'fat & rat'::tsquery, 'a fat cat'::tsvector, B'1010'::bit(4), B'10'::varbit",
    "select '$1,234.50'::money, '<a>b</a>'::xml, '16/B374D848'::pg_lsn",
    "select 'everything'::regclass, 'now'::regproc, 'int4'::regtype",
    "select 1 as one, 2 as one, 3 as \"with space\", 4 as \"\u00e4\"",
    "select * from everything order by id",
    "select id, flag, label, amount from everything where false",
    "select generate_series(1, 1000) as n, case when random() < 2 then null::text end as nothing",
    "select case when n % 2 = 0 then n end, case when n % 3 = 0 then 't' else '' end from "
    "generate_series(0, 20) n",
    "select",
    "select from generate_series(1, 3)",
    "values (1, 'a'), (2, null)",
    "show server_version_num",
    "explain (costs off) select * from everything",
    "table everything",
    "with t as (select 1 as a) select a from t",
};

class TypeCorpusTest : public ::testing::TestWithParam<const char*> {
 public:
  static void SetUpTestSuite() {
    sidecar_ = new PostgresSidecar();
    reference_ = new pqxx::connection(sidecar_->Url());
    pqxx::nontransaction(*reference_).exec(kSchema);
  }
  static void TearDownTestSuite() {
    delete reference_;
    delete sidecar_;
  }

 protected:
  static pqxx::result Reference(const std::string& sql) {
    pqxx::nontransaction work(*reference_);
    return work.exec(sql);
  }
  static QueryOutcome Query(const std::string& sql, v1::ResultFormat format) {
    v1::QueryRequest request = MakeQuery(sql);
    request.set_format(format);
    return sidecar_->client.Run(request);
  }

  static PostgresSidecar* sidecar_;
  static pqxx::connection* reference_;
};

PostgresSidecar* TypeCorpusTest::sidecar_ = nullptr;
pqxx::connection* TypeCorpusTest::reference_ = nullptr;

std::string Unescape(const std::string& bytea) {
  size_t size = 0;
  unsigned char* raw =
      PQunescapeBytea(reinterpret_cast<const unsigned char*>(bytea.c_str()), &size);
  std::string bytes(reinterpret_cast<char*>(raw), size);
  PQfreemem(raw);
  return bytes;
}

// Which array a column of this type travels in.
bool InItsArray(const v1::Column& column, uint32_t type_oid) {
  const bool ints = column.ints_size() > 0;
  const bool doubles = column.doubles_size() > 0;
  const bool bools = column.bools_size() > 0;
  const bool strings = column.strings_size() > 0;
  const bool blobs = column.blobs_size() > 0;
  const int filled = ints + doubles + bools + strings + blobs + (column.mixed_size() > 0);
  if (filled == 0) return true;
  if (filled > 1) return false;
  switch (type_oid) {
    case kBoolOid:
      return bools;
    case kByteaOid:
      return blobs;
    case kInt2Oid:
    case kInt4Oid:
    case kInt8Oid:
    case kOidOid:
      return ints;
    case kFloat4Oid:
    case kFloat8Oid:
      return doubles;
    default:
      return strings;
  }
}

void ExpectSameDouble(const v1::Column& column, int row, const std::string& expected,
                      uint32_t type_oid) {
  const double number = type_oid == kFloat4Oid ? std::strtof(expected.c_str(), nullptr)
                                               : std::strtod(expected.c_str(), nullptr);
  const double got = column.doubles(row);
  if (std::isnan(number)) {
    EXPECT_TRUE(std::isnan(got)) << got;
  } else if (type_oid == kFloat4Oid) {
    EXPECT_EQ(static_cast<float>(got), static_cast<float>(number));
    EXPECT_EQ(std::signbit(got), std::signbit(number));
  } else {
    EXPECT_EQ(std::bit_cast<uint64_t>(got), std::bit_cast<uint64_t>(number))
        << got << " is not " << expected;
  }
}

TEST_P(TypeCorpusTest, TypedColumnsHaveTheValuesThatLibpqxxSees) {
  const pqxx::result expected = Reference(GetParam());
  const QueryOutcome outcome = Query(GetParam(), v1::RESULT_FORMAT_COLUMNS);
  ASSERT_TRUE(outcome.ok()) << outcome;
  const v1::ResultSet& result = outcome.result();
  ASSERT_EQ(result.columns_size(), static_cast<int>(expected.columns()));
  if (expected.columns() > 0) {
    ASSERT_EQ(result.row_count(), expected.size());
    ASSERT_EQ(result.data_size(), result.columns_size());
  }
  for (int c = 0; c < result.columns_size(); ++c) {
    const auto column = static_cast<pqxx::row::size_type>(c);
    const uint32_t type_oid = expected.column_type(column);
    EXPECT_EQ(result.columns(c).name(), expected.column_name(column));
    EXPECT_EQ(result.columns(c).type_oid(), type_oid) << "column " << c;
    EXPECT_EQ(result.columns(c).table_oid(), expected.column_table(column));
    EXPECT_TRUE(InItsArray(result.data(c), type_oid)) << result.data(c).ShortDebugString();
    for (int r = 0; r < static_cast<int>(expected.size()); ++r) {
      const auto field = expected[static_cast<pqxx::result::size_type>(r)][column];
      SCOPED_TRACE("row " + std::to_string(r) + ", column " + std::to_string(c));
      const auto cell = outcome.Cell(r, c);
      ASSERT_EQ(!cell.has_value(), field.is_null());
      if (field.is_null()) continue;
      if (type_oid == kFloat4Oid || type_oid == kFloat8Oid) {
        ASSERT_LT(r, result.data(c).doubles_size());
        ExpectSameDouble(result.data(c), r, field.c_str(), type_oid);
      } else {
        EXPECT_EQ(*cell, type_oid == kByteaOid ? Unescape(field.c_str()) : field.c_str());
      }
    }
  }
}

TEST_P(TypeCorpusTest, TextColumnsAreWhatPostgresqlWrites) {
  const pqxx::result expected = Reference(GetParam());
  const QueryOutcome outcome = Query(GetParam(), v1::RESULT_FORMAT_TEXT_COLUMNS);
  ASSERT_TRUE(outcome.ok()) << outcome;
  for (int c = 0; c < static_cast<int>(expected.columns()); ++c) {
    for (int r = 0; r < static_cast<int>(expected.size()); ++r) {
      const auto field =
          expected[static_cast<pqxx::result::size_type>(r)][static_cast<pqxx::row::size_type>(c)];
      SCOPED_TRACE("row " + std::to_string(r) + ", column " + std::to_string(c));
      const auto cell = outcome.Cell(r, c);
      ASSERT_EQ(!cell.has_value(), field.is_null());
      if (!cell) continue;
      EXPECT_EQ(*cell, field.c_str());
    }
  }
}

TEST_P(TypeCorpusTest, RowsHaveTheSameCellsAsColumns) {
  if (std::string(GetParam()).find("random()") != std::string::npos) return;
  const QueryOutcome columns = Query(GetParam(), v1::RESULT_FORMAT_COLUMNS);
  const QueryOutcome rows = Query(GetParam(), v1::RESULT_FORMAT_ROWS);
  ASSERT_TRUE(rows.ok()) << rows;
  EXPECT_EQ(rows.result().data_size(), 0);
  ASSERT_EQ(rows.result().row_count(), columns.result().row_count());
  ASSERT_EQ(rows.result().rows_size(), static_cast<int>(rows.result().row_count()));
  for (int r = 0; r < rows.result().rows_size(); ++r) {
    for (int c = 0; c < columns.result().columns_size(); ++c) {
      EXPECT_EQ(rows.Cell(r, c), columns.Cell(r, c)) << "row " << r << ", column " << c;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Corpus, TypeCorpusTest, ::testing::ValuesIn(kStatements));

// A parameter of each kind comes back as it was sent.
struct Echo {
  std::string sql;
  v1::Value value;
  std::string expected;
};

template <typename T>
Echo EchoOf(const std::string& sql, const T& value, const std::string& expected) {
  Echo echo{sql, {}, expected};
  test_support::SetValue(echo.value, value);
  return echo;
}

TEST(ParameterTest, EveryKindOfParameterArrivesAsItWasSent) {
  PostgresSidecar fixture;
  const std::string bytes("\0\x01\xff'\\", 5);
  const Echo echoes[] = {
      EchoOf("select $1::bool", true, "t"),
      EchoOf("select $1::bool", false, "f"),
      EchoOf("select $1::int8", INT64_MIN, "-9223372036854775808"),
      EchoOf("select $1::int8", INT64_MAX, "9223372036854775807"),
      EchoOf("select $1::int2", -7, "-7"),
      EchoOf("select $1::numeric", 12, "12"),
      EchoOf("select $1::text", 12, "12"),
      EchoOf("select $1::float8", 0.1, "0.1"),
      EchoOf("select $1::float8", std::nan(""), "nan"),
      EchoOf("select $1::float8", -INFINITY, "-inf"),
      EchoOf("select $1::text", "", ""),
      EchoOf("select $1::text", "it's \\ \"quoted\" \xc3\xa4", "it's \\ \"quoted\" \xc3\xa4"),
      EchoOf("select $1", "untyped", "untyped"),
      EchoOf("select $1::bytea", Bytes{bytes}, bytes),
      EchoOf("select $1::bytea", Bytes{""}, ""),
      EchoOf("select $1::text", nullptr, "<NULL>"),
      EchoOf("select $1::int4", nullptr, "<NULL>"),
      EchoOf("select $1::numeric", "123456789012345678901234567890.5",
             "123456789012345678901234567890.5"),
      EchoOf("select $1::jsonb", R"({"a": 1})", R"({"a": 1})"),
      EchoOf("select ($1::int[])[2]", "{1,2,3}", "2"),
      EchoOf("select $1::uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
             "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
      EchoOf("select $1::date + 1", "2024-02-28", "2024-02-29"),
  };
  for (const Echo& echo : echoes) {
    SCOPED_TRACE(echo.sql + " with " + echo.value.ShortDebugString());
    const QueryOutcome outcome = fixture.client.Query(echo.sql, echo.value);
    ASSERT_TRUE(outcome.ok()) << outcome;
    EXPECT_EQ(outcome.Scalar(), echo.expected);
  }
}

TEST(ParameterTest, ATypeOidDecidesWhereTheStatementLeavesTheTypeOpen) {
  PostgresSidecar fixture;
  v1::Value number;
  number.set_int_value(7);
  number.set_type_oid(kInt8Oid);
  const QueryOutcome outcome = fixture.client.Query("select pg_typeof($1)::text, $1", number);
  ASSERT_TRUE(outcome.ok()) << outcome;
  EXPECT_EQ(outcome.Cell(0, 0), "bigint");
  EXPECT_EQ(outcome.result().columns(1).type_oid(), kInt8Oid);
}

struct ResultDeleter {
  void operator()(PGresult* result) const { PQclear(result); }
};
struct ConnectionDeleter {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
using PqResult = std::unique_ptr<PGresult, ResultDeleter>;
using PqConnection = std::unique_ptr<PGconn, ConnectionDeleter>;

std::string Field(const PGresult* result, int field) {
  const char* text = PQresultErrorField(result, field);
  return text == nullptr ? "" : text;
}

TEST(CommandTagTest, TagsAndCountsAreThoseOfPostgresql) {
  PostgresSidecar fixture;
  const PqConnection reference(PQconnectdb(fixture.Url().c_str()));
  // Each runs on two tables alike: %s is replaced.
  const char* statements[] = {
      "create table %s (id int primary key, label text)",
      "insert into %s select n, 'x' from generate_series(1, 5) n",
      "insert into %s values (6, 'y') returning id, label",
      "insert into %s values (6, 'y') on conflict do nothing",
      "update %s set label = 'z' where id < 3",
      "update %s set label = 'z' where id > 100 returning id",
      ("merge into %s t using (values (1), (7)) v(id) on t.id = v.id when matched then update set "
       "label = 'm' when not matched then insert values (v.id, 'm')"),
      "select * from %s",
      "delete from %s where id = 1",
      "with gone as (delete from %s where id = 2 returning id) select count(*) from gone",
      "alter table %s add column extra int default 3",
      "create index on %s (label)",
      "analyze %s",
      "comment on table %s is 'a table'",
      "explain select * from %s",
      "create table %s_copy as select * from %s",
      "create materialized view %s_view as select * from %s",
      "refresh materialized view %s_view",
      "vacuum %s",
      "create index concurrently on %s (extra)",
      "reindex table %s",
      "truncate %s",
      "drop table %s cascade",
      "do $$ begin perform 1; end $$",
  };
  const auto replace = [](std::string text, const std::string& name) {
    for (size_t at = text.find("%s"); at != std::string::npos; at = text.find("%s", at)) {
      text.replace(at, 2, name);
    }
    return text;
  };
  for (const char* statement : statements) {
    SCOPED_TRACE(statement);
    const PqResult expected(PQexecParams(reference.get(), replace(statement, "theirs").c_str(), 0,
                                         nullptr, nullptr, nullptr, nullptr, 0));
    ASSERT_NE(PQresultStatus(expected.get()), PGRES_FATAL_ERROR)
        << PQresultErrorMessage(expected.get());
    const QueryOutcome outcome = fixture.client.Query(replace(statement, "ours"));
    ASSERT_TRUE(outcome.ok()) << outcome;
    const std::string tag = PQcmdStatus(expected.get());
    EXPECT_EQ(outcome.result().command_tag(), tag);
    const bool modifies = tag.rfind("INSERT", 0) == 0 || tag.rfind("UPDATE", 0) == 0 ||
                          tag.rfind("DELETE", 0) == 0 || tag.rfind("MERGE", 0) == 0;
    EXPECT_EQ(outcome.result().rows_affected(),
              modifies ? std::atoll(PQcmdTuples(expected.get())) : -1);
  }
}

struct Failure {
  const char* sql;
  const char* code_and_sqlstate;
};

TEST(ErrorFieldsTest, AFailureCarriesEveryFieldThatPostgresqlReported) {
  PostgresSidecar fixture;
  fixture.Psql(R"(
    create table parent (id int primary key);
    create table child (id int primary key, parent int references parent, age int not null check (age > 0));
    create domain even as int check (value % 2 = 0);
    create table slot (during int4range, exclude using gist (during with &&));
    insert into parent values (1); insert into child values (1, 1, 5); insert into slot values ('[1,5)');
    create function fails() returns int language plpgsql as $$
      begin raise exception 'no %', 'way' using detail = 'the detail', hint = 'the hint',
        errcode = 'P0001', table = 'child', column = 'age', constraint = 'some_rule',
        schema = 'public', datatype = 'int4'; end $$;
    create function finds_nothing() returns void language plpgsql as $$
      declare x int; begin select id into strict x from parent where id = -1; end $$;
    create function too_late() returns void language plpgsql as $$
      begin raise exception 'conflict' using errcode = '40001'; end $$;
    create view checked as select * from parent where id > 0 with check option;
  )");
  const PqConnection reference(PQconnectdb(fixture.Url().c_str()));
  const Failure failures[] = {
      {"selec 1", "INVALID_ARGUMENT 42601"},
      {"select 1 +", "INVALID_ARGUMENT 42601"},
      {"select 'open", "INVALID_ARGUMENT 42601"},
      {"select * from nowhere", "NOT_FOUND 42P01"},
      {"select no_such_column from parent", "NOT_FOUND 42703"},
      {"select no_such_function(1)", "NOT_FOUND 42883"},
      {"select 'x'::no_such_type", "NOT_FOUND 42704"},
      {"select * from no_such_schema.t", "NOT_FOUND 42P01"},
      {"create table no_such_schema.t ()", "NOT_FOUND 3F000"},
      {"insert into parent values (1)", "ALREADY_EXISTS 23505"},
      {"insert into slot values ('[2,3)')", "ALREADY_EXISTS 23P01"},
      {"create table parent ()", "ALREADY_EXISTS 42P07"},
      {"create schema public", "ALREADY_EXISTS 42P06"},
      {"create type even as enum ('a')", "ALREADY_EXISTS 42710"},
      {"alter table parent add column id int", "ALREADY_EXISTS 42701"},
      {"insert into child values (2, 99, 5)", "FAILED_PRECONDITION 23503"},
      {"insert into child values (2, 1, null)", "FAILED_PRECONDITION 23502"},
      {"insert into child values (2, 1, -5)", "FAILED_PRECONDITION 23514"},
      {"select 3::even", "FAILED_PRECONDITION 23514"},
      {"insert into checked values (-1)", "FAILED_PRECONDITION 44000"},
      {"select (select id from generate_series(1, 2) id)", "FAILED_PRECONDITION 21000"},
      {"drop table parent", "FAILED_PRECONDITION 2BP01"},
      {"select fails()", "FAILED_PRECONDITION P0001"},
      {"select finds_nothing()", "NOT_FOUND P0002"},
      {"select too_late()", "ABORTED 40001"},
      {"select currval2('x'), 1/0", "NOT_FOUND 42883"},
      {"select 1 / 0", "INVALID_ARGUMENT 22012"},
      {"select 'abc'::int", "INVALID_ARGUMENT 22P02"},
      {"select 2147483647 + 1", "OUT_OF_RANGE 22003"},
      {"select '2024-02-30'::date", "OUT_OF_RANGE 22008"},
      {"select 'x'::date", "INVALID_ARGUMENT 22007"},
      {"select substring('x' from 1 for -1)", "INVALID_ARGUMENT 22011"},
      {"insert into child values ('{')", "INVALID_ARGUMENT 22P02"},
      {"select id from parent group by ()", "INVALID_ARGUMENT 42803"},
      {"select 1 union select 'x'::text", "INVALID_ARGUMENT 42804"},
      {"select a.id from parent a, parent a", "INVALID_ARGUMENT 42712"},
  };
  for (const Failure& failure : failures) {
    SCOPED_TRACE(failure.sql);
    const PqResult expected(
        PQexecParams(reference.get(), failure.sql, 0, nullptr, nullptr, nullptr, nullptr, 0));
    ASSERT_EQ(PQresultStatus(expected.get()), PGRES_FATAL_ERROR);
    const QueryOutcome outcome = fixture.client.Query(failure.sql);
    EXPECT_EQ(CodeAndSqlstate(outcome), failure.code_and_sqlstate) << outcome;
    const PGresult* report = expected.get();
    const v1::SqlError& sql = outcome.sql;
    EXPECT_EQ(sql.sqlstate(), Field(report, PG_DIAG_SQLSTATE));
    EXPECT_EQ(sql.severity(), Field(report, PG_DIAG_SEVERITY_NONLOCALIZED));
    EXPECT_EQ(sql.message(), Field(report, PG_DIAG_MESSAGE_PRIMARY));
    EXPECT_EQ(sql.detail(), Field(report, PG_DIAG_MESSAGE_DETAIL));
    EXPECT_EQ(sql.hint(), Field(report, PG_DIAG_MESSAGE_HINT));
    EXPECT_EQ(sql.position(), std::atoi(Field(report, PG_DIAG_STATEMENT_POSITION).c_str()));
    EXPECT_EQ(sql.schema(), Field(report, PG_DIAG_SCHEMA_NAME));
    EXPECT_EQ(sql.table(), Field(report, PG_DIAG_TABLE_NAME));
    EXPECT_EQ(sql.column(), Field(report, PG_DIAG_COLUMN_NAME));
    EXPECT_EQ(sql.datatype(), Field(report, PG_DIAG_DATATYPE_NAME));
    EXPECT_EQ(sql.constraint(), Field(report, PG_DIAG_CONSTRAINT_NAME));
    EXPECT_EQ(sql.where(), Field(report, PG_DIAG_CONTEXT));
    EXPECT_FALSE(sql.outcome_unknown());
    EXPECT_EQ(outcome.domain, "dbsidecar");
    EXPECT_FALSE(outcome.reason.empty());
    EXPECT_EQ(outcome.retry_delay.has_value(),
              outcome.status.error_code() == grpc::StatusCode::ABORTED);
    EXPECT_LE(outcome.status.error_details().size(), 7u * 1024);
  }
  EXPECT_EQ(fixture.client.Query("select count(*) from child").Scalar(), "1");
}

TEST(ErrorFieldsTest, ThePermissionThatTheUserLacksIsPermissionDenied) {
  PostgresServer& server = PostgresServer::Shared();
  const std::string database = server.CreateDatabase("permission");
  server.Psql("create table secret (id int)", database);
  SidecarProcess sidecar({.database_url = server.TcpUrl(database), .flags = {}, .environment = {}});
  QueryClient client(sidecar.NewChannel());
  EXPECT_EQ(CodeAndSqlstate(client.Query("select * from secret")), "PERMISSION_DENIED 42501");
}

TEST(ErrorFieldsTest, AVeryLongErrorStillFitsIntoTheTrailers) {
  PostgresSidecar fixture;
  fixture.Psql(
      "create function shouts() returns void language plpgsql as $$ begin raise exception '%', "
      "repeat('ä', 50000) using detail = repeat('d', 50000), hint = repeat('h', 50000); end $$");
  const QueryOutcome outcome = fixture.client.Query("select shouts()");
  EXPECT_EQ(CodeAndSqlstate(outcome), "FAILED_PRECONDITION P0001");
  EXPECT_LE(outcome.status.error_details().size(), 7u * 1024);
  EXPECT_GT(outcome.sql.message().size(), 100u);
}

}  // namespace
}  // namespace dbsidecar::integration
