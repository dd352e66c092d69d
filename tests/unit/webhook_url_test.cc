#include "server/config/webhook_url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dbsidecar::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(WebhookUrlTest, ItsPartsAreTold) {
  const auto url =
      ParseWebhookUrl("https://us%40er:p%3Ass@hooks.example:8443/services/T1/B2?x=y#z");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->host, "hooks.example");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->user, "us@er");
  EXPECT_EQ(url->password, "p:ss");
  EXPECT_EQ(url->target, "/services/T1/B2?x=y");
  EXPECT_EQ(url->Redacted(), "https://hooks.example:8443/***");
  EXPECT_THAT(url->Secrets(), ElementsAre("p:ss", "/services/T1/B2?x=y"));
}

TEST(WebhookUrlTest, WhatIsNotSaidIsTheUsual) {
  const auto plain = ParseWebhookUrl("http://[::1]");
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_FALSE(plain->tls);
  EXPECT_EQ(plain->host, "::1");
  EXPECT_EQ(plain->port, 80);
  EXPECT_EQ(plain->target, "/");
  EXPECT_EQ(plain->Redacted(), "http://[::1]/***");
  EXPECT_EQ(ParseWebhookUrl("https://h?a=b")->target, "/?a=b");
  EXPECT_EQ(ParseWebhookUrl("https://h/x")->port, 443);
  EXPECT_TRUE(WebhookUrl().none());
}

TEST(WebhookUrlTest, AMistakeIsToldWithoutTheUrl) {
  for (const char* text :
       {"", "hooks.example/secret", "ftp://h/secret", "http://", "http:///secret",
        "http://h:0/secret", "http://h:99999/secret", "http://h:port/secret", "http://h:/secret",
        "http://h/se cret", "http://h/\r\nsecret"}) {
    const auto url = ParseWebhookUrl(text);
    ASSERT_FALSE(url.ok()) << text;
    EXPECT_THAT(std::string(url.status().message()), HasSubstr("write http://host:port/path"));
    EXPECT_THAT(std::string(url.status().message()), Not(HasSubstr("secret")));
  }
}

}  // namespace
}  // namespace dbsidecar::server
