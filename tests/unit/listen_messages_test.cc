#include "server/listen_messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace dbsidecar::server {
namespace {

using pool::ErrorKind;
using testing::ElementsAre;

v1::ListenRequest Channels(const std::vector<std::string>& names) {
  v1::ListenRequest request;
  for (const std::string& name : names) request.add_channels(name);
  return request;
}

TEST(ListenMessagesTest, EveryNameThatPostgresqlTakesIsTaken) {
  for (const std::string& name : {std::string("a"), std::string(63, 'n'), std::string("\"; --")}) {
    EXPECT_FALSE(CheckListen(Channels({name})).has_value()) << name;
  }
  EXPECT_FALSE(CheckListen(Channels(std::vector<std::string>(1000, "a"))).has_value());
}

TEST(ListenMessagesTest, NamesThatPostgresqlWouldCutOrRefuseAreInvalid) {
  for (const std::string& name : {std::string(), std::string(64, 'n'), std::string("a\0", 2)}) {
    const auto refusal = CheckListen(Channels({"good", name}));
    ASSERT_TRUE(refusal.has_value()) << name;
    EXPECT_EQ(refusal->kind, ErrorKind::kInvalidArgument);
  }
  EXPECT_EQ(CheckListen({})->kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(CheckListen(Channels(std::vector<std::string>(1001, "a")))->kind,
            ErrorKind::kInvalidArgument);
}

TEST(ListenMessagesTest, AChannelThatIsNamedTwiceIsOneChannel) {
  EXPECT_THAT(ChannelsOf(Channels({"b", "a", "b", "A"})), ElementsAre("b", "a", "A"));
}

TEST(ListenMessagesTest, WhatIsNotUtf8DoesNotReachTheWire) {
  const v1::ListenResponse event =
      NotificationEvent({.number = 1, .channel = "c\xFF", .payload = "\xC3(", .pid = 7});
  EXPECT_EQ(event.notification().channel(), "c?");
  EXPECT_EQ(event.notification().payload(), "?(");
  EXPECT_EQ(event.notification().pid(), 7);
  EXPECT_EQ(NotificationEvent({.channel = "ä", .payload = ""}).notification().channel(), "ä");
}

TEST(ListenMessagesTest, AGapSaysWhenAndWhy) {
  const std::chrono::system_clock::time_point lost(std::chrono::milliseconds(1500));
  const v1::ListenResponse event =
      GapEvent({.lost = lost, .restored = lost + std::chrono::seconds(2), .reason = "why"});
  EXPECT_EQ(event.gap().lost_time().seconds(), 1);
  EXPECT_EQ(event.gap().lost_time().nanos(), 500'000'000);
  EXPECT_EQ(event.gap().restored_time().seconds(), 3);
  EXPECT_EQ(event.gap().reason(), "why");
}

}  // namespace
}  // namespace dbsidecar::server
