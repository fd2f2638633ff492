#include "fs/sealed_contents.h"

#include <gtest/gtest.h>

namespace ufs {
namespace {

struct statx FileAt(uint64_t ino, int64_t changed_ns, uint64_t size) {
  struct statx stat {};
  stat.stx_dev_major = 8;
  stat.stx_ino = ino;
  stat.stx_size = size;
  stat.stx_ctime = {changed_ns / 1'000'000'000,
                    static_cast<uint32_t>(changed_ns % 1'000'000'000),
                    {}};
  return stat;
}

timespec At(int64_t ns) { return {ns / 1'000'000'000, ns % 1'000'000'000}; }

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kThen = 50 * kSecond;
constexpr ObjectId kContent{1, 2};

TEST(SealedContentsTest, KnowsAFileUntilItChanges) {
  SealedContents contents;
  const auto file = FileAt(5, kThen, 100);
  EXPECT_FALSE(contents.Find(file));
  contents.Add(At(kThen + kSecond), file, kContent);
  EXPECT_EQ(contents.Find(file), kContent);
  EXPECT_FALSE(contents.Find(FileAt(5, kThen + 1, 100)));
  EXPECT_FALSE(contents.Find(FileAt(5, kThen - kSecond, 100)));
  EXPECT_FALSE(contents.Find(FileAt(5, kThen, 101)));
  EXPECT_FALSE(contents.Find(FileAt(6, kThen, 100)));
  auto elsewhere = file;
  elsewhere.stx_dev_major = 9;
  EXPECT_FALSE(contents.Find(elsewhere));
}

// It may be changed once more with the same time.
TEST(SealedContentsTest, DoesNotTrustAFileThatWasJustChanged) {
  SealedContents contents;
  const auto file = FileAt(5, kThen, 100);
  contents.Add(At(kThen + kSecond / 100), file, kContent);
  EXPECT_FALSE(contents.Find(file));
  // A clock that was set back says nothing either.
  contents.Add(At(kThen - kSecond), file, kContent);
  EXPECT_FALSE(contents.Find(file));
}

TEST(SealedContentsTest, TellsWhatIsInUse) {
  SealedContents contents;
  const auto old = FileAt(5, kThen, 100);
  const ObjectId other{3, 4};
  contents.Add(At(kThen + kSecond), old, kContent);
  contents.Add(At(kThen), FileAt(6, kThen, 100), other);
  EXPECT_EQ(contents.in_use(), (std::set<ObjectId>{kContent, other}));
  contents.Restart();
  EXPECT_TRUE(contents.in_use().empty());
  EXPECT_TRUE(contents.Find(old));
  EXPECT_EQ(contents.in_use(), std::set<ObjectId>{kContent});
}

}  // namespace
}  // namespace ufs
