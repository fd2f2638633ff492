#include "fs/listing.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

namespace ufs {
namespace {

std::vector<Listing::Source> Sources(int count) {
  std::vector<Listing::Source> sources;
  for (int i = 0; i < count; ++i)
    sources.push_back({"name" + std::to_string(i), S_IFREG, uint64_t(i + 1)});
  return sources;
}

TEST(Listing, OffsetsGrowAndLeaveRoomForDots) {
  const Listing listing(Sources(1000));
  uint64_t last = Listing::kFirstOffset - 1;
  for (const auto& item : listing.items()) {
    EXPECT_GT(item.offset, last);
    EXPECT_LE(item.offset, uint64_t{INT64_MAX});
    last = item.offset;
  }
}

TEST(Listing, AnOffsetDoesNotDependOnOtherNames) {
  const Listing all(Sources(1000));
  const Listing few(Sources(10));
  for (const auto& item : few.items()) {
    const size_t at = all.After(item.offset - 1);
    ASSERT_LT(at, all.items().size());
    EXPECT_STREQ(all.name(all.items()[at]), few.name(item));
  }
}

TEST(Listing, AfterIsWhereToGoOn) {
  const Listing listing(Sources(5));
  EXPECT_EQ(listing.After(0), 0u);
  for (size_t i = 0; i < 5; ++i)
    EXPECT_EQ(listing.After(listing.items()[i].offset), i + 1);
}

TEST(ListingCache, KeepsWhatFitsAndAlwaysTheNewest) {
  const auto entry = [](int names) {
    return ListingCache::Entry{std::make_shared<const Listing>(Sources(names)),
                               1};
  };
  ListingCache cache(entry(100).listing->bytes() * 2 + 10);
  for (uint64_t dir = 1; dir <= 3; ++dir) cache.Insert(NodeId{dir}, entry(100));
  EXPECT_EQ(cache.Find(NodeId{1}).listing, nullptr);
  EXPECT_NE(cache.Find(NodeId{2}).listing, nullptr);
  cache.Insert(NodeId{4}, entry(10000));
  EXPECT_NE(cache.Find(NodeId{4}).listing, nullptr);
  EXPECT_EQ(cache.Find(NodeId{3}).listing, nullptr);
  cache.Erase(NodeId{4});
  cache.Erase(NodeId{4});
  EXPECT_EQ(cache.Find(NodeId{4}).listing, nullptr);
}

}  // namespace
}  // namespace ufs
