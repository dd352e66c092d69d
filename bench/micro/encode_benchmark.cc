// What it costs to encode a result (docs/adr/0019): straight to the wire as the sidecar does it,
// and by way of a Protobuf message, on the heap and reused, or on an arena.
//
//   build/release/encode_benchmark
#include <benchmark/benchmark.h>
#include <google/protobuf/arena.h>

#include <charconv>
#include <string>

#include "dbsidecar/v1/pipeline.pb.h"
#include "server/result_encoder.h"

namespace dbsidecar {
namespace {

constexpr size_t kColumns = 4;

pool::Outcome Accounts(int64_t rows) {
  pool::Outcome outcome;
  for (const char* name : {"aid", "bid", "abalance"}) {
    outcome.result.columns.push_back({.name = name,
                                      .type_oid = 23,
                                      .table_oid = 16384,
                                      .column_number = 1,
                                      .declared_type = ""});
  }
  outcome.result.columns.push_back({.name = "filler", .type_oid = 25, .declared_type = ""});
  outcome.result.rows.SetColumnCount(kColumns);
  for (int64_t row = 0; row < rows; ++row) {
    outcome.result.rows.AddText(std::to_string(100'000 + row));
    outcome.result.rows.AddText("7");
    outcome.result.rows.AddText("-4321");
    outcome.result.rows.AddText("a text of some length");
  }
  outcome.result.command_tag = "SELECT 1";
  return outcome;
}

// The same fields as the encoder's, for this shape of result.
void Fill(const pool::Outcome& outcome, v1::Reply& reply) {
  reply.set_id(7);
  v1::ResultSet& set = *reply.mutable_response()->mutable_result();
  for (const pool::ColumnInfo& column : outcome.result.columns) {
    v1::ColumnInfo& info = *set.add_columns();
    info.set_name(column.name);
    info.set_type_oid(column.type_oid);
    info.set_type_modifier(column.type_modifier);
    info.set_table_oid(column.table_oid);
    info.set_column_number(column.column_number);
  }
  const pool::RowBuffer& rows = outcome.result.rows;
  set.set_row_count(static_cast<uint32_t>(rows.row_count()));
  for (size_t column = 0; column < kColumns; ++column) {
    v1::Column& data = *set.add_data();
    for (size_t row = 0; row < rows.row_count(); ++row) {
      const std::string_view text = rows.bytes(rows.at(row, column));
      if (outcome.result.columns[column].type_oid == 23) {
        int64_t value = 0;
        std::from_chars(text.data(), text.data() + text.size(), value);
        data.add_ints(value);
      } else {
        data.add_strings(text.data(), text.size());
      }
    }
  }
  set.set_rows_affected(outcome.result.rows_affected);
  set.set_command_tag(outcome.result.command_tag);
  reply.mutable_response()->set_transaction_status(v1::TRANSACTION_STATUS_IDLE);
}

void Direct(benchmark::State& state) {
  const pool::Outcome outcome = Accounts(state.range(0));
  server::WireWriter out;
  for (auto _ : state) {
    out.Clear();
    server::EncodeOutcome(outcome, v1::RESULT_FORMAT_COLUMNS, false, out);
    out.Begin(v1::Reply::kResponseFieldNumber, 0);
    out.Varint(v1::Reply::kIdFieldNumber, 7);
    benchmark::DoNotOptimize(out.bytes().data());
  }
}

void ReusedMessage(benchmark::State& state) {
  const pool::Outcome outcome = Accounts(state.range(0));
  v1::Reply reply;
  std::string bytes;
  for (auto _ : state) {
    reply.Clear();
    Fill(outcome, reply);
    bytes.clear();
    reply.AppendToString(&bytes);
    benchmark::DoNotOptimize(bytes.data());
  }
}

void ArenaMessage(benchmark::State& state) {
  const pool::Outcome outcome = Accounts(state.range(0));
  std::string bytes;
  for (auto _ : state) {
    google::protobuf::Arena arena;
    auto& reply = *google::protobuf::Arena::CreateMessage<v1::Reply>(&arena);
    Fill(outcome, reply);
    bytes.clear();
    reply.AppendToString(&bytes);
    benchmark::DoNotOptimize(bytes.data());
  }
}

BENCHMARK(Direct)->Arg(1)->Arg(1000);
BENCHMARK(ReusedMessage)->Arg(1)->Arg(1000);
BENCHMARK(ArenaMessage)->Arg(1)->Arg(1000);

}  // namespace
}  // namespace dbsidecar

BENCHMARK_MAIN();
