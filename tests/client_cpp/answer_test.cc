// Replies and errors, from the frame to the caller.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>
#include <vector>

#include "dbsidecar/client.h"
#include "tests/client_cpp/fake_sidecar.h"

namespace dbsidecar::client_test {
namespace {

TEST(AnswerTest, RepliesFindTheirCallsInAnyOrder) {
  FakeSidecar sidecar([](FakeStream& stream) {
    std::vector<v1::Call> calls;
    for (int i = 0; i < 30; ++i) calls.push_back(stream.ReadCall());
    std::shuffle(calls.begin(), calls.end(), std::mt19937(7));
    for (const v1::Call& call : calls) {
      stream.AnswerNumber(call.id(), call.query().params(0).int_value());
    }
    stream.ReadUntilEnd();
    return grpc::Status::OK;
  });
  Client client(sidecar.address());
  std::vector<std::future<Result>> futures;
  for (int i = 0; i < 30; ++i) futures.push_back(client.QueryAsync("select $1", i));
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(futures[static_cast<size_t>(i)].get().One().Get<int>("number"), i);
  }
}

TEST(AnswerTest, ARequestSaysWhatItsOptionsSay) {
  v1::Call seen;
  FakeSidecar sidecar([&](FakeStream& stream) {
    seen = stream.ReadCall();
    stream.AnswerNumber(seen.id(), 1);
    stream.ReadUntilEnd();
    return grpc::Status::OK;
  });
  Client client(sidecar.address());
  client.Query({.timeout = 2s,
                .read_only = true,
                .idempotent = true,
                .max_rows = 7,
                .want_timing = true,
                .pool = "reports",
                .tags = {{"caller", "test"}, {"route", "/x"}},
                .settings = CallSettings{.role = "reader", .lock_timeout = 1500ms}},
               "select $1, $2", "text", std::nullopt);
  const v1::QueryRequest& query = seen.query();
  EXPECT_EQ(query.sql(), "select $1, $2");
  ASSERT_EQ(query.params_size(), 2);
  EXPECT_EQ(query.params(0).string_value(), "text");
  EXPECT_EQ(query.params(1).kind_case(), v1::Value::KIND_NOT_SET);
  EXPECT_TRUE(query.read_only());
  EXPECT_TRUE(query.idempotent());
  EXPECT_EQ(query.max_rows(), 7u);
  EXPECT_TRUE(query.want_timing());
  EXPECT_EQ(query.pool(), "reports");
  EXPECT_EQ(query.tags().at("caller"), "test");
  EXPECT_EQ(query.tags().at("route"), "/x");
  EXPECT_EQ(query.settings().role(), "reader");
  EXPECT_EQ(query.settings().lock_timeout().seconds(), 1);
  EXPECT_EQ(query.settings().lock_timeout().nanos(), 500'000'000);
  EXPECT_FALSE(query.has_session());
  // A little less than the caller's own, so that the sidecar answers first.
  const double timeout = static_cast<double>(seen.timeout().seconds()) +
                         static_cast<double>(seen.timeout().nanos()) * 1e-9;
  EXPECT_GT(timeout, 1.5);
  EXPECT_LE(timeout, 1.9);
}

TEST(AnswerTest, AnErrorArrivesWithAllItsFields) {
  FakeSidecar sidecar([](FakeStream& stream) {
    v1::Error error = MakeError(6, "SQL_ERROR", "23505");
    error.set_message("there is one already");
    error.mutable_retry_delay()->set_nanos(5'000'000);
    (*error.mutable_metadata())["sqlstate"] = "23505";
    v1::SqlError& sql = *error.mutable_sql();
    sql.set_severity("ERROR");
    sql.set_message("duplicate key");
    sql.set_detail("Key (id)=(7) already exists.");
    sql.set_hint("another");
    sql.set_position(12);
    sql.set_schema("public");
    sql.set_table("fruit");
    sql.set_column("id");
    sql.set_datatype("int4");
    sql.set_constraint("fruit_pkey");
    sql.set_where("somewhere");
    sql.set_sqlite_extended_code(1555);
    stream.AnswerError(stream.ReadCall().id(), error);
    stream.ReadUntilEnd();
    return grpc::Status::OK;
  });
  Client client(sidecar.address());
  try {
    client.Query("insert");
    FAIL() << "did not throw";
  } catch (const UniqueViolation& error) {
    EXPECT_STREQ(error.what(), "there is one already");
    EXPECT_EQ(error.code(), StatusCode::kAlreadyExists);
    EXPECT_EQ(error.reason(), "SQL_ERROR");
    EXPECT_EQ(error.sqlstate(), "23505");
    EXPECT_EQ(error.failure().retry_delay, 5ms);
    EXPECT_EQ(error.failure().metadata.at("sqlstate"), "23505");
    EXPECT_FALSE(error.outcome_unknown());
    ASSERT_NE(error.sql(), nullptr);
    EXPECT_EQ(error.sql()->severity, "ERROR");
    EXPECT_EQ(error.sql()->message, "duplicate key");
    EXPECT_EQ(error.sql()->detail, "Key (id)=(7) already exists.");
    EXPECT_EQ(error.sql()->hint, "another");
    EXPECT_EQ(error.sql()->position, 12);
    EXPECT_EQ(error.sql()->schema, "public");
    EXPECT_EQ(error.sql()->table, "fruit");
    EXPECT_EQ(error.sql()->column, "id");
    EXPECT_EQ(error.sql()->datatype, "int4");
    EXPECT_EQ(error.sql()->constraint, "fruit_pkey");
    EXPECT_EQ(error.sql()->where, "somewhere");
    EXPECT_EQ(error.sql()->sqlite_extended_code, 1555);
  }
}

template <typename Expected>
void ExpectThrown(const Failure& failure) {
  try {
    Throw(failure);
  } catch (const Error& error) {
    EXPECT_EQ(typeid(error), typeid(Expected))
        << failure.reason << " " << (failure.sql ? failure.sql->sqlstate : "");
  }
}

Failure Sql(StatusCode code, const std::string& sqlstate) {
  Failure failure;
  failure.code = code;
  failure.reason = "SQL_ERROR";
  failure.sql = SqlReport{};
  failure.sql->sqlstate = sqlstate;
  return failure;
}

Failure Own(StatusCode code, const std::string& reason) {
  Failure failure;
  failure.code = code;
  failure.reason = reason;
  return failure;
}

TEST(AnswerTest, TheClassOfAnErrorGoesByItsSqlstateAndReason) {
  ExpectThrown<NotNullViolation>(Sql(StatusCode::kFailedPrecondition, "23502"));
  ExpectThrown<ForeignKeyViolation>(Sql(StatusCode::kFailedPrecondition, "23503"));
  ExpectThrown<UniqueViolation>(Sql(StatusCode::kAlreadyExists, "23505"));
  ExpectThrown<CheckViolation>(Sql(StatusCode::kFailedPrecondition, "23514"));
  ExpectThrown<ExclusionViolation>(Sql(StatusCode::kAlreadyExists, "23P01"));
  ExpectThrown<IntegrityViolation>(Sql(StatusCode::kFailedPrecondition, "23001"));
  ExpectThrown<SerializationFailure>(Sql(StatusCode::kAborted, "40001"));
  ExpectThrown<DeadlockDetected>(Sql(StatusCode::kAborted, "40P01"));
  ExpectThrown<LockNotAvailable>(Sql(StatusCode::kAborted, "55P03"));
  ExpectThrown<ReadOnlyViolation>(Sql(StatusCode::kFailedPrecondition, "25006"));
  ExpectThrown<TransactionFailed>(Sql(StatusCode::kFailedPrecondition, "25P02"));
  ExpectThrown<InsufficientPrivilege>(Sql(StatusCode::kPermissionDenied, "42501"));
  ExpectThrown<SyntaxError>(Sql(StatusCode::kInvalidArgument, "42601"));
  ExpectThrown<UndefinedTable>(Sql(StatusCode::kNotFound, "42P01"));
  ExpectThrown<UndefinedColumn>(Sql(StatusCode::kNotFound, "42703"));
  ExpectThrown<UndefinedFunction>(Sql(StatusCode::kNotFound, "42883"));
  ExpectThrown<SqlError>(Sql(StatusCode::kInvalidArgument, "22012"));
  // Whoever sees 57P01 or 57014 wants to know what to do, not what the database called it.
  ExpectThrown<Unavailable>(Sql(StatusCode::kUnavailable, "57P01"));
  ExpectThrown<DeadlineExceeded>(Sql(StatusCode::kDeadlineExceeded, "57014"));
  ExpectThrown<Unavailable>(Own(StatusCode::kUnavailable, "DRAINING"));
  ExpectThrown<Cancelled>(Own(StatusCode::kCancelled, "CANCELLED"));
  ExpectThrown<ResourceExhausted>(Own(StatusCode::kResourceExhausted, "QUEUE_FULL"));
  ExpectThrown<SessionLost>(Own(StatusCode::kNotFound, "SESSION_NOT_FOUND"));
  ExpectThrown<ConversionError>(Own(StatusCode::kInvalidArgument, "CONVERSION"));
  ExpectThrown<Error>(Own(StatusCode::kUnimplemented, "UNSUPPORTED"));
  Failure unknown = Own(StatusCode::kDeadlineExceeded, "OUTCOME_UNKNOWN");
  unknown.outcome_unknown = true;
  ExpectThrown<OutcomeUnknown>(unknown);
}

TEST(AnswerTest, TheThreeFormsSayTheSame) {
  FakeSidecar sidecar([](FakeStream& stream) {
    for (v1::Call call = stream.ReadCall(); call.id() != 0; call = stream.ReadCall()) {
      if (call.query().sql() == "good") {
        stream.AnswerNumber(call.id(), 1);
      } else {
        stream.AnswerError(call.id(), MakeError(5, "SQL_ERROR", "42P01"));
      }
    }
    return grpc::Status::OK;
  });
  Client client(sidecar.address());
  EXPECT_EQ(client.Query("good").One().Get<int>(0), 1);
  EXPECT_THROW(client.Query("bad"), UndefinedTable);
  EXPECT_EQ(client.QueryAsync("good").get().One().Get<int>(0), 1);
  EXPECT_THROW(client.QueryAsync("bad").get(), UndefinedTable);
  std::promise<void> done;
  client.QueryThen("good", {}, [&](const Outcome& good) {
    EXPECT_TRUE(good.ok());
    EXPECT_EQ(good.result().One().Get<int>(0), 1);
    client.QueryThen("bad", {}, [&](const Outcome& bad) {
      EXPECT_FALSE(bad.ok());
      EXPECT_EQ(bad.failure().sql->sqlstate, "42P01");
      EXPECT_THROW(bad.result(), UndefinedTable);
      done.set_value();
    });
  });
  done.get_future().get();
}

TEST(AnswerTest, ABlockingCallInACallbackIsRefusedInsteadOfHanging) {
  FakeSidecar sidecar(Echo);
  Client client(sidecar.address());
  std::promise<std::string> reason;
  client.QueryThen("select $1", Params(1), [&](const Outcome&) {
    try {
      client.Query("select $1", 2);
      reason.set_value("none");
    } catch (const Error& error) {
      reason.set_value(error.reason());
    }
  });
  EXPECT_EQ(reason.get_future().get(), "WRONG_USE");
}

TEST(AnswerTest, ACallbackMayCallAnotherClient) {
  FakeSidecar sidecar(Echo);
  Client one(sidecar.address());
  Client other(sidecar.address());
  std::promise<int> answer;
  one.QueryThen("select $1", Params(1), [&](const Outcome&) {
    other.QueryThen("select $1", Params(2), [&](const Outcome& outcome) {
      answer.set_value(outcome.result().One().Get<int>(0));
    });
  });
  std::future<int> future = answer.get_future();
  ASSERT_EQ(future.wait_for(5s), std::future_status::ready);
  EXPECT_EQ(future.get(), 2);
}

TEST(AnswerTest, ManyThreadsEachGetTheirOwnAnswer) {
  FakeSidecar sidecar(Echo);
  Client client(sidecar.address(), {.connections = 2});
  std::atomic<int64_t> wrong = 0;
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < 16; ++t) {
    threads.emplace_back([&, t] {
      for (int64_t i = 0; i < 300 / kSlower; ++i) {
        const int64_t mine = t * 1'000'000 + i * 2;
        std::future<Result> later = client.QueryAsync("select $1", mine + 1);
        if (client.Query("select $1", mine).One().Get<int64_t>(0) != mine) ++wrong;
        if (later.get().One().Get<int64_t>(0) != mine + 1) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(AnswerTest, WhatWouldSpoilAFrameIsRefusedAlone) {
  FakeSidecar sidecar(Echo);
  Client client(sidecar.address(), {.call_bytes_max = 1000});
  EXPECT_THROW(client.Query("select $1", std::string("\xff")), Error);
  EXPECT_THROW(client.Query("select '\xc3'"), Error);
  EXPECT_THROW(client.Query({.tags = {{"caller", "\x80"}}}, "select $1", 1), Error);
  try {
    client.Query("select $1", std::string(2000, 'x'));
    ADD_FAILURE() << "was sent";
  } catch (const ResourceExhausted& error) {
    EXPECT_EQ(error.reason(), "REQUEST_TOO_LARGE");
  }
  EXPECT_EQ(client.Query("select $1", 1).One().Get<int>(0), 1);
}

TEST(AnswerTest, OptionsThatMakeNoSenseAreRefused) {
  EXPECT_THROW(Client("unix:/nowhere", {.connections = 0}), Error);
  EXPECT_THROW(Client("unix:/nowhere", {.timeout = 0ms}), Error);
  EXPECT_THROW(Client("unix:/nowhere", {.calls_max = 0}), Error);
}

}  // namespace
}  // namespace dbsidecar::client_test
