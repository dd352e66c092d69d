#include "pool/sqlite/job_queue.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace dbsidecar::pool {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class SilentCall : public Call {
 public:
  void Answer(Outcome) override {}
  void Done() override {}
};

class JobQueueTest : public testing::Test {
 protected:
  void Add(const std::vector<Call*>& calls) {
    std::vector<JobQueue::Job> jobs;
    jobs.reserve(calls.size());
    for (Call* call : calls) jobs.push_back({.kind = JobQueue::Job::Kind::kExecute, .call = call});
    queue_.Add(jobs);
    EXPECT_THAT(jobs, IsEmpty());
  }
  Call* Next() {
    const std::optional<JobQueue::Job> job = queue_.TryNext();
    return job.has_value() ? job->call : nullptr;
  }
  Call* NextOfGroup() {
    const std::optional<JobQueue::Job> job = queue_.NextOfGroup();
    return job.has_value() ? job->call : nullptr;
  }

  SilentCall a_, b_, c_;
  Interruption interruption_;
  JobQueue queue_{interruption_};
};

TEST_F(JobQueueTest, JobsComeOutInOrderAndTellHowManyWaitBehindThem) {
  Add({&a_, &b_});
  Add({&c_});
  EXPECT_EQ(queue_.TryNext()->behind, 2u);
  EXPECT_EQ(Next(), &b_);
  EXPECT_EQ(queue_.WaitNext()->call, &c_);
  EXPECT_EQ(Next(), nullptr);
}

TEST_F(JobQueueTest, ACancelTakesOutWhatWaitsAndInterruptsOnlyWhatRuns) {
  Add({&a_, &b_});
  EXPECT_EQ(Next(), &a_);
  EXPECT_TRUE(queue_.Cancel(b_));
  EXPECT_FALSE(interruption_.requested());
  EXPECT_FALSE(queue_.Cancel(c_));
  EXPECT_FALSE(interruption_.requested());
  EXPECT_FALSE(queue_.Cancel(a_));
  EXPECT_TRUE(interruption_.requested());
  EXPECT_EQ(Next(), nullptr);
}

TEST_F(JobQueueTest, ACallOfASessionIsGivenOutThoughCancelledAndInterruptedThen) {
  a_.session.kind = SessionUse::Kind::kContinue;
  Add({&a_, &b_});
  EXPECT_FALSE(queue_.Cancel(a_));
  EXPECT_FALSE(interruption_.requested());
  EXPECT_EQ(Next(), &a_);
  EXPECT_TRUE(interruption_.requested());
  EXPECT_EQ(Next(), &b_);
  EXPECT_FALSE(interruption_.requested());
}

TEST_F(JobQueueTest, ACancelDoesNotReachTheNextOne) {
  Add({&a_, &b_});
  Next();
  queue_.Cancel(a_);
  EXPECT_EQ(Next(), &b_);
  EXPECT_FALSE(interruption_.requested());
  queue_.NothingRuns();
  queue_.Cancel(b_);
  EXPECT_FALSE(interruption_.requested());
}

TEST_F(JobQueueTest, WhatIsPutBackComesFirstAndAloneButNotIfItWasCancelled) {
  Add({&a_, &b_, &c_});
  EXPECT_EQ(Next(), &a_);
  EXPECT_EQ(NextOfGroup(), &b_);
  queue_.Cancel(a_);
  EXPECT_FALSE(interruption_.requested());
  EXPECT_THAT(queue_.PutBack({&a_, &b_}), ElementsAre(&a_));
  EXPECT_EQ(NextOfGroup(), nullptr);
  const std::optional<JobQueue::Job> again = queue_.TryNext();
  EXPECT_EQ(again->call, &b_);
  EXPECT_TRUE(again->alone);
  EXPECT_EQ(Next(), &c_);
}

TEST_F(JobQueueTest, ACancelOfSomethingThatIsOverIsForgottenWithTheGroup) {
  Add({&a_, &b_});
  Next();
  queue_.Cancel(a_);
  EXPECT_EQ(Next(), &b_);
  // A new call may have the old one's address.
  EXPECT_THAT(queue_.PutBack({&a_}), IsEmpty());
}

TEST_F(JobQueueTest, AGroupEndsBeforeWhatIsNoStatement) {
  Add({&a_});
  std::vector<JobQueue::Job> ping{{.kind = JobQueue::Job::Kind::kPing}};
  queue_.Add(ping);
  Next();
  EXPECT_EQ(NextOfGroup(), nullptr);
  EXPECT_THAT(queue_.TakeWaiting(), IsEmpty());
  EXPECT_EQ(queue_.TryNext()->kind, JobQueue::Job::Kind::kPing);
}

TEST_F(JobQueueTest, NothingComesAfterTheEndAndWhatRunsIsInterruptedForGood) {
  Add({&a_, &b_});
  Next();
  queue_.End();
  queue_.NothingRuns();
  EXPECT_TRUE(interruption_.requested());
  EXPECT_EQ(NextOfGroup(), nullptr);
  EXPECT_EQ(Next(), nullptr);
  EXPECT_FALSE(queue_.WaitNext().has_value());
}

}  // namespace
}  // namespace dbsidecar::pool
