#include "fs/listing_streams.h"

#include <gtest/gtest.h>

#include <chrono>

namespace ufs {
namespace {

using std::chrono::seconds;

constexpr NodeId kDir{7};

TEST(ListingStreamsTest, OneReaderAfterTheOtherMixesNothing) {
  ListingStreams streams;
  for (int i = 0; i < 3; ++i) {
    streams.Begin(kDir);
    streams.Begin(NodeId{8});
    EXPECT_FALSE(streams.End(kDir));
    EXPECT_FALSE(streams.End(NodeId{8}));
  }
  EXPECT_FALSE(streams.End(kDir));
}

TEST(ListingStreamsTest, ReadersAtOnceDoUntilTheLastIsDone) {
  ListingStreams streams;
  streams.Begin(kDir);
  streams.Begin(kDir);
  EXPECT_TRUE(streams.End(kDir));
  EXPECT_TRUE(streams.End(kDir));
  streams.Begin(kDir);
  EXPECT_FALSE(streams.End(kDir));
}

TEST(ListingStreamsTest, WhoWentAwayIsForgotten) {
  ListingStreams streams;
  const auto now = ListingStreams::Clock::now();
  streams.Begin(kDir, now);
  streams.Begin(kDir, now + seconds(6));
  EXPECT_FALSE(streams.End(kDir));
}

TEST(ListingStreamsTest, ManyThatWentAwayTakeNoMemoryForEver) {
  ListingStreams streams;
  const auto now = ListingStreams::Clock::now();
  for (uint64_t i = 1; i < 10000; ++i)
    streams.Begin(NodeId{i}, now + seconds(i));
  EXPECT_FALSE(streams.End(NodeId{1}));
  EXPECT_FALSE(streams.End(NodeId{9999}));
}

}  // namespace
}  // namespace ufs
