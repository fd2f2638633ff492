#include "fs/chunk_map.h"

#include <gtest/gtest.h>

namespace ufs {
namespace {

constexpr uint64_t kChunk = ChunkMap::kMinChunkBytes;
const std::string kThisBoot(16, 'a'), kOtherBoot(16, 'b');

void ExpectRun(const ChunkMap& map, uint64_t offset, bool in_upper,
               uint64_t end) {
  const ChunkMap::Run run = map.RunAt(offset);
  EXPECT_EQ(run.in_upper, in_upper) << "at " << offset;
  EXPECT_EQ(run.end, end) << "at " << offset;
}

TEST(ChunkMap, StartsWithEverythingInTheLayerAndGrowthInTheUpper) {
  const ChunkMap map(3 * kChunk + 1);
  ExpectRun(map, 0, false, 3 * kChunk + 1);
  ExpectRun(map, 3 * kChunk, false, 3 * kChunk + 1);
  ExpectRun(map, 3 * kChunk + 1, true, UINT64_MAX);
  EXPECT_FALSE(map.Whole());
  EXPECT_FALSE(map.dirty());
}

TEST(ChunkMap, AddsWholeChunksOnly) {
  ChunkMap map(4 * kChunk);
  map.Add(1, 3 * kChunk - 1);
  ExpectRun(map, 0, false, kChunk);
  ExpectRun(map, kChunk, true, 2 * kChunk);
  ExpectRun(map, 2 * kChunk, false, 4 * kChunk);
  EXPECT_TRUE(map.Covers(kChunk, 2 * kChunk));
  EXPECT_FALSE(map.Covers(kChunk, 2 * kChunk + 1));
  EXPECT_TRUE(map.dirty());
}

TEST(ChunkMap, TheLastChunkEndsAtTheLimit) {
  ChunkMap map(2 * kChunk + 10);
  map.Add(2 * kChunk, 2 * kChunk + 9);
  ExpectRun(map, 2 * kChunk, false, 2 * kChunk + 10);
  map.Add(2 * kChunk, 2 * kChunk + 10);
  ExpectRun(map, 2 * kChunk, true, UINT64_MAX);
  EXPECT_EQ(map.MissingBytes(), 2 * kChunk);
  map.Add(0, 2 * kChunk);
  EXPECT_EQ(map.MissingBytes(), 0u);
  EXPECT_TRUE(map.Whole());
}

TEST(ChunkMap, WhatIsCutOffIsNotTheLayersWhenItGrowsAgain) {
  ChunkMap map(4 * kChunk);
  map.Truncate(kChunk + 5);
  ExpectRun(map, kChunk, false, kChunk + 5);
  ExpectRun(map, kChunk + 5, true, UINT64_MAX);
  map.Truncate(3 * kChunk);
  EXPECT_EQ(map.limit(), kChunk + 5);
  map.Truncate(0);
  EXPECT_TRUE(map.Whole());
}

TEST(ChunkMap, AfterAPowerCutOnlyWhatWasOnDiskCounts) {
  ChunkMap map(4 * kChunk);
  map.Add(0, kChunk);
  EXPECT_TRUE(map.SetDurable(map));
  EXPECT_FALSE(map.SetDurable(map));
  map.Add(2 * kChunk, 3 * kChunk);
  const std::string mark = map.Format(kThisBoot);

  const auto killed = ChunkMap::Parse(mark, kThisBoot, 4 * kChunk);
  ASSERT_TRUE(killed.ok());
  EXPECT_TRUE(killed->Covers(2 * kChunk, 3 * kChunk));
  EXPECT_TRUE(killed->dirty());

  const auto cut = ChunkMap::Parse(mark, kOtherBoot, 4 * kChunk);
  ASSERT_TRUE(cut.ok());
  EXPECT_TRUE(cut->Covers(0, kChunk));
  EXPECT_FALSE(cut->Covers(2 * kChunk, 3 * kChunk));
  EXPECT_FALSE(cut->dirty());
}

TEST(ChunkMap, WhatWasAddedMeanwhileIsNotOnDisk) {
  ChunkMap map(4 * kChunk);
  map.Add(0, kChunk);
  const ChunkMap then = map;
  map.Add(kChunk, 2 * kChunk);
  EXPECT_TRUE(map.SetDurable(then));
  EXPECT_TRUE(map.dirty());
}

TEST(ChunkMap, WhatIsOnDiskStaysThereWhenAnOlderSyncEnds) {
  ChunkMap map(4 * ChunkMap::kMinChunkBytes);
  map.Add(0, ChunkMap::kMinChunkBytes);
  const ChunkMap older = map;
  map.Add(ChunkMap::kMinChunkBytes, 2 * ChunkMap::kMinChunkBytes);
  const ChunkMap newer = map;
  EXPECT_TRUE(map.SetDurable(newer));
  EXPECT_FALSE(map.SetDurable(older));
  EXPECT_FALSE(map.dirty());
}

TEST(ChunkMap, AMarkIsAlwaysAsLong) {
  ChunkMap map(1000 * kChunk);
  const size_t size = map.Format(kThisBoot).size();
  map.Add(0, 500 * kChunk);
  map.Truncate(10);
  EXPECT_EQ(map.Format(kThisBoot).size(), size);
  EXPECT_TRUE(ChunkMap::Parse(map.Format(kThisBoot), kThisBoot, 10).ok());
}

TEST(ChunkMap, LargeFilesHaveLargeChunks) {
  for (const uint64_t size :
       {uint64_t{1}, kChunk * ChunkMap::kMaxChunks,
        kChunk * ChunkMap::kMaxChunks + 1, uint64_t{10} << 30,
        uint64_t{1} << 62, UINT64_MAX / 2}) {
    const ChunkMap map(size);
    EXPECT_LE(size / map.chunk_bytes(), ChunkMap::kMaxChunks);
    EXPECT_LE(map.Format(kThisBoot).size(), 32 + ChunkMap::kMaxChunks / 4);
    const auto again = ChunkMap::Parse(map.Format(kThisBoot), kThisBoot, size);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->limit(), size);
    EXPECT_EQ(again->chunk_bytes(), map.chunk_bytes());
  }
  EXPECT_EQ(ChunkMap(uint64_t{512} << 20).chunk_bytes(), kChunk);
}

TEST(ChunkMap, AFileThatIsShorterThanItsMapEndsThere) {
  const ChunkMap map(4 * kChunk);
  const auto cut =
      ChunkMap::Parse(map.Format(kThisBoot), kThisBoot, kChunk + 7);
  ASSERT_TRUE(cut.ok());
  EXPECT_EQ(cut->limit(), kChunk + 7);
  EXPECT_TRUE(cut->was_long());
  const auto as_long =
      ChunkMap::Parse(map.Format(kThisBoot), kThisBoot, 4 * kChunk);
  ASSERT_TRUE(as_long.ok());
  EXPECT_FALSE(as_long->was_long());
}

TEST(ChunkMap, RefusesDamage) {
  const std::string good = ChunkMap(4 * kChunk).Format(kThisBoot);
  const auto damaged = [&](size_t at, char value) {
    std::string mark = good;
    mark[at] = value;
    return ChunkMap::Parse(mark, kThisBoot, 4 * kChunk).code();
  };
  EXPECT_EQ(ChunkMap::Parse("", kThisBoot, 1).code(), EIO);
  EXPECT_EQ(ChunkMap::Parse(good.substr(0, 31), kThisBoot, 1).code(), EIO);
  EXPECT_EQ(ChunkMap::Parse(good + "x", kThisBoot, 1).code(), EIO);
  EXPECT_EQ(damaged(0, 2), EIO);
  EXPECT_EQ(damaged(1, 3), EIO);
  EXPECT_EQ(damaged(1, 63), EIO);
  EXPECT_EQ(damaged(12, 1), EIO);  // a limit past the map
  EXPECT_EQ(ChunkMap::Parse(good + std::string(4096, 0), kThisBoot, 1).code(),
            EIO);
}

TEST(ChunkMap, ThisBootHasANameOfItsOwn) {
  EXPECT_EQ(BootId().size(), 16u);
  EXPECT_EQ(BootId(), BootId());
  EXPECT_NE(BootId(), std::string(16, '\0'));
}

}  // namespace
}  // namespace ufs
