#include "pool/trace_context.h"

#include <gtest/gtest.h>

#include <string>

namespace dbsidecar::pool {
namespace {

constexpr std::string_view kGood = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

std::string With(size_t at, std::string_view text) {
  return std::string(kGood).replace(at, text.size(), text);
}

TEST(TraceContextTest, AValidOneIsReadInParts) {
  const TraceContext context = TraceContext::Parse(kGood);
  ASSERT_TRUE(context.present());
  EXPECT_TRUE(context.sampled());
  EXPECT_EQ(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(context.span_id(), "00f067aa0ba902b7");
  EXPECT_EQ(context.text(), kGood);
}

TEST(TraceContextTest, TheLastBitSaysWhetherItIsSampled) {
  EXPECT_FALSE(TraceContext::Parse(With(53, "00")).sampled());
  EXPECT_TRUE(TraceContext::Parse(With(53, "00")).present());
  EXPECT_FALSE(TraceContext::Parse(With(53, "fe")).sampled());
  EXPECT_TRUE(TraceContext::Parse(With(53, "0b")).sampled());
  EXPECT_FALSE(TraceContext().sampled());
}

TEST(TraceContextTest, WhatIsMalformedIsIgnored) {
  for (const std::string& text :
       {std::string(), std::string("00"), std::string(kGood.substr(0, 54)),
        std::string(kGood) + "-", std::string(kGood) + "-00", " " + std::string(kGood),
        With(0, "ff"), With(0, "0x"), With(2, "_"), With(35, " "), With(52, "0"), With(3, "4BF9"),
        With(40, "g"), With(53, "0G"), With(3, "00000000000000000000000000000000"),
        With(36, "0000000000000000"), std::string(55, '-'), std::string(55, '\0'),
        std::string(1000, '0')}) {
    EXPECT_FALSE(TraceContext::Parse(text).present()) << text;
  }
}

TEST(TraceContextTest, OfANewerVersionTheFirstPartCounts) {
  EXPECT_TRUE(TraceContext::Parse(With(0, "cc")).present());
  const std::string longer = With(0, "cc") + "-what-the-future-will-be-like";
  EXPECT_EQ(TraceContext::Parse(longer).text().size(), 55u);
  EXPECT_EQ(TraceContext::Parse(longer).span_id(), "00f067aa0ba902b7");
  EXPECT_FALSE(TraceContext::Parse(With(0, "cc") + ".what").present());
}

}  // namespace
}  // namespace dbsidecar::pool
