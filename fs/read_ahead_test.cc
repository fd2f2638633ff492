#include "fs/read_ahead.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "fs/union_fixture.h"
#include "layerdb/base/page_cache.h"

namespace ufs {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kFileBytes = 64 * kMiB;

class DropBehindTest : public UnionFsTest {
 protected:
  // Of [begin, end), what the host has in memory.
  static uint64_t Resident(const stdfs::path& path, uint64_t begin,
                           uint64_t end) {
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    void* const view = mmap(nullptr, end - begin, PROT_READ, MAP_SHARED,
                            fd.get(), static_cast<off_t>(begin));
    EXPECT_NE(view, MAP_FAILED);
    const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    std::vector<unsigned char> states((end - begin) / page);
    EXPECT_EQ(mincore(view, end - begin, states.data()), 0);
    munmap(view, end - begin);
    uint64_t resident = 0;
    for (const unsigned char state : states) resident += state & 1;
    return resident * page;
  }

  void Forget(const stdfs::path& path) {
    const UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_EQ(fsync(fd.get()), 0);
    ASSERT_EQ(posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  }

  void ReadAll(const char* name, size_t size) {
    const NodeId node = Walk(name);
    std::vector<char> buffer(size);
    for (uint64_t at = 0; at < kFileBytes; at += size)
      ASSERT_EQ(
          *fs_->Read(node, buffer.data(), size, at, UnionFs::Wait::kMayWait),
          size);
  }

  void SetUp() override {
    UnionFsTest::SetUp();
    layer_file_ = root_ / "base/large";
    Put(layer_file_, std::string(kFileBytes, 'l'));
    Mount();
    Forget(layer_file_);
    if (Resident(layer_file_, 0, kFileBytes) > 0)
      GTEST_SKIP() << "this file system keeps its files in memory";
  }

  // What is in the upper of a file of its own.
  void MakeUpperFile() {
    upper_file_ = root_ / "upper/own";
    Put(upper_file_, std::string(kFileBytes, 'u'));
  }
  bool CanTell() {
    const UniqueFd fd(open(layer_file_.c_str(), O_RDWR | O_CLOEXEC));
    return sys::IsClean(fd, 0, 0).ok();
  }
  bool IsDirty() {
    const UniqueFd fd(open(upper_file_.c_str(), O_RDWR | O_CLOEXEC));
    const auto clean = sys::IsClean(fd, 0, 0);
    return clean.ok() && !*clean;
  }

  stdfs::path layer_file_, upper_file_;
};

TEST_F(DropBehindTest, OfALargeFileTheStartStaysAndTheEnd) {
  ReadAll("large", kMiB);
  EXPECT_EQ(Resident(layer_file_, 0, 32 * kMiB), 32 * kMiB);
  EXPECT_LE(Resident(layer_file_, 32 * kMiB, 56 * kMiB), kMiB);
}

TEST_F(DropBehindTest, SmallReadsLeaveItThere) {
  ReadAll("large", 4096);
  EXPECT_EQ(Resident(layer_file_, 0, kFileBytes), kFileBytes);
}

TEST_F(DropBehindTest, OfAFileInPartsAsWell) {
  ASSERT_EQ(WriteAt(Walk("large"), "x", 40 * kMiB), 0);
  ReadAll("large", kMiB);
  EXPECT_LE(Resident(layer_file_, 32 * kMiB, 40 * kMiB), kMiB);
}

TEST_F(DropBehindTest, OfTheUpperOnceItIsOnTheDisk) {
  if (!CanTell()) GTEST_SKIP() << "this kernel cannot tell (Linux 6.5)";
  MakeUpperFile();
  Forget(upper_file_);
  ReadAll("own", kMiB);
  EXPECT_EQ(Resident(upper_file_, 0, 32 * kMiB), 32 * kMiB);
  EXPECT_LE(Resident(upper_file_, 32 * kMiB, 56 * kMiB), kMiB);
}

TEST_F(DropBehindTest, WhatIsToBeWrittenStays) {
  MakeUpperFile();
  ReadAll("own", kMiB);
  if (!IsDirty()) GTEST_SKIP() << "the host has written it already";
  EXPECT_EQ(Resident(upper_file_, 0, kFileBytes), kFileBytes);
}

TEST_F(DropBehindTest, WhatWasWrittenGoesOnceItIsOnTheDisk) {
  if (!CanTell()) GTEST_SKIP() << "this kernel cannot tell (Linux 6.5)";
  MakeUpperFile();
  const NodeId node = Walk("own");
  const std::string piece(kMiB, 'w');
  for (uint64_t at = 0; at < kFileBytes; at += kMiB)
    ASSERT_EQ(*fs_->Write(node, piece.data(), kMiB, at, nullptr), kMiB);
  fs_->DropWritten(std::chrono::hours(1));  // somebody wrote just now
  if (IsDirty()) {
    fs_->DropWritten({});
    EXPECT_EQ(Resident(upper_file_, 0, kFileBytes), kFileBytes);
  }
  ASSERT_TRUE(fs_->FSync(node, /*data_only=*/true).ok());
  EXPECT_EQ(Resident(upper_file_, 0, kFileBytes), kFileBytes);
  fs_->DropWritten({});
  EXPECT_EQ(Resident(upper_file_, 0, 32 * kMiB), 32 * kMiB);
  EXPECT_LE(Resident(upper_file_, 32 * kMiB, kFileBytes), kMiB);
}

}  // namespace
}  // namespace ufs
