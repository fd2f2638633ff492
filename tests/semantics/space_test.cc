// Sizes and holes: truncate, fallocate, lseek for data and holes,
// copy_file_range.
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using Truncate = UnionTest;
using Fallocate = UnionTest;
using Seek = UnionTest;
using CopyRange = UnionTest;

TEST_F(Truncate, OfALowerFileToEverySize) {
  const std::string content = Pattern(10000);
  Mount({Tree()
             .File("zero", content)
             .File("less", content)
             .File("same", content)
             .File("more", content)});
  EXPECT_OK(truncate("zero", 0));
  EXPECT_OK(truncate("less", 5001));
  EXPECT_OK(truncate("same", 10000));
  EXPECT_OK(truncate("more", 20000));
  auto check = [&] {
    EXPECT_EQ(ReadFile("zero"), "");
    EXPECT_TRUE(ReadFile("less") == content.substr(0, 5001));
    EXPECT_TRUE(ReadFile("same") == content);
    EXPECT_TRUE(ReadFile("more") == content + std::string(10000, '\0'));
  };
  check();
  Remount();
  check();
}

TEST_F(Truncate, DownAndUpAgainShowsZerosNotOldData) {
  Mount({Tree().File("f", std::string(100000, 'x'))});
  EXPECT_OK(truncate("f", 10));
  EXPECT_OK(truncate("f", 100000));
  EXPECT_TRUE(ReadFile("f") == std::string(10, 'x') + std::string(99990, '\0'));
  Remount();
  EXPECT_TRUE(ReadFile("f") == std::string(10, 'x') + std::string(99990, '\0'));
}

TEST_F(Truncate, WriteAfterTruncateAfterWrite) {
  Mount({Tree().File("f", std::string(300000, 'x'))});
  UniqueFd fd = Open("f", O_RDWR);
  WriteAt(fd.get(), 200000, "mark");
  EXPECT_OK(ftruncate(fd.get(), 100000));
  WriteAt(fd.get(), 250000, "tail");
  std::string expected(100000, 'x');
  expected.resize(250000, '\0');
  expected += "tail";
  EXPECT_TRUE(ReadAll(fd.get()) == expected);
}

TEST_F(Truncate, ToZeroCopiesNoData) {
  SKIP_ON_PLAIN("there is no upper");
  Mount({Tree().File("big", Pattern(8 << 20))});
  EXPECT_OK(truncate("big", 0));
  WriteFile("big", "small");
  Unmount();
  EXPECT_EQ(Size(Upper("big")), 5);
}

TEST_F(Truncate, WhatIsRefused) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree()
             .File("f", "abc")
             .Dir("d")
             .File("mine")
             .Owner(1000, 1000)
             .Mode(0444)});
  EXPECT_ERRNO(EINVAL, truncate("f", -1));
  EXPECT_ERRNO(EISDIR, truncate("d", 0));
  EXPECT_ERRNO(ENOENT, truncate("no", 0));
  EXPECT_ERRNO_EQ(EACCES,
                  AsUser(kBob, [] { return ErrnoOf(truncate("f", 0)); }));
  EXPECT_ERRNO_EQ(EACCES,
                  AsUser(kAlice, [] { return ErrnoOf(truncate("mine", 0)); }));
  EXPECT_ERRNO(EFBIG, truncate("f", INT64_MAX));
  EXPECT_EQ(ReadFile("f"), "abc");
}

TEST_F(Truncate, MovesTimesAndBlocks) {
  Mount({Tree().File("f", std::string(100000, 'x')).Times(At(1), At(2))});
  EXPECT_OK(truncate("f", 0));
  EXPECT_LT(At(2), Stat("f").st_mtim);
  EXPECT_EQ(Stat("f").st_blocks, 0);
}

TEST_F(Truncate, ThroughADescriptorIsSeenByAll) {
  Mount({Tree().File("f", "0123456789")});
  UniqueFd reader = Open("f", O_RDONLY);
  UniqueFd writer = Open("f", O_RDWR);
  EXPECT_OK(ftruncate(writer.get(), 4));
  EXPECT_EQ(ReadAll(reader.get()), "0123");
  EXPECT_EQ(Fstat(reader.get()).st_size, 4);
  EXPECT_EQ(Size("f"), 4);
}

// fallocate.

TEST_F(Fallocate, ExtendsOrKeepsTheSize) {
  Mount({Tree().File("f", "lower").File("g", "lower")});
  UniqueFd f = Open("f", O_RDWR), g = Open("g", O_RDWR);
  EXPECT_OK(fallocate(f.get(), 0, 0, 100000));
  EXPECT_EQ(Size("f"), 100000);
  EXPECT_EQ(ReadAt(f.get(), 0, 8), std::string("lower\0\0\0", 8));
  EXPECT_OK(fallocate(g.get(), FALLOC_FL_KEEP_SIZE, 0, 100000));
  EXPECT_EQ(Size("g"), 5);
  EXPECT_GE(Fstat(g.get()).st_blocks * 512, 100000);
  EXPECT_EQ(ReadFile("g"), "lower");
}

TEST_F(Fallocate, PunchesHoles) {
  const std::string content = Pattern(64 << 10);
  Mount({Tree().File("f", content)});
  UniqueFd fd = Open("f", O_RDWR);
  EXPECT_OK(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                      5000, 30000));
  std::string expected = content;
  expected.replace(5000, 30000, std::string(30000, '\0'));
  EXPECT_TRUE(ReadFile("f") == expected);
  EXPECT_EQ(Size("f"), 64 << 10);
  EXPECT_LT(Fstat(fd.get()).st_blocks * 512, 64 << 10);
  fd.reset();
  Remount();
  EXPECT_TRUE(ReadFile("f") == expected);
}

TEST_F(Fallocate, ZeroesRanges) {
  const std::string content = Pattern(64 << 10);
  Mount({Tree().File("f", content)});
  UniqueFd fd = Open("f", O_RDWR);
  EXPECT_OK(fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, 100, 5000));
  std::string expected = content;
  expected.replace(100, 5000, std::string(5000, '\0'));
  EXPECT_TRUE(ReadFile("f") == expected);
  EXPECT_OK(fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, 60 << 10, 8 << 10));
  EXPECT_EQ(Size("f"), 68 << 10);
  EXPECT_OK(fallocate(fd.get(), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
                      60 << 10, 20 << 10));
  EXPECT_EQ(Size("f"), 68 << 10);
}

TEST_F(Fallocate, PunchInAWrittenLowerFile) {
  std::string expected(1 << 20, 'x');
  Mount({Tree().File("f", expected)});
  UniqueFd fd = Open("f", O_RDWR);
  WriteAt(fd.get(), 500000, "island");
  expected.replace(500000, 6, "island");
  EXPECT_OK(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                      400000));
  expected.replace(0, 400000, std::string(400000, '\0'));
  EXPECT_TRUE(ReadAll(fd.get()) == expected);
}

TEST_F(Fallocate, WhatIsRefused) {
  Mount({Tree().File("f", "x").Dir("d")});
  UniqueFd reader = Open("f", O_RDONLY);
  EXPECT_ERRNO(EBADF, fallocate(reader.get(), 0, 0, 10));
  UniqueFd writer = Open("f", O_RDWR);
  EXPECT_ERRNO(EINVAL, fallocate(writer.get(), 0, 0, 0));
  EXPECT_ERRNO(EINVAL, fallocate(writer.get(), 0, -1, 10));
  EXPECT_ERRNO(EOPNOTSUPP, fallocate(writer.get(), FALLOC_FL_PUNCH_HOLE, 0, 1));
  EXPECT_ERRNO(EFBIG, fallocate(writer.get(), 0, INT64_MAX - 10, 100));
  EXPECT_EQ(ReadFile("f"), "x");
}

TEST_F(Fallocate, MovesMtime) {
  Mount({Tree().File("f", std::string(10000, 'x')).Times(At(1), At(2))});
  UniqueFd fd = Open("f", O_RDWR);
  EXPECT_OK(
      fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
  EXPECT_LT(At(2), Stat("f").st_mtim);
}

// SEEK_DATA and SEEK_HOLE.

Tree SparseLower() {
  return Tree()
      .File("f")
      .SparseSize(1 << 20)
      .Extent(256 << 10, std::string(4096, 'a'))
      .Extent(512 << 10, std::string(8192, 'b'));
}

TEST_F(Seek, FindsDataAndHolesOfALowerFile) {
  Mount({SparseLower()});
  UniqueFd fd = Open("f", O_RDONLY);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_DATA), 256 << 10);
  EXPECT_EQ(lseek(fd.get(), 256 << 10, SEEK_HOLE), 260 << 10);
  EXPECT_EQ(lseek(fd.get(), 260 << 10, SEEK_DATA), 512 << 10);
  EXPECT_EQ(lseek(fd.get(), 512 << 10, SEEK_HOLE), 520 << 10);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_HOLE), 0);
  EXPECT_ERRNO(ENXIO, lseek(fd.get(), 600 << 10, SEEK_DATA));
  EXPECT_ERRNO(ENXIO, lseek(fd.get(), 1 << 20, SEEK_HOLE));
  EXPECT_ERRNO(ENXIO, lseek(fd.get(), 2 << 20, SEEK_DATA));
}

TEST_F(Seek, AWriteKeepsTheHoles) {
  Mount({SparseLower()});
  UniqueFd fd = Open("f", O_RDWR);
  WriteAt(fd.get(), 0, std::string(4096, 'n'));
  EXPECT_OK(fsync(fd.get()));
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_DATA), 0);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_HOLE), 4096);
  EXPECT_EQ(lseek(fd.get(), 4096, SEEK_DATA), 256 << 10);
  EXPECT_EQ(lseek(fd.get(), 260 << 10, SEEK_DATA), 512 << 10);
  EXPECT_LT(Fstat(fd.get()).st_blocks * 512, 100 << 10);
}

TEST_F(Seek, OrdinarySeeksKnowTheSize) {
  Mount({Tree().File("f", "0123456789")});
  UniqueFd fd = Open("f", O_RDONLY);
  EXPECT_EQ(lseek(fd.get(), -3, SEEK_END), 7);
  EXPECT_EQ(lseek(fd.get(), 1, SEEK_CUR), 8);
  AppendFile("f", "+++");
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_END), 13);
  EXPECT_EQ(lseek(fd.get(), 100, SEEK_SET), 100);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_DATA), 0);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_HOLE), 13);
}

// copy_file_range and clones.

TEST_F(CopyRange, BetweenEveryMixtureOfFiles) {
  const std::string content = Pattern(200000);
  Mount({Tree()
             .File("low", content)
             .File("low2", "short")
             .File("meta", content)});
  WriteFile("up", content);
  EXPECT_OK(chmod("meta", 0600));
  for (const char* source : {"low", "up", "meta"}) {
    for (const std::string target : {"new", "low2", "up2"}) {
      UniqueFd in = Open(source, O_RDONLY);
      UniqueFd out = Open(target + source, O_CREAT | O_RDWR);
      off_t from = 1000, to = 10;
      off_t left = 150000;
      while (left > 0) {
        ssize_t n = copy_file_range(in.get(), &from, out.get(), &to,
                                    static_cast<size_t>(left), 0);
        ASSERT_GT(n, 0) << source << " to " << target << ": "
                        << ErrnoName(errno);
        left -= n;
      }
      EXPECT_EQ(from, 151000);
      EXPECT_TRUE(ReadAt(out.get(), 10, 150000) == content.substr(1000, 150000))
          << source << " to " << target;
    }
  }
}

TEST_F(CopyRange, IntoALowerFileAndWithinOneFile) {
  Mount({Tree().File("f", "0123456789").File("g", "abcdefghij")});
  UniqueFd in = Open("g", O_RDONLY), out = Open("f", O_RDWR);
  off_t from = 2, to = 5;
  EXPECT_EQ(copy_file_range(in.get(), &from, out.get(), &to, 3, 0), 3);
  EXPECT_EQ(ReadFile("f"), "01234cde89");
  from = 0;
  to = 10;
  EXPECT_EQ(copy_file_range(out.get(), &from, out.get(), &to, 4, 0), 4);
  EXPECT_EQ(ReadFile("f"), "01234cde890123");
  from = 0;
  to = 2;
  EXPECT_ERRNO(EINVAL, copy_file_range(out.get(), &from, out.get(), &to, 4, 0));
  from = 100;
  EXPECT_EQ(copy_file_range(in.get(), &from, out.get(), &to, 4, 0), 0);
  EXPECT_EQ(ReadFile("g"), "abcdefghij");
}

TEST_F(CopyRange, SeesUnwrittenDataOfTheSource) {
  Mount({Tree().File("f", "lower")});
  UniqueFd writer = Open("f", O_RDWR);
  WriteAt(writer.get(), 5, "+dirty");
  UniqueFd in = Open("f", O_RDONLY), out = Open("g", O_CREAT | O_RDWR);
  off_t from = 0;
  EXPECT_EQ(copy_file_range(in.get(), &from, out.get(), nullptr, 100, 0), 11);
  EXPECT_EQ(ReadFile("g"), "lower+dirty");
}

TEST_F(CopyRange, NeedsTheRightModes) {
  Mount({Tree().File("f", "x").File("g", "y")});
  UniqueFd reader = Open("f", O_RDONLY), reader2 = Open("g", O_RDONLY);
  EXPECT_ERRNO(EBADF, copy_file_range(reader.get(), nullptr, reader2.get(),
                                      nullptr, 1, 0));
  UniqueFd append = Open("g", O_WRONLY | O_APPEND);
  EXPECT_ERRNO(EBADF, copy_file_range(reader.get(), nullptr, append.get(),
                                      nullptr, 1, 0));
}

TEST_F(CopyRange, FicloneCopiesOrSaysItCannot) {
  Mount({Tree().File("f", "content")});
  UniqueFd in = Open("f", O_RDONLY), out = Open("g", O_CREAT | O_RDWR);
  if (ioctl(out.get(), FICLONE, in.get()) == 0) {
    EXPECT_EQ(ReadFile("g"), "content");
  } else {
    EXPECT_TRUE(errno == EOPNOTSUPP || errno == ENOTTY || errno == EXDEV ||
                errno == EINVAL)
        << ErrnoName(errno);
    EXPECT_EQ(ReadFile("g"), "");
  }
}

}  // namespace
}  // namespace ufs::test
