#include "server/utf8.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace dbsidecar::server {
namespace {

// By the bit patterns of RFC 3629, section 3, without a look at what is allowed.
std::string Encoded(char32_t code_point) {
  const auto continuation = [code_point](int shift) {
    return static_cast<char>(0x80 | ((code_point >> shift) & 0x3f));
  };
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  if (code_point < 0x800) return {static_cast<char>(0xc0 | code_point >> 6), continuation(0)};
  if (code_point < 0x10000) {
    return {static_cast<char>(0xe0 | code_point >> 12), continuation(6), continuation(0)};
  }
  return {static_cast<char>(0xf0 | code_point >> 18), continuation(12), continuation(6),
          continuation(0)};
}

bool IsScalarValue(char32_t code_point) {
  return code_point <= 0x10ffff && (code_point < 0xd800 || code_point > 0xdfff);
}

TEST(Utf8Test, EveryScalarValueIsReadBackAndNothingElseIsValid) {
  for (char32_t code_point = 0; code_point <= 0x1fffff; ++code_point) {
    const std::string text = Encoded(code_point);
    ASSERT_EQ(IsValidUtf8(text), IsScalarValue(code_point)) << std::hex << +code_point;
    const Utf8Character first = FirstCharacter(text + "x");
    ASSERT_EQ(first.bytes, IsScalarValue(code_point) ? text.size() : 0) << std::hex << +code_point;
    ASSERT_EQ(first.code_point, IsScalarValue(code_point) ? code_point : 0) << std::hex;
  }
}

TEST(Utf8Test, OverlongFormsAreNotValid) {
  for (const char* text : {"\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf",
                           "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf"}) {
    EXPECT_FALSE(IsValidUtf8(text)) << testing::PrintToString(text);
  }
}

TEST(Utf8Test, ALoneContinuationAndALeadThatNoCharacterHasAreNotValid) {
  for (int byte = 0x80; byte <= 0xff; ++byte) {
    EXPECT_FALSE(IsValidUtf8(std::string(1, static_cast<char>(byte)))) << byte;
  }
  for (int lead = 0xf5; lead <= 0xff; ++lead) {
    EXPECT_FALSE(IsValidUtf8(static_cast<char>(lead) + std::string("\x80\x80\x80"))) << lead;
  }
}

TEST(Utf8Test, ACharacterThatIsCutOrInterruptedIsNotValid) {
  for (const std::string character : {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) {
    for (size_t kept = 1; kept < character.size(); ++kept) {
      const std::string cut = character.substr(0, kept);
      EXPECT_FALSE(IsValidUtf8("before" + cut));
      EXPECT_FALSE(IsValidUtf8(cut + "after it"));
      // The rest is in memory, but not in the text.
      EXPECT_FALSE(IsValidUtf8(std::string_view(character).substr(0, kept)));
    }
  }
}

TEST(Utf8Test, TextOfManyCharactersIsValidUpToItsFirstFault) {
  const std::string text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
  EXPECT_TRUE(IsValidUtf8(""));
  EXPECT_TRUE(IsValidUtf8(text));
  EXPECT_TRUE(IsValidUtf8(std::string("\0 is a character", 16)));
  EXPECT_FALSE(IsValidUtf8(text + "\xff"));
  EXPECT_FALSE(IsValidUtf8("\xff" + text));
}

}  // namespace
}  // namespace dbsidecar::server
