#include "pool/lru_cache.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace dbsidecar::pool {
namespace {

TEST(LruCacheTest, ForgetsWhatWasUsedLongestAgo) {
  LruCache<int> cache(2, 1000);
  cache.Insert("a", 1);
  cache.Insert("b", 2);
  ASSERT_NE(cache.Find("a"), nullptr);
  cache.Insert("c", 3);
  EXPECT_EQ(cache.Find("b"), nullptr);
  ASSERT_NE(cache.Find("a"), nullptr);
  EXPECT_EQ(*cache.Find("a"), 1);
  EXPECT_EQ(*cache.Find("c"), 3);
  EXPECT_EQ(cache.size(), 2u);
}

TEST(LruCacheTest, TheBytesOfTheKeysAreBoundedButTheNewOneStays) {
  LruCache<int> cache(100, 10);
  cache.Insert("aaaaa", 1);
  cache.Insert("bbbbb", 2);
  EXPECT_EQ(cache.size(), 2u);
  cache.Insert("c", 3);
  EXPECT_EQ(cache.Find("aaaaa"), nullptr);
  cache.Insert(std::string(50, 'd'), 4);
  EXPECT_EQ(cache.size(), 1u);
  EXPECT_EQ(*cache.Find(std::string(50, 'd')), 4);
  cache.Insert("e", 5);
  EXPECT_EQ(cache.size(), 1u);
  EXPECT_EQ(*cache.Find("e"), 5);
}

TEST(LruCacheTest, ErasingGivesTheBytesBack) {
  LruCache<int> cache(100, 10);
  cache.Insert("aaaaa", 1);
  cache.Erase("aaaaa");
  cache.Erase("never there");
  cache.Insert("bbbbb", 2);
  cache.Insert("ccccc", 3);
  EXPECT_EQ(cache.size(), 2u);
  cache.Clear();
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(cache.Find("bbbbb"), nullptr);
  cache.Insert("ddddd", 4);
  cache.Insert("eeeee", 5);
  EXPECT_EQ(cache.size(), 2u);
}

TEST(LruCacheTest, HandsOverEverythingThatAnInsertForgets) {
  LruCache<int> cache(100, 10);
  std::vector<int> forgotten;
  cache.Insert("aaa", 1, &forgotten);
  cache.Insert("bbb", 2, &forgotten);
  cache.Insert("ccc", 3, &forgotten);
  EXPECT_TRUE(forgotten.empty());
  cache.Find("aaa");
  cache.Insert("ddddddd", 4, &forgotten);
  EXPECT_EQ(forgotten, (std::vector<int>{2, 3}));
  EXPECT_EQ(cache.size(), 2u);
}

TEST(LruCacheTest, KeysAreCopied) {
  LruCache<int> cache(10, 1000);
  std::string key = "a key that is too long to be stored inline";
  cache.Insert(key, 1);
  const std::string same = key;
  key.assign(key.size(), 'x');
  EXPECT_NE(cache.Find(same), nullptr);
  EXPECT_EQ(cache.Find(key), nullptr);
}

}  // namespace
}  // namespace dbsidecar::pool
