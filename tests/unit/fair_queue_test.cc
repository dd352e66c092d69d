#include "pool/fair_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace dbsidecar::pool {
namespace {

constexpr uint64_t kFlood = 1;
constexpr uint64_t kQuiet = 2;
constexpr uint64_t kOther = 3;

using Queue = FairQueue<std::string>;

std::string TakeAll(Queue& queue) {
  std::string taken;
  while (!queue.empty()) {
    taken += queue.front() + " ";
    queue.RemoveFront(1);
  }
  return taken;
}

TEST(FairQueueTest, OneCallersItemsComeInOrder) {
  Queue queue;
  for (const char* item : {"a", "b", "c"}) queue.Add(kFlood, item, 1);
  EXPECT_EQ(queue.size(), 3U);
  EXPECT_EQ(TakeAll(queue), "a b c ");
}

TEST(FairQueueTest, CallersTakeTurnsHoweverMuchTheyHave) {
  Queue queue;
  for (const char* item : {"a1", "a2", "a3", "a4"}) queue.Add(kFlood, item, 1);
  queue.Add(kQuiet, "b1", 1);
  queue.Add(kOther, "c1", 1);
  queue.Add(kOther, "c2", 1);
  EXPECT_EQ(TakeAll(queue), "a1 b1 c1 a2 c2 a3 a4 ");
}

TEST(FairQueueTest, WhoComesAgainComesAfterThoseWhoWait) {
  Queue queue;
  queue.Add(kQuiet, "b1", 1);
  queue.Add(kFlood, "a1", 1);
  queue.Add(kFlood, "a2", 1);
  EXPECT_EQ(queue.front(), "b1");
  queue.RemoveFront(1);
  queue.Add(kQuiet, "b2", 1);
  EXPECT_EQ(TakeAll(queue), "a1 b2 a2 ");
}

TEST(FairQueueTest, AnItemThatLeavesUsesUpNoTurn) {
  Queue queue;
  const Queue::Place first = queue.Add(kFlood, "a1", 1);
  queue.Add(kQuiet, "b1", 1);
  const Queue::Place middle = queue.Add(kFlood, "a2", 1);
  queue.Add(kFlood, "a3", 1);
  queue.Remove(first, 1);
  queue.Remove(middle, 1);
  EXPECT_EQ(TakeAll(queue), "a3 b1 ");
}

TEST(FairQueueTest, TheLatestOfTheHeaviestIsTheOneToGo) {
  const auto any = [](const std::string&) { return true; };
  Queue queue;
  EXPECT_EQ(queue.LatestOfHeaviest(0, any), nullptr);
  queue.Add(kQuiet, "b1", 1);
  for (const char* item : {"a1", "a2", "a3"}) queue.Add(kFlood, item, 1);
  queue.Add(kFlood, "without weight", 0);
  EXPECT_EQ(queue.WeightOf(kFlood), 3U);
  EXPECT_EQ(queue.WeightOf(kOther), 0U);
  EXPECT_EQ(*queue.LatestOfHeaviest(2, any), "without weight");
  EXPECT_EQ(*queue.LatestOfHeaviest(2, [](const std::string& item) { return item[0] == 'a'; }),
            "a3");
  EXPECT_EQ(queue.LatestOfHeaviest(3, any), nullptr);
}

TEST(FairQueueTest, CallersWithoutItemsAreForgottenInTheEnd) {
  Queue queue;
  for (uint64_t key = 0; key < 1000; ++key) {
    queue.Add(key, "x", 1);
    queue.RemoveFront(1);
  }
  EXPECT_TRUE(queue.empty());
  queue.Add(5, "y", 1);
  EXPECT_EQ(queue.WeightOf(5), 1U);
  EXPECT_EQ(TakeAll(queue), "y ");
}

}  // namespace
}  // namespace dbsidecar::pool
