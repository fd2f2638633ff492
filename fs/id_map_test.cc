#include "fs/id_map.h"

#include <gtest/gtest.h>

#include <string>

namespace ufs {
namespace {

constexpr uint32_t kOverflow = 65534;

IdMap MapOf(std::string_view text) {
  Result<IdMap> map = IdMap::Parse(text);
  EXPECT_TRUE(map.ok()) << text << ": " << map.error().ToString();
  return map.ok() ? *map : IdMap();
}

TEST(IdMap, IsTheIdentityByDefault) {
  const IdMap map;
  EXPECT_TRUE(map.identity());
  EXPECT_EQ(map.ToShown(0), 0u);
  EXPECT_EQ(map.ToShown(4'000'000'000), 4'000'000'000u);
  EXPECT_EQ(map.ToHost(1000), 1000u);
}

// An option with nothing after '=' means no mapping, as with fuse-overlayfs.
TEST(IdMap, EmptyTextIsTheIdentity) {
  EXPECT_TRUE(MapOf("").identity());
  EXPECT_TRUE(MapOf(":").identity());
}

TEST(IdMap, MapsBothWaysAtTheEdgesOfARange) {
  const IdMap map = MapOf("0:1000:1:1:110000:65536");
  EXPECT_FALSE(map.identity());
  EXPECT_EQ(map.ToShown(0), 1000u);
  EXPECT_EQ(map.ToShown(1), 110000u);
  EXPECT_EQ(map.ToShown(65536), 175535u);
  EXPECT_EQ(map.ToShown(65537), kOverflow);

  EXPECT_EQ(map.ToHost(1000), 0u);
  EXPECT_EQ(map.ToHost(110000), 1u);
  EXPECT_EQ(map.ToHost(175535), 65536u);
  EXPECT_EQ(map.ToHost(175536), std::nullopt);
  EXPECT_EQ(map.ToHost(0), std::nullopt);
  EXPECT_EQ(map.ToHost(109999), std::nullopt);
}

// podman writes uidmapping=:0:100000:1000.
TEST(IdMap, TakesALeadingColon) {
  const IdMap map = MapOf(":0:100000:1000");
  EXPECT_EQ(map.ToShown(999), 100999u);
  EXPECT_EQ(map.ToShown(1000), kOverflow);
}

TEST(IdMap, RoundTripsEveryMappedId) {
  const IdMap map = MapOf("10:500:20:40:100:3");
  for (uint32_t host = 0; host < 60; ++host) {
    const bool mapped = (host >= 10 && host < 30) || (host >= 40 && host < 43);
    if (mapped)
      EXPECT_EQ(map.ToHost(map.ToShown(host)), host);
    else
      EXPECT_EQ(map.ToShown(host), kOverflow) << host;
  }
}

TEST(IdMap, ReachesTheLargestId) {
  const IdMap map = MapOf("0:4294967295:1");
  EXPECT_EQ(map.ToShown(0), 4294967295u);
  EXPECT_EQ(map.ToHost(4294967295u), 0u);
  EXPECT_TRUE(IdMap::Parse("0:0:4294967295").ok());
}

class IdMapRefuses : public testing::TestWithParam<const char*> {};

TEST_P(IdMapRefuses, WithEinvalAndTheText) {
  Result<IdMap> map = IdMap::Parse(GetParam());
  ASSERT_FALSE(map.ok());
  EXPECT_EQ(map.code(), EINVAL);
  EXPECT_NE(map.error().context().find(GetParam()), std::string_view::npos)
      << "the message quotes what was given: " << map.error().ToString();
}

INSTANTIATE_TEST_SUITE_P(Malformed, IdMapRefuses,
                         testing::Values("0", "0:1", "0:1:", "::0:1:2",
                                         "0:1:2:3", "a:b:c", "0:1:-1", "0:1:2x",
                                         "0 :1:2", "+0:1:2", "0:1:2::3:4:5",
                                         "4294967296:0:1",
                                         "0:99999999999999999999:1"));

INSTANTIATE_TEST_SUITE_P(
    BadRanges, IdMapRefuses,
    testing::Values("0:1:0",               // empty
                    "4294967295:0:2",      // past the largest id
                    "0:4294967295:2",      //
                    "0:100:10:5:200:10",   // one host id in two ranges
                    "0:100:10:50:105:10",  // one shown id in two ranges
                    "0:0:4294967295:7:1:1"));

}  // namespace
}  // namespace ufs
