// What the kernel keeps before the union has it (`writeback=1`): how few
// messages that is, and that nothing which was answered is lost or older than
// its time.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <string>

#include "fs/served_union.h"
#include "layerdb/base/unique_fd.h"

namespace ufs::test {
namespace {

class WritebackTest : public TransportTest {
 protected:
  void SetUp() override {
    TransportTest::SetUp();
    if (IsSkipped()) return;
    fs_.AddFile("file", "content");
    fs_.AddFile("big", std::string(4 << 20, 'b'));
    Mount();
    // What the kernel asks once: OPEN, FLUSH, GETXATTR of a new file.
    EXPECT_EQ(close(Open("other", O_CREAT | O_RDWR).release()), 0);
  }
  void Mount() {
    MountConfig config;
    config.transport = GetParam();
    config.writeback = true;
    ASSERT_EQ(fs_.Mount(config), "");
  }
  UniqueFd Open(const std::string& path, int flags) {
    UniqueFd fd(open((fs_ / path).c_str(), flags | O_CLOEXEC, 0644));
    EXPECT_TRUE(fd.valid()) << path << ": errno " << errno;
    return fd;
  }
  struct stat Stat(const std::string& path) {
    struct stat st {};
    EXPECT_EQ(stat(path.c_str(), &st), 0) << path;
    return st;
  }
  // A file as the host has it.
  std::string InUpper(const std::string& path) {
    std::ifstream in(fs_.root() + "/upper/" + path);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  ServedUnion fs_;
};

TEST_P(WritebackTest, ManySmallWritesAreOneMessage) {
  UniqueFd fd = Open("fresh", O_CREAT | O_WRONLY);
  ASSERT_EQ(write(fd.get(), "start", 5), 5);
  usleep(50'000);  // by more than the kernel's clock ticks: a new time to tell
  EXPECT_EQ(MessagesOf(fs_,
                       [&] {
                         const std::string text(512, 't');
                         for (int i = 0; i < 512; ++i)
                           ASSERT_EQ(write(fd.get(), text.data(), 512), 512);
                         ASSERT_EQ(close(fd.release()), 0);
                       }),
            "SETATTR WRITE");
  EXPECT_EQ(InUpper("fresh"), "start" + std::string(512 * 512, 't'));
}

TEST_P(WritebackTest, AClosedFileOutlivesTheDaemon) {
  UniqueFd fd = Open("file", O_WRONLY | O_APPEND);
  ASSERT_EQ(write(fd.get(), ", and more", 10), 10);
  ASSERT_EQ(close(fd.release()), 0);
  fs_.Kill(SIGKILL);
  EXPECT_EQ(InUpper("file"), "content, and more");
}

// What comes to the union after its time was told leaves that time.
TEST_P(WritebackTest, TimesAreThoseOfTheWriteNotOfItsArrival) {
  UniqueFd fd = Open("big", O_RDWR);
  ASSERT_EQ(pwrite(fd.get(), "first", 5, 0), 5);
  const timespec written = Stat(fs_ / "big").st_mtim;
  usleep(50'000);
  ASSERT_EQ(fsync(fd.get()), 0);
  const timespec shown = Stat(fs_ / "big").st_mtim;
  const timespec kept = Stat(fs_.root() + "/upper/big").st_mtim;
  EXPECT_EQ(shown.tv_nsec, written.tv_nsec);
  EXPECT_EQ(kept.tv_sec, written.tv_sec);
  EXPECT_EQ(kept.tv_nsec, written.tv_nsec);

  // A time that somebody sets stays, whatever is on its way.
  ASSERT_EQ(pwrite(fd.get(), "second", 6, 2 << 20), 6);
  const timespec times[2] = {{1, 2}, {3, 4}};
  ASSERT_EQ(futimens(fd.get(), times), 0);
  fd.reset();
  ASSERT_EQ(fs_.Unmount(), 0);
  EXPECT_EQ(Stat(fs_.root() + "/upper/big").st_mtim.tv_sec, 3);
  Mount();
  EXPECT_EQ(Stat(fs_ / "big").st_mtim.tv_nsec, 4);
}

TEST_P(WritebackTest, HolesAreTrueWhileDataIsKept) {
  UniqueFd fd = Open("sparse", O_CREAT | O_RDWR);
  ASSERT_EQ(ftruncate(fd.get(), 8 << 20), 0);
  ASSERT_EQ(pwrite(fd.get(), "data", 4, 4 << 20), 4);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_DATA), 4 << 20);
  EXPECT_EQ(lseek(fd.get(), 4 << 20, SEEK_HOLE), (4 << 20) + 4096);
}

// Nor is an append to a file that may only grow one of its arrival.
TEST_P(WritebackTest, TimesAreThoseOfTheAppend) {
  UniqueFd made = Open("grows", O_CREAT | O_RDWR);
  int flags = 0;
  ASSERT_EQ(ioctl(made.get(), FS_IOC_GETFLAGS, &flags), 0);
  int with = flags | FS_APPEND_FL;
  if (ioctl(made.get(), FS_IOC_SETFLAGS, &with) != 0) {
    GTEST_SKIP() << "the host does not let us set flags: errno " << errno;
  }
  UniqueFd fd = Open("grows", O_WRONLY | O_APPEND);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(write(fd.get(), "more", 4), 4);
    const timespec written = Stat(fs_ / "grows").st_mtim;
    usleep(50'000);
    EXPECT_EQ(fsync(fd.get()), 0);
    for (const auto& path : {fs_ / "grows", fs_.root() + "/upper/grows"}) {
      EXPECT_EQ(Stat(path).st_mtim.tv_sec, written.tv_sec) << path;
      EXPECT_EQ(Stat(path).st_mtim.tv_nsec, written.tv_nsec) << path;
    }
  }
  EXPECT_EQ(ioctl(made.get(), FS_IOC_GETFLAGS, &with), 0);
  EXPECT_NE(with & FS_APPEND_FL, 0) << "the flag went";
  EXPECT_EQ(ioctl(made.get(), FS_IOC_SETFLAGS, &flags), 0);
}

// A flag that forbids writes forbids none that was answered.
TEST_P(WritebackTest, AFlagComesAfterWhatWasWritten) {
  for (const int flag : {FS_IMMUTABLE_FL, FS_APPEND_FL}) {
    const std::string name = "flag" + std::to_string(flag);
    UniqueFd fd = Open(name, O_CREAT | O_RDWR);
    ASSERT_EQ(write(fd.get(), "kept", 4), 4);
    int flags = 0;
    ASSERT_EQ(ioctl(fd.get(), FS_IOC_GETFLAGS, &flags), 0);
    int with = flags | flag;
    if (ioctl(fd.get(), FS_IOC_SETFLAGS, &with) != 0) {
      GTEST_SKIP() << "the host does not let us set flags: errno " << errno;
    }
    EXPECT_EQ(InUpper(name), "kept");
    if (flag == FS_APPEND_FL) {
      // In pages that begin where the file does not end.
      UniqueFd end = Open(name, O_WRONLY | O_APPEND);
      EXPECT_EQ(write(end.get(), " on", 3), 3);
      EXPECT_EQ(fsync(end.get()), 0);
      EXPECT_EQ(write(end.get(), " and on", 7), 7);
      EXPECT_EQ(close(end.release()), 0);
      EXPECT_EQ(InUpper(name), "kept on and on");
    }
    // Refused when it comes, and then nobody sees it.
    UniqueFd late = Open(name, O_WRONLY);
    EXPECT_EQ(pwrite(late.get(), "L", 1, 0), 1);
    EXPECT_EQ(fsync(late.get()), -1);
    EXPECT_EQ(errno, EPERM);
    late.reset();
    char first = 0;
    for (int i = 0; i < 200 && first != 'k'; ++i, usleep(10'000))
      EXPECT_EQ(pread(fd.get(), &first, 1, 0), 1);
    EXPECT_EQ(first, 'k') << "pages that were refused stay";
    EXPECT_EQ(ioctl(fd.get(), FS_IOC_GETFLAGS, &with), 0);
    EXPECT_NE(with & flag, 0) << "the flag went";
    EXPECT_EQ(ioctl(fd.get(), FS_IOC_SETFLAGS, &flags), 0);
  }
}

// Times of what nobody changed cost no copy.
TEST_P(WritebackTest, AnUnlinkedLowerFileIsNotCopiedUp) {
  UniqueFd fd = Open("file", O_RDONLY);
  EXPECT_EQ(MessagesOf(fs_,
                       [&] {
                         ASSERT_EQ(unlink((fs_ / "file").c_str()), 0);
                         ASSERT_EQ(syncfs(fd.get()), 0);
                       }),
            "SETATTR UNLINK");
  struct stat st {};
  ASSERT_EQ(fstat(fd.get(), &st), 0);
  EXPECT_EQ(st.st_nlink, 0u);
  char buffer[16];
  EXPECT_EQ(pread(fd.get(), buffer, sizeof(buffer), 0), 7);
}

INSTANTIATE_OVER_TRANSPORTS(WritebackTest);

}  // namespace
}  // namespace ufs::test
