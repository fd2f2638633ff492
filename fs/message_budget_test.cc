// How many messages the kernel sends for what programs do: the budget that the
// speed of the union stands on. Each number here is the least that Linux 6.18
// can do with, found with `ufs mount -d`; one more is a regression.

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "fs/served_union.h"

namespace ufs::test {
namespace {

class MessageBudgetTest : public TransportTest {
 protected:
  void SetUp() override {
    TransportTest::SetUp();
    if (IsSkipped()) return;
    fs_.AddDirectory("dir/sub");
    for (int i = 0; i < 50; ++i)
      fs_.AddFile("dir/file" + std::to_string(i), "content");
    fs_.AddFile("file", "content");
    fs_.AddFile("other", "content");
    fs_.AddFile("big", std::string(16 << 20, 'b'));
    ASSERT_EQ(symlink("dir", (fs_.root() + "/base/link").c_str()), 0);
    Mount();
  }

  void Mount() {
    MountConfig config;
    config.transport = GetParam();
    ASSERT_EQ(fs_.Mount(config), "");
    // The kernel asks once what it need not ask again: OPEN, OPENDIR.
    Read("other");
    List("dir/sub");
  }

  // With a directory of `files` files beside the others.
  void MountWithMany(const std::string& directory, int files) {
    ASSERT_EQ(fs_.Unmount(), 0);
    fs_.AddDirectory(directory);
    for (int i = 0; i < files; ++i)
      fs_.AddFile(directory + "/file" + std::to_string(i), "content");
    Mount();
  }

  std::string Messages(const std::function<void()>& body) {
    return MessagesOf(fs_, body);
  }

  void Read(const std::string& path) {
    const int fd = open((fs_ / path).c_str(), O_RDONLY);
    ASSERT_GE(fd, 0) << path;
    char buffer[64];
    EXPECT_GT(read(fd, buffer, sizeof(buffer)), 0);
    close(fd);
  }
  void Stat(const std::string& path, int expected = 0) {
    struct stat st {};
    EXPECT_EQ(lstat((fs_ / path).c_str(), &st), expected) << path;
  }
  // The names in a directory, with "." and "..".
  int List(const std::string& path) {
    const int fd = open((fs_ / path).c_str(), O_RDONLY | O_DIRECTORY);
    EXPECT_GE(fd, 0) << path;
    char buffer[32768];
    int entries = 0;
    ssize_t got;
    while ((got = getdents64(fd, buffer, sizeof(buffer))) > 0)
      for (ssize_t at = 0; at < got; ++entries)
        at += reinterpret_cast<const dirent64*>(buffer + at)->d_reclen;
    EXPECT_EQ(got, 0);
    close(fd);
    return entries;
  }
  void Create(const std::string& path, const std::string& content,
              int flags = 0) {
    const int fd = open((fs_ / path).c_str(), O_CREAT | O_WRONLY | flags, 0644);
    ASSERT_GE(fd, 0) << path;
    EXPECT_EQ(write(fd, content.data(), content.size()),
              static_cast<ssize_t>(content.size()));
    close(fd);
  }

  ServedUnion fs_;
};

TEST_P(MessageBudgetTest, WarmStatIsFree) {
  Stat("dir/file1");
  EXPECT_EQ(Messages([&] {
              Stat("dir/file1");
              EXPECT_EQ(access((fs_ / "dir/file1").c_str(), R_OK), 0);
              Stat("dir");
            }),
            "");
}

TEST_P(MessageBudgetTest, ColdStatIsOneLookupForEachName) {
  EXPECT_EQ(Messages([&] { Stat("dir/file1"); }), "LOOKUP");  // dir is known
  EXPECT_EQ(Messages([&] { Stat("file"); }), "LOOKUP");
}

TEST_P(MessageBudgetTest, WarmReadLinkIsFree) {
  char target[64];
  const auto follow = [&] {
    EXPECT_EQ(readlink((fs_ / "link").c_str(), target, sizeof(target)), 3);
    Stat("link/file2");
  };
  follow();
  EXPECT_EQ(Messages(follow), "");
}

TEST_P(MessageBudgetTest, WarmNegativeLookupIsFree) {
  EXPECT_EQ(Messages([&] { Stat("absent", -1); }), "LOOKUP");
  EXPECT_EQ(Messages([&] { Stat("absent", -1); }), "");
}

TEST_P(MessageBudgetTest, ColdDirectoryIsTwoAndItsFilesAreKnownThen) {
  EXPECT_EQ(Messages([&] { EXPECT_EQ(List("dir"), 53); }), "2*READDIRPLUS");
  EXPECT_EQ(Messages([&] {
              for (int i = 0; i < 50; ++i) Stat("dir/file" + std::to_string(i));
            }),
            "");
}

// As fts(3) does for find, du and rm.
TEST_P(MessageBudgetTest, ADirectoryListedWholeAndLookedAtThenHasNoLookups) {
  constexpr int kFiles = 1500;  // a dozen answers
  MountWithMany("many", kFiles);
  const auto before = fs_.Counts();
  EXPECT_EQ(List("many"), kFiles + 2);
  for (int i = 0; i < kFiles; ++i) Stat("many/file" + std::to_string(i));
  auto after = fs_.Counts();
  EXPECT_EQ(after["LOOKUP"] - before.at("LOOKUP"), 1u);  // of the directory
}

TEST_P(MessageBudgetTest, NamesOfAHugeDirectoryAreNotSoManyInodes) {
  constexpr int kFiles = 4000;
  MountWithMany("huge", kFiles);
  EXPECT_EQ(List("huge"), kFiles + 2);
  const auto before = fs_.Counts();
  for (int i = 0; i < kFiles; ++i) Stat("huge/file" + std::to_string(i));
  auto after = fs_.Counts();
  EXPECT_EQ(after["LOOKUP"] - before.at("LOOKUP"), kFiles - 2048u);
}

// As ls -l does.
TEST_P(MessageBudgetTest, OfAHugeDirectoryThatIsLookedAtMeanwhileTheyAre) {
  constexpr int kFiles = 4000;
  MountWithMany("huge", kFiles);
  const auto before = fs_.Counts();
  const int fd = open((fs_ / "huge").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_GE(fd, 0);
  char buffer[8192];
  int looked = 0;
  for (ssize_t got; (got = getdents64(fd, buffer, sizeof(buffer))) > 0;) {
    for (ssize_t at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
      struct stat st {};
      looked += fstatat(fd, entry->d_name, &st, 0) == 0;
      at += entry->d_reclen;
    }
  }
  close(fd);
  EXPECT_EQ(looked, kFiles + 2);
  auto after = fs_.Counts();
  EXPECT_LT(after["LOOKUP"] - before.at("LOOKUP"), 300u);  // an answer's
}

TEST_P(MessageBudgetTest, WarmDirectoryIsFree) {
  List("dir");
  List("dir");
  EXPECT_EQ(Messages([&] { EXPECT_EQ(List("dir"), 53); }), "");
}

TEST_P(MessageBudgetTest, WarmOpenReadCloseIsFree) {
  EXPECT_EQ(Messages([&] { Read("file"); }), "LOOKUP READ");
  EXPECT_EQ(Messages([&] { Read("file"); }), "");
}

// 128 KiB each, were the kernel's read-ahead left as it is.
TEST_P(MessageBudgetTest, AFileReadInOrderIsAMessageForEachMebibyte) {
  struct stat st {};
  ASSERT_EQ(stat(fs_.mountpoint().c_str(), &st), 0);
  const std::string read_ahead =
      "/sys/class/bdi/" + std::to_string(major(st.st_dev)) + ":" +
      std::to_string(minor(st.st_dev)) + "/read_ahead_kb";
  if (access(read_ahead.c_str(), W_OK) != 0)
    GTEST_SKIP() << read_ahead << " is not ours to set";
  constexpr uint64_t kMebibytes = 16;
  const auto before = fs_.Counts();
  const int fd = open((fs_ / "big").c_str(), O_RDONLY);
  ASSERT_GE(fd, 0);
  std::string buffer(65536, '\0');
  uint64_t bytes = 0;
  for (ssize_t got; (got = read(fd, buffer.data(), buffer.size())) > 0;) {
    EXPECT_EQ(buffer.find_first_not_of('b'), buffer.npos);
    bytes += static_cast<uint64_t>(got);
  }
  close(fd);
  EXPECT_EQ(bytes, kMebibytes << 20);
  auto after = fs_.Counts();
  // The first ones are short: who knows whether the file will be read on?
  EXPECT_LE(after["READ"] - before.at("READ"), kMebibytes + 8);
}

TEST_P(MessageBudgetTest, ReadAndStatTogetherStayFree) {
  Read("file");
  Stat("file");
  EXPECT_EQ(Messages([&] {
              Read("file");
              Stat("file");
            }),
            "");
}

// The one GETXATTR is the kernel's look for security.capability, which it does
// once for each file that is written.
TEST_P(MessageBudgetTest, CreateWithASmallWriteIsThree) {
  Stat("fresh", -1);
  EXPECT_EQ(Messages([&] { Create("fresh", "small"); }),
            "CREATE GETXATTR WRITE");
}

TEST_P(MessageBudgetTest, CreateOfANameNeverAskedForIsALookupMore) {
  EXPECT_EQ(Messages([&] { Create("fresh", "small"); }),
            "CREATE GETXATTR LOOKUP WRITE");
}

TEST_P(MessageBudgetTest, WritesAreOneMessageEach) {
  Create("fresh", "start");
  const int fd = open((fs_ / "fresh").c_str(), O_WRONLY);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(pwrite(fd, "first", 5, 0), 5);
  EXPECT_EQ(Messages([&] {
              for (int i = 0; i < 10; ++i)
                ASSERT_EQ(pwrite(fd, "again", 5, i), 5);
            }),
            "10*WRITE");
  EXPECT_EQ(Messages([&] { EXPECT_EQ(close(fd), 0); }), "");
}

// A page written in part is not in the cache as a whole; its first read asks
// for it, and for the size before and the time after.
TEST_P(MessageBudgetTest, WhatWasWrittenIsReadForFreeAfterOnce) {
  Create("fresh", "content");
  EXPECT_EQ(Messages([&] { Read("fresh"); }), "2*GETATTR READ");
  EXPECT_EQ(Messages([&] { Read("fresh"); }), "");
}

TEST_P(MessageBudgetTest, ChangingAttributesOfALowerFileIsOne) {
  Stat("file");
  EXPECT_EQ(
      Messages([&] { EXPECT_EQ(chmod((fs_ / "file").c_str(), 0600), 0); }),
      "SETATTR");
  EXPECT_EQ(Messages([&] { Stat("file"); }), "");
  EXPECT_EQ(Messages([&] {
              EXPECT_EQ(lchown((fs_ / "file").c_str(), 1000, 1000), 0);
            }),
            "GETXATTR SETATTR");  // the kernel's look for capabilities
  EXPECT_EQ(Messages([&] { Read("file"); }), "READ");
}

TEST_P(MessageBudgetTest, UnlinkOfAKnownFileIsOne) {
  List("dir");
  EXPECT_EQ(
      Messages([&] { EXPECT_EQ(unlink((fs_ / "dir/file3").c_str()), 0); }),
      "UNLINK");
}

// After each change of a directory the kernel asks again who may change it.
TEST_P(MessageBudgetTest, UnlinksOfKnownFilesAreTwoEach) {
  // Mounted again with the directory in the upper: that it went there is told
  // to the kernel from another thread, and would be asked about in between.
  ASSERT_EQ(unlink((fs_ / "dir/file3").c_str()), 0);
  ASSERT_EQ(fs_.Unmount(), 0);
  Mount();
  List("dir");
  ASSERT_EQ(unlink((fs_ / "dir/file4").c_str()), 0);
  EXPECT_EQ(Messages([&] {
              for (int i = 10; i < 20; ++i)
                EXPECT_EQ(
                    unlink((fs_ / "dir/file" + std::to_string(i)).c_str()), 0);
            }),
            "10*GETATTR 10*UNLINK");
}

TEST_P(MessageBudgetTest, AnAppendToALowerFileIsTwo) {
  Read("file");
  EXPECT_EQ(Messages([&] {
              const int fd = open((fs_ / "file").c_str(), O_WRONLY | O_APPEND);
              ASSERT_GE(fd, 0);
              EXPECT_EQ(write(fd, "more", 4), 4);
              EXPECT_EQ(close(fd), 0);
            }),
            "GETXATTR WRITE");
}

TEST_P(MessageBudgetTest, MkDirIsALookupAndItself) {
  EXPECT_EQ(
      Messages([&] { EXPECT_EQ(mkdir((fs_ / "made").c_str(), 0755), 0); }),
      "LOOKUP MKDIR");
}

TEST_P(MessageBudgetTest, RenameIsALookupOfTheTargetAndItself) {
  Create("fresh", "content");
  EXPECT_EQ(Messages([&] {
              EXPECT_EQ(
                  rename((fs_ / "fresh").c_str(), (fs_ / "renamed").c_str()),
                  0);
            }),
            "GETATTR LOOKUP RENAME");  // may the source be renamed?
}

TEST_P(MessageBudgetTest, NoOperationSendsWhatWasDeclined) {
  Create("fresh", "content");
  Read("fresh");
  List("dir");
  const auto counts = fs_.Counts();
  for (const char* name : {"OPEN", "OPENDIR", "FLUSH", "ACCESS"})
    EXPECT_LE(counts.contains(name) ? counts.at(name) : 0, 1u) << name;
  EXPECT_FALSE(counts.contains("RELEASEDIR"));
}

INSTANTIATE_OVER_TRANSPORTS(MessageBudgetTest);

}  // namespace
}  // namespace ufs::test
