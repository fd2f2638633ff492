#include "runtime/id_map.h"

#include <gtest/gtest.h>

namespace ufs::runtime {
namespace {

TEST(ParseSubIdsTest, ByNameAndNumber) {
  const auto ranges =
      ParseSubIds("other:1:2\nme:100000:65536\n1000:200000:10\nme:300000:5\n",
                  "me", "1000");
  ASSERT_EQ(ranges.size(), 3u);
  EXPECT_EQ(ranges[0].first, 100000u);
  EXPECT_EQ(ranges[0].count, 65536u);
  EXPECT_EQ(ranges[1].first, 200000u);
  EXPECT_EQ(ranges[2].count, 5u);
}

TEST(ParseSubIdsTest, SkipsNonsense) {
  for (const char* text :
       {"", "me", "me:", "me:1", "me:x:1", "me:1:", "me:1:0", "me:-1:5",
        "me:4294967295:2", "me:1:2:3", "mee:1:2", ":1:2", "\n\n", "me:1 :2"})
    EXPECT_TRUE(ParseSubIds(text, "me", "7").empty()) << text;
}

TEST(ParseSubIdsTest, NoNameIsNotAnEmptyName) {
  EXPECT_TRUE(ParseSubIds(":1:2", "", "7").empty());
}

TEST(IdMapTest, FormatAndLookup) {
  const std::vector<IdMapping> maps = {{0, 1000, 1}, {1, 100000, 10}};
  EXPECT_EQ(FormatIdMap(maps), "0 1000 1\n1 100000 10\n");
  EXPECT_TRUE(IsMapped(maps, 0));
  EXPECT_TRUE(IsMapped(maps, 10));
  EXPECT_FALSE(IsMapped(maps, 11));
}

}  // namespace
}  // namespace ufs::runtime
