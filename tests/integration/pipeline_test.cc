// The Pipeline RPC: frames of independent calls on one stream.
#include <signal.h>

#include <map>
#include <set>
#include <thread>

#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

class Pipeline {
 public:
  explicit Pipeline(const SidecarProcess& sidecar, milliseconds limit = 60s)
      : stub_(v1::Sidecar::NewStub(sidecar.NewChannel())) {
    context_.set_deadline(std::chrono::system_clock::now() + limit);
    stream_ = stub_->Pipeline(&context_);
  }

  // Adds a call to the next frame.
  v1::Call& Add(uint64_t id, v1::QueryRequest query) {
    v1::Call& call = *frame_.add_calls();
    call.set_id(id);
    *call.mutable_query() = std::move(query);
    return call;
  }
  void AddCancel(uint64_t id) { frame_.add_calls()->set_cancel_id(id); }
  v1::PipelineRequest& frame() { return frame_; }
  bool Send() {
    const bool sent = stream_->Write(frame_);
    frame_.Clear();
    return sent;
  }

  // The next reply; one with id 0 if the stream has ended.
  v1::Reply Next() {
    while (next_ == replies_.replies_size()) {
      next_ = 0;
      if (!stream_->Read(&replies_)) {
        replies_.Clear();
        return {};
      }
      ++frames_read_;
    }
    return replies_.replies(next_++);
  }
  // So many replies by their id.
  std::map<uint64_t, v1::Reply> Read(size_t count) {
    std::map<uint64_t, v1::Reply> replies;
    while (replies.size() < count) {
      v1::Reply reply = Next();
      if (reply.id() == 0) break;
      const bool fresh = replies.emplace(reply.id(), reply).second;
      EXPECT_TRUE(fresh) << "answered twice: " << reply.id();
    }
    EXPECT_EQ(replies.size(), count);
    return replies;
  }
  int frames_read() const { return frames_read_; }

  void HalfClose() { stream_->WritesDone(); }
  grpc::Status Finish() { return stream_->Finish(); }
  void Break() { context_.TryCancel(); }

 private:
  std::unique_ptr<v1::Sidecar::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::PipelineRequest, v1::PipelineResponse>> stream_;
  v1::PipelineRequest frame_;
  v1::PipelineResponse replies_;
  int next_ = 0;
  int frames_read_ = 0;
};

std::string Scalar(const v1::Reply& reply) {
  QueryOutcome outcome;
  outcome.response = reply.response();
  return reply.has_response() ? outcome.Cell(0, 0).value_or("<NULL>")
                              : "<error " + reply.error().message() + ">";
}

TEST(PipelineTest, EveryCallOfAFrameIsAnsweredByItsId) {
  PostgresSidecar fixture;
  Pipeline pipeline(fixture.sidecar);
  constexpr uint64_t kCalls = 500;
  for (uint64_t id = 1; id <= kCalls; ++id) {
    pipeline.Add(id, MakeQuery("select $1::int8 * 3", static_cast<int64_t>(id)));
  }
  ASSERT_TRUE(pipeline.Send());
  for (const auto& [id, reply] : pipeline.Read(kCalls)) {
    EXPECT_EQ(Scalar(reply), std::to_string(id * 3));
  }
  EXPECT_LT(pipeline.frames_read(), static_cast<int>(kCalls)) << "replies do not share frames";
  pipeline.HalfClose();
  EXPECT_EQ(pipeline.Next().id(), 0u);
  EXPECT_TRUE(pipeline.Finish().ok());
}

TEST(PipelineTest, RepliesComeAsCallsFinish) {
  PostgresSidecar fixture;
  Pipeline pipeline(fixture.sidecar);
  pipeline.Add(1, MakeQuery("select 1 from pg_sleep(0.5)"));
  pipeline.Add(2, MakeQuery("select 2"));
  ASSERT_TRUE(pipeline.Send());
  EXPECT_EQ(pipeline.Next().id(), 2u);
  EXPECT_EQ(pipeline.Next().id(), 1u);
}

TEST(PipelineTest, AFailingCallDisturbsNoOther) {
  PostgresSidecar fixture;
  Pipeline pipeline(fixture.sidecar);
  for (uint64_t id = 1; id <= 60; ++id) {
    pipeline.Add(id, id % 3 == 0   ? MakeQuery("select 1 / $1::int", 0)
                     : id % 3 == 1 ? MakeQuery("selec")
                                   : MakeQuery("select $1::int8", static_cast<int64_t>(id)));
  }
  ASSERT_TRUE(pipeline.Send());
  for (const auto& [id, reply] : pipeline.Read(60)) {
    if (id % 3 == 2) {
      EXPECT_EQ(Scalar(reply), std::to_string(id));
    } else {
      ASSERT_TRUE(reply.has_error()) << id;
      EXPECT_EQ(reply.error().sql().sqlstate(), id % 3 == 0 ? "22012" : "42601");
      EXPECT_EQ(reply.error().reason(), "SQL_ERROR");
      EXPECT_EQ(reply.error().code(), grpc::StatusCode::INVALID_ARGUMENT);
    }
  }
}

TEST(PipelineTest, ACallIsCancelledByItsId) {
  PostgresSidecar fixture;
  Pipeline pipeline(fixture.sidecar);
  pipeline.Add(7, MakeQuery("select pg_sleep(30)"));
  pipeline.Add(8, MakeQuery("select 8"));
  ASSERT_TRUE(pipeline.Send());
  EXPECT_EQ(pipeline.Next().id(), 8u);
  ASSERT_TRUE(Eventually(
      5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 1; }));
  pipeline.AddCancel(7);
  pipeline.AddCancel(99);  // Not in flight: ignored.
  ASSERT_TRUE(pipeline.Send());
  const v1::Reply reply = pipeline.Next();
  EXPECT_EQ(reply.id(), 7u);
  EXPECT_EQ(reply.error().code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Eventually(
      1s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 0; }));
  // Its id is free again.
  pipeline.Add(7, MakeQuery("select 7"));
  ASSERT_TRUE(pipeline.Send());
  EXPECT_EQ(Scalar(pipeline.Next()), "7");
}

TEST(PipelineTest, ACallHasItsOwnDeadline) {
  PostgresSidecar fixture;
  Pipeline pipeline(fixture.sidecar);
  pipeline.Add(1, MakeQuery("select pg_sleep(30)")).mutable_timeout()->set_nanos(200'000'000);
  pipeline.Add(2, MakeQuery("select 2 from pg_sleep(0.6)"));
  ASSERT_TRUE(pipeline.Send());
  const auto start = Clock::now();
  const v1::Reply first = pipeline.Next();
  EXPECT_EQ(first.id(), 1u);
  EXPECT_EQ(first.error().code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_LT(Clock::now() - start, 300ms + kScheduling);
  EXPECT_EQ(Scalar(pipeline.Next()), "2");
}

TEST(PipelineTest, WhatIsNotACallIsRefusedAlone) {
  PostgresSidecar fixture;
  Pipeline pipeline(fixture.sidecar);
  pipeline.Add(1, MakeQuery("select pg_sleep(0.3)"));
  pipeline.Add(1, MakeQuery("select 1"));   // The id is in flight.
  pipeline.frame().add_calls()->set_id(2);  // Nothing to do.
  pipeline.Add(3, MakeQuery("select 3")).set_cancel_id(1);
  pipeline.Add(4, MakeQuery("select 4")).mutable_timeout()->set_seconds(-1);
  pipeline.Add(5, MakeQuery(""));
  pipeline.Add(6, MakeQuery("select 6"));
  ASSERT_TRUE(pipeline.Send());
  std::multiset<uint64_t> refused;
  std::set<uint64_t> answered;
  for (int i = 0; i < 7; ++i) {
    const v1::Reply reply = pipeline.Next();
    if (reply.has_error()) {
      EXPECT_EQ(reply.error().code(), grpc::StatusCode::INVALID_ARGUMENT) << reply.DebugString();
      refused.insert(reply.id());
    } else {
      answered.insert(reply.id());
    }
  }
  EXPECT_EQ(refused, (std::multiset<uint64_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(answered, (std::set<uint64_t>{1, 6}));
}

TEST(PipelineTest, AFrameThatIsNotProtobufEndsTheStreamAlone) {
  PostgresSidecar fixture;
  QueryClient raw(fixture.sidecar.NewChannel());
  const QueryOutcome outcome = raw.RunRaw("/dbsidecar.v1.Sidecar/Pipeline", "\xff\xff\xff");
  EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << outcome;
  EXPECT_EQ(fixture.client.Query("select 1").Scalar(), "1");
}

TEST(PipelineTest, MoreCallsThanMayBeInFlightWaitInsteadOfFailing) {
  PostgresSidecar fixture({"--max-connections=4", "--min-connections=4", "--waiters-max=10000"});
  Pipeline pipeline(fixture.sidecar);
  constexpr uint64_t kCalls = 20'000;
  std::thread writer([&] {
    uint64_t id = 0;
    while (id < kCalls) {
      for (int i = 0; i < 50; ++i) {
        ++id;
        pipeline.Add(id, MakeQuery("select $1::int8", static_cast<int64_t>(id)));
      }
      ASSERT_TRUE(pipeline.Send());
    }
    pipeline.HalfClose();
  });
  for (const auto& [id, reply] : pipeline.Read(kCalls))
    ASSERT_EQ(Scalar(reply), std::to_string(id));
  writer.join();
  EXPECT_TRUE(pipeline.Finish().ok());
}

TEST(PipelineTest, LargeResultsTravelBesideSmallOnes) {
  PostgresSidecar fixture({"--result-bytes-max=64MiB"});
  Pipeline pipeline(fixture.sidecar);
  for (uint64_t id = 1; id <= 20; ++id) {
    const int64_t size = id % 2 == 0 ? 1'000'000 : 10;
    pipeline.Add(id, MakeQuery("select repeat('x', $1)", size));
  }
  ASSERT_TRUE(pipeline.Send());
  for (const auto& [id, reply] : pipeline.Read(20)) {
    EXPECT_EQ(Scalar(reply).size(), id % 2 == 0 ? 1'000'000u : 10u);
  }
}

TEST(PipelineTest, WhenTheClientLeavesItsStatementsEnd) {
  PostgresSidecar fixture;
  Pipeline pipeline(fixture.sidecar);
  for (uint64_t id = 1; id <= 3; ++id) pipeline.Add(id, MakeQuery("select pg_sleep(30)"));
  ASSERT_TRUE(pipeline.Send());
  ASSERT_TRUE(Eventually(
      5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 3; }));
  pipeline.Break();
  EXPECT_TRUE(Eventually(
      1s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 0; }));
  pipeline.Finish();
}

TEST(PipelineTest, AfterTheHalfCloseEverythingIsStillAnswered) {
  PostgresSidecar fixture;
  Pipeline pipeline(fixture.sidecar);
  for (uint64_t id = 1; id <= 10; ++id) {
    pipeline.Add(id, MakeQuery("select $1::int8 from pg_sleep(0.1)", static_cast<int64_t>(id)));
  }
  ASSERT_TRUE(pipeline.Send());
  pipeline.HalfClose();
  for (const auto& [id, reply] : pipeline.Read(10)) EXPECT_EQ(Scalar(reply), std::to_string(id));
  EXPECT_EQ(pipeline.Next().id(), 0u);
  EXPECT_TRUE(pipeline.Finish().ok());
}

TEST(PipelineTest, AStopAnswersWhatWasAcceptedAndRefusesTheRest) {
  PostgresSidecar fixture({"--drain-timeout=10s"});
  Pipeline pipeline(fixture.sidecar);
  for (uint64_t id = 1; id <= 20; ++id) {
    pipeline.Add(id, MakeQuery("select $1::int8 from pg_sleep(0.3)", static_cast<int64_t>(id)));
  }
  ASSERT_TRUE(pipeline.Send());
  ASSERT_TRUE(Eventually(
      5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") > 0; }));
  fixture.sidecar.Signal(SIGTERM);
  ASSERT_TRUE(fixture.health.WaitFor("readiness", false, 500ms));
  std::this_thread::sleep_for(100ms);
  pipeline.Add(100, MakeQuery("select 100"));
  ASSERT_TRUE(pipeline.Send());
  for (const auto& [id, reply] : pipeline.Read(21)) {
    if (id == 100) {
      EXPECT_EQ(reply.error().reason(), "DRAINING");
    } else {
      EXPECT_EQ(Scalar(reply), std::to_string(id));
    }
  }
  EXPECT_EQ(fixture.sidecar.WaitExit(5s), 0);
  EXPECT_EQ(pipeline.Next().id(), 0u);
}

// The token of a transaction that is open on the stream with an insert of `id` in it.
std::string BeginOn(Pipeline& pipeline, uint64_t call, int id) {
  v1::QueryRequest request = MakeQuery("insert into t values ($1::int)", id);
  request.mutable_session()->mutable_begin();
  pipeline.Add(call, std::move(request));
  pipeline.Send();
  const v1::Reply reply = pipeline.Next();
  EXPECT_TRUE(reply.has_response()) << reply.ShortDebugString();
  EXPECT_EQ(reply.response().transaction_status(), v1::TRANSACTION_STATUS_IN_TRANSACTION);
  return reply.response().session();
}

TEST(PipelineSessionTest, CallsOfOneSessionRunInTheOrderSentAndItsEndComesLast) {
  PostgresSidecar fixture;
  fixture.Psql("create table t (id int)");
  Pipeline pipeline(fixture.sidecar);
  const std::string token = BeginOn(pipeline, 1, 1);
  for (uint64_t id = 2; id <= 20; ++id) {
    v1::QueryRequest request = MakeQuery("insert into t select max(id) + 1 from t");
    request.mutable_session()->set_session(token);
    pipeline.Add(id, std::move(request));
  }
  v1::Call& end = *pipeline.frame().add_calls();
  end.set_id(21);
  end.mutable_end_session()->set_session(token);
  end.mutable_end_session()->set_end(v1::SESSION_END_COMMIT);
  pipeline.Send();
  uint64_t expected = 2;
  for (; expected <= 20; ++expected) {
    const v1::Reply reply = pipeline.Next();
    EXPECT_EQ(reply.id(), expected);
    EXPECT_EQ(reply.response().session(), token) << reply.ShortDebugString();
  }
  const v1::Reply ended = pipeline.Next();
  EXPECT_EQ(ended.session_ended().command_tag(), "COMMIT") << ended.ShortDebugString();
  EXPECT_EQ(fixture.Psql("select count(*) || ' ' || max(id) from t"), "20 20");
}

TEST(PipelineSessionTest, SessionsEndWithTheStreamOnWhichTheyBegan) {
  PostgresSidecar fixture({"--session-idle-timeout=1min", "--max-connections=2"});
  fixture.Psql("create table t (id int)");
  for (const bool breaks : {false, true}) {
    SCOPED_TRACE(breaks);
    std::string token;
    {
      Pipeline pipeline(fixture.sidecar);
      token = BeginOn(pipeline, 1, 1);
      v1::QueryRequest request = MakeQuery("select pg_sleep(60)");
      request.mutable_session()->set_session(token);
      pipeline.Add(2, std::move(request));
      pipeline.Send();
      ASSERT_TRUE(Eventually(
          5s, [&] { return fixture.server.RunningStatements(fixture.database, "pg_sleep") == 1; }));
      if (breaks) pipeline.Break();
    }
    const auto gone = Clock::now();
    EXPECT_TRUE(Eventually(5s, [&] {
      return fixture.Psql(
                 "select count(*) from pg_stat_activity where datname = current_database() and "
                 "state <> 'idle' and pid <> pg_backend_pid()") == "0";
    }));
    EXPECT_LT(Clock::now() - gone, 1s + kScheduling);
    v1::QueryRequest request = MakeQuery("select 1");
    request.mutable_session()->set_session(token);
    EXPECT_EQ(fixture.client.Run(request).reason, "SESSION_NOT_FOUND");
  }
  EXPECT_EQ(fixture.Psql("select count(*) from t"), "0");
}

TEST(SessionTest, ATransactionOverUnaryCallsEndsByItsCommitOrByEndSession) {
  PostgresSidecar fixture;
  fixture.Psql("create table t (id int)");
  v1::QueryRequest begin = MakeQuery("insert into t values (1)");
  begin.mutable_session()->mutable_begin()->set_isolation(v1::ISOLATION_LEVEL_SERIALIZABLE);
  const std::string token = fixture.client.Run(begin).response.session();
  ASSERT_EQ(token.size(), 32u);
  v1::QueryRequest last = MakeQuery("show transaction_isolation");
  last.mutable_session()->set_session(token);
  last.mutable_session()->set_commit(true);
  const QueryOutcome committed = fixture.client.Run(last);
  EXPECT_EQ(committed.Scalar(), "serializable");
  EXPECT_EQ(committed.response.session(), "");
  EXPECT_EQ(committed.response.transaction_status(), v1::TRANSACTION_STATUS_IDLE);
  const auto end = [&](const std::string& of, v1::SessionEnd how,
                       v1::EndSessionResponse* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 10s);
    v1::EndSessionRequest request;
    request.set_session(of);
    request.set_end(how);
    return fixture.client.stub().EndSession(&context, request, response);
  };
  v1::EndSessionResponse response;
  EXPECT_EQ(end(token, v1::SESSION_END_COMMIT, &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(end(token, v1::SESSION_END_UNSPECIFIED, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  const std::string second = fixture.client.Run(begin).response.session();
  EXPECT_EQ(end(second, v1::SESSION_END_RELEASE, &response).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(end(second, v1::SESSION_END_ROLLBACK, &response).ok());
  EXPECT_EQ(response.command_tag(), "ROLLBACK");
  EXPECT_EQ(fixture.Psql("select count(*) from t"), "1");
}

}  // namespace
}  // namespace dbsidecar::integration
