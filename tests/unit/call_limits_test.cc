#include "pool/call_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace dbsidecar::pool {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Entry = CallLimits::Entry;

LimitKeys Keys(const std::string& caller, const std::string& route = "",
               const std::string& statement = "") {
  return {caller, route, statement};
}

TEST(CallLimitsTest, WhoIsOverTheLimitWaitsForWhoeverLeaves) {
  CallLimits limits({.max = {2, 0, 0}});
  EXPECT_EQ(limits.Enter(1, Keys("a"), true).entry, Entry::kGoesOn);
  EXPECT_EQ(limits.Enter(2, Keys("a"), true).entry, Entry::kGoesOn);
  const CallLimits::Verdict third = limits.Enter(3, Keys("a"), true);
  EXPECT_EQ(third.entry, Entry::kWaits);
  EXPECT_EQ(third.reached, LimitKind::kCaller);
  EXPECT_EQ(limits.Enter(4, Keys("a"), true).entry, Entry::kWaits);
  EXPECT_EQ(limits.Enter(5, Keys("b"), true).entry, Entry::kGoesOn) << "another caller";
  EXPECT_EQ(limits.Enter(6, Keys(""), true).entry, Entry::kGoesOn) << "nobody's";
  EXPECT_EQ(limits.waiting(), 2u);
  EXPECT_THAT(limits.Leave(Keys("b")), IsEmpty());
  EXPECT_THAT(limits.Leave(Keys("a")), ElementsAre(3)) << "the first that came";
  EXPECT_THAT(limits.Leave(Keys("a")), ElementsAre(4));
  EXPECT_EQ(limits.at_work(LimitKind::kCaller, "a"), 2u);
  EXPECT_EQ(limits.reached_total()[0], 2u);
}

TEST(CallLimitsTest, ACallNeedsAPlaceInEach) {
  CallLimits limits({.max = {2, 1, 0}});
  limits.Enter(1, Keys("a", "r"), true);
  EXPECT_EQ(limits.Enter(2, Keys("a", "r"), true).reached, LimitKind::kRoute);
  EXPECT_EQ(limits.Enter(3, Keys("a", "s"), true).entry, Entry::kGoesOn)
      << "one that waits takes no place";
  EXPECT_EQ(limits.Enter(4, Keys("a", "t"), true).reached, LimitKind::kCaller);
  EXPECT_THAT(limits.Leave(Keys("a", "r")), ElementsAre(4))
      << "it waits at the first gate, and the other one is passed after it";
  EXPECT_THAT(limits.Leave(Keys("a", "s")), ElementsAre(2));
  EXPECT_EQ(limits.waiting(), 0u);
}

TEST(CallLimitsTest, SomeMayWaitAndMoreAreRefused) {
  CallLimits limits({.max = {1, 0, 0}, .waiting_max = 1});
  limits.Enter(1, Keys("a"), true);
  EXPECT_EQ(limits.Enter(2, Keys("a"), true).entry, Entry::kWaits);
  EXPECT_EQ(limits.Enter(3, Keys("a"), true).entry, Entry::kRefused);
  EXPECT_EQ(limits.Enter(4, Keys("a"), false).entry, Entry::kWaits) << "held back otherwise";
  limits.Withdraw(2);
  limits.Withdraw(2);
  EXPECT_THAT(limits.Leave(Keys("a")), ElementsAre(4));
}

TEST(CallLimitsTest, ObservedLimitsLetEveryoneOnAndCount) {
  CallLimits limits({.max = {0, 0, 1}, .enforce = false});
  limits.Enter(1, Keys("", "", "s"), true);
  const CallLimits::Verdict second = limits.Enter(2, Keys("", "", "s"), true);
  EXPECT_EQ(second.entry, Entry::kGoesOn);
  EXPECT_EQ(second.reached, LimitKind::kStatement);
  EXPECT_EQ(limits.at_work(LimitKind::kStatement, "s"), 2u);
  EXPECT_EQ(limits.reached_total()[2], 1u);
}

TEST(CallLimitsTest, NewLimitsHoldForThoseThatWait) {
  CallLimits limits({.max = {1, 0, 0}});
  for (uint64_t id = 1; id <= 4; ++id) limits.Enter(id, Keys("a", "r"), true);
  EXPECT_THAT(limits.Reconfigure({.max = {2, 0, 0}}), ElementsAre(2));
  EXPECT_THAT(limits.Reconfigure({.max = {2, 0, 0}, .enforce = false}), ElementsAre(3, 4));
  EXPECT_THAT(limits.Reconfigure({.max = {0, 1, 0}}), IsEmpty());
  EXPECT_EQ(limits.waiting(), 0u);
}

// Whatever happens: nobody is over a limit, nobody waits where there is room, everybody goes on in
// the end, and nothing is kept of those that are gone.
TEST(CallLimitsTest, HoldsAtRandom) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const CallLimitOptions options{.max = {random() % 4, random() % 4, random() % 3}};
    CallLimits limits(options);
    std::map<uint64_t, LimitKeys> inside;
    std::map<uint64_t, LimitKeys> outside;
    const auto let_on = [&](const std::vector<uint64_t>& on) {
      for (const uint64_t id : on) inside.insert(outside.extract(id));
    };
    const auto leave = [&](uint64_t id) {
      const LimitKeys keys = inside.extract(id).mapped();
      let_on(limits.Leave(keys));
    };
    const auto check = [&] {
      ASSERT_EQ(limits.waiting(), outside.size());
      std::array<std::map<std::string, size_t>, kLimitKinds> counts;
      for (const auto& [id, keys] : inside) {
        for (size_t i = 0; i < kLimitKinds; ++i) ++counts[i][keys[i]];
      }
      for (size_t i = 0; i < kLimitKinds; ++i) {
        for (const auto& [key, count] : counts[i]) {
          if (key.empty() || options.max[i] == 0) continue;
          ASSERT_LE(count, options.max[i]);
          ASSERT_EQ(limits.at_work(static_cast<LimitKind>(i), key), count);
        }
      }
      for (const auto& [id, keys] : outside) {
        bool full = false;
        for (size_t i = 0; i < kLimitKinds; ++i) {
          full = full ||
                 (!keys[i].empty() && options.max[i] != 0 && counts[i][keys[i]] >= options.max[i]);
        }
        ASSERT_TRUE(full) << "call " << id << " waits for nothing";
      }
    };
    for (uint64_t id = 1; id <= 100; ++id) {
      const auto pick = [&] {
        return random() % 4 == 0 ? "" : std::string(1, "abc"[random() % 3]);
      };
      const LimitKeys keys = {pick(), pick(), pick()};
      const bool on = limits.Enter(id, keys, true).entry == Entry::kGoesOn;
      (on ? inside : outside)[id] = keys;
      check();
      if (random() % 2 == 0 && !inside.empty()) leave(inside.begin()->first);
      if (random() % 8 == 0 && !outside.empty()) {
        limits.Withdraw(outside.begin()->first);
        outside.erase(outside.begin());
      }
      check();
    }
    while (!inside.empty()) leave(inside.begin()->first);
    EXPECT_TRUE(outside.empty()) << "somebody was never let on";
    EXPECT_EQ(limits.waiting(), 0u);
  }
}

}  // namespace
}  // namespace dbsidecar::pool
