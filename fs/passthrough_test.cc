// Files of the upper that the kernel reads and writes by itself
// (`passthrough=1`): how few messages that is; that what is written through one
// open, mapping or message is seen through all others, whatever the order in
// which they came; and that no order ends in EIO.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "fs/control.h"
#include "fs/served_union.h"
#include "layerdb/base/privilege.h"
#include "layerdb/base/unique_fd.h"

namespace ufs::test {
namespace {

constexpr size_t kPage = 4096;

// A page of a file in this process, shared with everybody.
class Mapping {
 public:
  Mapping(const UniqueFd& fd, int protection)
      : page_(static_cast<char*>(
            mmap(nullptr, kPage, protection, MAP_SHARED, fd.get(), 0))) {
    EXPECT_NE(page_, MAP_FAILED) << "errno " << errno;
  }
  ~Mapping() { munmap(page_, kPage); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  void Store(const std::string& text) {
    memcpy(page_, text.data(), text.size());
  }
  std::string Load(size_t size) const { return std::string(page_, size); }

 private:
  char* const page_;
};

class PassthroughTest : public TransportTest {
 protected:
  void SetUp() override {
    TransportTest::SetUp();
    if (IsSkipped()) return;
    if (!IsHostRoot()) GTEST_SKIP() << "passthrough is for root of the host";
    fs_.AddFile("lower", "content");
    fs_.AddFile("big", std::string(4 << 20, 'b'));
    Mount();
    // What the kernel asks once: FLUSH, GETXATTR of a new file.
    Make("other", "other");
  }
  void Mount() {
    MountConfig config;
    config.transport = GetParam();
    config.passthrough = Passthrough::kOn;
    const std::string failure = fs_.Mount(config);
    if (failure.find("has no FUSE passthrough") != failure.npos)
      GTEST_SKIP() << failure;
    ASSERT_EQ(failure, "");
  }

  UniqueFd Open(const std::string& path, int flags) {
    UniqueFd fd(open((fs_ / path).c_str(), flags | O_CLOEXEC, 0644));
    EXPECT_TRUE(fd.valid()) << path << ": errno " << errno;
    return fd;
  }
  int OpenError(const std::string& path, int flags) {
    const UniqueFd fd(open((fs_ / path).c_str(), flags | O_CLOEXEC));
    return fd.valid() ? 0 : errno;
  }
  void Make(const std::string& path, const std::string& text) {
    Put(Open(path, O_CREAT | O_WRONLY), text);
    Stat("");  // the directory's times, which the kernel would ask for later
  }
  static void Put(const UniqueFd& fd, const std::string& text, off_t at = 0) {
    EXPECT_EQ(pwrite(fd.get(), text.data(), text.size(), at),
              static_cast<ssize_t>(text.size()))
        << "errno " << errno;
  }
  static std::string Get(const UniqueFd& fd, size_t size = 64, off_t at = 0) {
    std::string text(size, '\0');
    const ssize_t got = pread(fd.get(), text.data(), size, at);
    EXPECT_GE(got, 0) << "errno " << errno;
    text.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return text;
  }
  struct stat Stat(const std::string& path) {
    struct stat st {};
    EXPECT_EQ(stat((fs_ / path).c_str(), &st), 0) << path;
    return st;
  }
  // A file as the host has it.
  std::string InUpper(const std::string& path) {
    std::ifstream in(fs_.root() + "/upper/" + path);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // Whether what is written is no message.
  bool IsPassed(const UniqueFd& fd, const std::string& text) {
    Put(fd, text);  // the first may ask for file capabilities
    return MessagesOf(fs_, [&] { Put(fd, text); }).empty();
  }

  ServedUnion fs_;
};

// --- messages ----------------------------------------------------------------

TEST_P(PassthroughTest, SaysSo) {
  const auto answer = QueryControl(fs_.mountpoint());
  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  const auto path = nlohmann::json::parse(*answer)["data_path"];
  EXPECT_EQ(std::string(path["used"]).find("passthrough"), 0u) << path;
  EXPECT_EQ(path["reason"], "");
}

TEST_P(PassthroughTest, ANewFileIsWrittenWithoutAMessage) {
  EXPECT_EQ(MessagesOf(fs_,
                       [&] {
                         const UniqueFd fd =
                             Open("fresh", O_CREAT | O_EXCL | O_WRONLY);
                         for (int i = 0; i < 100; ++i)
                           Put(fd, std::string(512, 'n'), i * 512);
                       }),
            "CREATE GETXATTR LOOKUP");
  EXPECT_EQ(InUpper("fresh"), std::string(51200, 'n'));
}

TEST_P(PassthroughTest, AFileOfTheUpperIsReadAndWrittenForItsOpen) {
  Make("file", "text");
  EXPECT_EQ(
      MessagesOf(fs_, [&] { EXPECT_EQ(Get(Open("file", O_RDONLY)), "text"); }),
      "OPEN");
  const UniqueFd fd = Open("file", O_WRONLY);
  Put(fd, "T");
  EXPECT_EQ(MessagesOf(fs_,
                       [&] {
                         for (int i = 0; i < 100; ++i) Put(fd, "more", i * 4);
                       }),
            "");
}

TEST_P(PassthroughTest, AFileOfALayerKeepsItsPages) {
  const auto read = [&] { EXPECT_EQ(Get(Open("lower", O_RDONLY)), "content"); };
  EXPECT_EQ(MessagesOf(fs_, read), "LOOKUP OPEN READ");
  EXPECT_EQ(MessagesOf(fs_, read), "OPEN");
}

// --- one file, two ways ------------------------------------------------------

// The order that leads to EIO where each open is answered for itself.
TEST_P(PassthroughTest, AFileThatComesUpKeepsTheWayOfItsFirstOpen) {
  UniqueFd reader = Open("lower", O_RDONLY);
  EXPECT_EQ(Get(reader), "content");
  const Mapping mapped(reader, PROT_READ);
  UniqueFd writer = Open("lower", O_RDWR | O_TRUNC);
  Put(writer, "CONTENT");  // it is in the upper alone now
  EXPECT_EQ(Get(reader), "CONTENT");
  EXPECT_EQ(mapped.Load(7), "CONTENT");
  EXPECT_FALSE(IsPassed(writer, "Content"));
  UniqueFd third = Open("lower", O_RDWR);
  EXPECT_EQ(Get(third), "Content");
  Put(third, "kontent");
  EXPECT_EQ(Get(reader), "kontent");
  EXPECT_EQ(mapped.Load(7), "kontent");
  EXPECT_EQ(InUpper("lower"), "kontent");
}

TEST_P(PassthroughTest, AfterItsLastReleaseItGoesTheOtherWay) {
  {
    EXPECT_EQ(Get(Open("lower", O_RDONLY)), "content");
    const UniqueFd writer = Open("lower", O_RDWR | O_TRUNC);
    Put(writer, "CONTENT");
  }
  // A release is sent when nobody waits for it.
  UniqueFd passed;
  for (int i = 0; i < 100; ++i) {
    passed = Open("lower", O_RDWR);
    if (IsPassed(passed, "Content")) break;
    passed.reset();
    usleep(10'000);
  }
  ASSERT_TRUE(passed.valid());
  EXPECT_EQ(Get(passed), "Content");
  // None of the pages from before.
  std::ofstream(fs_.root() + "/upper/lower") << "host";
  EXPECT_EQ(Get(Open("lower", O_RDONLY)), "host");
}

TEST_P(PassthroughTest, AMappingSeesWritesAndIsSeen) {
  Make("file", "text");
  UniqueFd fd = Open("file", O_RDWR);
  Mapping mapped(fd, PROT_READ | PROT_WRITE);
  Put(fd, "TEXT");
  EXPECT_EQ(mapped.Load(4), "TEXT");
  mapped.Store("maps");
  EXPECT_EQ(Get(fd), "maps");
  EXPECT_EQ(Get(Open("file", O_RDONLY)), "maps");
}

// Its descriptor's release comes, and the mapping lives.
TEST_P(PassthroughTest, AMappingOutlivesItsDescriptor) {
  Make("file", "text");
  UniqueFd fd = Open("file", O_RDWR);
  Mapping mapped(fd, PROT_READ | PROT_WRITE);
  fd.reset();
  usleep(50'000);
  EXPECT_EQ(Get(Open("file", O_RDONLY)), "text");
  mapped.Store("MAPS");
  EXPECT_EQ(Get(Open("file", O_RDONLY)), "MAPS");
  // Neither what protects it nor set-id bits change its way.
  ASSERT_EQ(chmod((fs_ / "file").c_str(), 04755), 0);
  EXPECT_EQ(Get(Open("file", O_RDONLY)), "MAPS");
  mapped.Store("maps");
  EXPECT_EQ(Get(Open("file", O_RDONLY)), "maps");
}

TEST_P(PassthroughTest, TimesOfStoresThroughAMappingShow) {
  Make("file", "text");
  const struct stat before = Stat("file");
  UniqueFd fd = Open("file", O_RDWR);
  Mapping mapped(fd, PROT_READ | PROT_WRITE);
  fd.reset();
  EXPECT_EQ(Stat("file").st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  usleep(20'000);
  mapped.Store("TEXT");
  const struct stat after = Stat("file");
  EXPECT_NE(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

TEST_P(PassthroughTest, SizeFollowsAppendsTruncationsAndHoles) {
  const UniqueFd fd = Open("file", O_CREAT | O_RDWR | O_APPEND);
  ASSERT_EQ(write(fd.get(), "text", 4), 4);
  EXPECT_EQ(Stat("file").st_size, 4);
  const UniqueFd other = Open("file", O_WRONLY | O_APPEND);
  ASSERT_EQ(write(other.get(), "more", 4), 4);
  ASSERT_EQ(write(fd.get(), "most", 4), 4);
  EXPECT_EQ(Get(fd), "textmoremost");
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_END), 12);
  ASSERT_EQ(ftruncate(other.get(), 2), 0);
  EXPECT_EQ(Get(fd), "te");
  ASSERT_EQ(truncate((fs_ / "file").c_str(), 1 << 20), 0);
  EXPECT_EQ(Get(fd, 4, (1 << 20) - 2), std::string(2, '\0'));
  EXPECT_EQ(lseek(fd.get(), 2 * kPage, SEEK_DATA), -1);
  ASSERT_EQ(fallocate(fd.get(), 0, 0, 2 << 20), 0);
  EXPECT_EQ(Stat("file").st_size, 2 << 20);
  EXPECT_EQ(close(Open("file", O_WRONLY | O_TRUNC).release()), 0);
  EXPECT_EQ(Stat("file").st_size, 0);
  EXPECT_EQ(Get(fd), "");
}

TEST_P(PassthroughTest, CopiesBetweenAPassedFileAndALayersAreTrue) {
  const UniqueFd from = Open("big", O_RDONLY);
  const UniqueFd to = Open("copy", O_CREAT | O_RDWR);
  Put(to, "before");
  loff_t in = 0, out = 3;
  ASSERT_EQ(copy_file_range(from.get(), &in, to.get(), &out, 100, 0), 100);
  EXPECT_EQ(Get(to, 200), "bef" + std::string(100, 'b'));
  EXPECT_EQ(Stat("copy").st_size, 103);
  // And back, into one that is read through pages.
  UniqueFd big = Open("big", O_RDWR);
  EXPECT_EQ(Get(big, 6), "bbbbbb");
  in = 0, out = 0;
  ASSERT_EQ(copy_file_range(to.get(), &in, big.get(), &out, 3, 0), 3);
  EXPECT_EQ(Get(from, 6), "befbbb");
}

// --- without a name ----------------------------------------------------------

TEST_P(PassthroughTest, AFileWithoutANameLivesOn) {
  UniqueFd fd = Open("file", O_CREAT | O_RDWR);
  Put(fd, "text");
  ASSERT_EQ(unlink((fs_ / "file").c_str()), 0);
  Put(fd, "TEXT");
  const UniqueFd again(
      open(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), O_RDWR));
  ASSERT_TRUE(again.valid()) << errno;
  Put(again, "next");
  EXPECT_EQ(Get(fd), "next");

  Make("old", "old");
  Make("new", "new");
  const UniqueFd old = Open("old", O_RDWR);
  ASSERT_EQ(rename((fs_ / "new").c_str(), (fs_ / "old").c_str()), 0);
  Put(old, "gone");
  EXPECT_EQ(Get(old), "gone");
  EXPECT_EQ(Get(Open("old", O_RDONLY)), "new");

  const UniqueFd tmp = Open("", O_TMPFILE | O_RDWR);
  EXPECT_TRUE(IsPassed(tmp, "unnamed"));
  EXPECT_EQ(Get(tmp), "unnamed");
}

// --- what is forbidden -------------------------------------------------------

TEST_P(PassthroughTest, AWriteDropsSetIdBits) {
  const UniqueFd fd = Open("file", O_CREAT | O_RDWR);
  Put(fd, "text");
  ASSERT_EQ(fchmod(fd.get(), 06777), 0);
  Put(fd, "root");  // who may keep them
  EXPECT_EQ(Stat("file").st_mode & 07777, 06777u);
  // Neither the owner nor one who may have them.
  const pid_t child = fork();
  if (child == 0) {
    if (setresgid(1, 1, 1) != 0 || setresuid(1, 1, 1) != 0) _exit(2);
    _exit(pwrite(fd.get(), "user", 4, 0) == 4 ? 0 : 3);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_EQ(Stat("file").st_mode & 07777, 0777u);
  EXPECT_EQ(Get(fd), "user");
}

TEST_P(PassthroughTest, ProtectedFilesAreNotWritten) {
  for (const int flag : {FS_IMMUTABLE_FL, FS_APPEND_FL}) {
    const std::string name = "flag" + std::to_string(flag);
    Make(name, "kept");
    UniqueFd fd = Open(name, O_RDONLY);
    int flags = 0;
    if (ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) GTEST_SKIP();
    flags |= flag;
    if (ioctl(fd.get(), FS_IOC_SETFLAGS, &flags) != 0) GTEST_SKIP();
    EXPECT_EQ(OpenError(name, O_WRONLY), EPERM);
    EXPECT_EQ(OpenError(name, O_RDONLY), 0);
    EXPECT_EQ(OpenError(name, O_WRONLY | O_APPEND),
              flag == FS_APPEND_FL ? 0 : EPERM);
    flags &= ~flag;
    ASSERT_EQ(ioctl(fd.get(), FS_IOC_SETFLAGS, &flags), 0);
    EXPECT_TRUE(IsPassed(Open(name, O_WRONLY), "more"));
  }
}

TEST_P(PassthroughTest, DirectOpensNeverEndInEio) {
  Make("file", "text");
  const UniqueFd fd = Open("file", O_RDWR);
  const int error = OpenError("file", O_RDWR | O_DIRECT);
  EXPECT_TRUE(error == 0 || error == EINVAL) << error;
  EXPECT_EQ(OpenError("lower", O_RDONLY | O_DIRECT), 0);
}

// --- all at once -------------------------------------------------------------

TEST_P(PassthroughTest, NoOrderOfOpensEndsInEio) {
  constexpr int kThreads = 8, kRounds = 200;
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        const std::string path =
            fs_ / (i % 3 == 0 ? "lower" : "new" + std::to_string(i / 20));
        const int flags = (i + t) % 2 ? O_RDWR | O_CREAT : O_RDONLY;
        const UniqueFd fd(open(path.c_str(), flags, 0644));
        if (!fd.valid() && errno == ENOENT) continue;
        char text[8] = "content";
        const bool good =
            fd.valid() &&
            (flags == O_RDONLY || pwrite(fd.get(), text, 7, 0) == 7) &&
            pread(fd.get(), text, 7, 0) >= 0;
        if (!good) ++failed;
        if (i % 20 == 0 && t == 0) unlink(path.c_str());
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
}

// Nobody could hold off what its writers write.
TEST_P(PassthroughTest, AMountIsNotHeldWhileAFileIsWritten) {
  UniqueFd reader = Open("other", O_RDONLY);
  UniqueFd writer = Open("other", O_WRONLY);
  EXPECT_EQ(MountHold::Begin(fs_.mountpoint()).code(), EBUSY);
  writer.reset();
  int code = EBUSY;
  for (int i = 0; i < 100 && code == EBUSY; ++i) {
    usleep(10'000);  // its release comes when nobody waits for it
    auto hold = MountHold::Begin(fs_.mountpoint());
    code = hold.code();
    if (hold.ok()) {
      EXPECT_TRUE(hold->End().ok());
    }
  }
  EXPECT_EQ(code, 0);
}

TEST_P(PassthroughTest, WhatWasWrittenOutlivesTheDaemon) {
  const UniqueFd fd = Open("file", O_CREAT | O_WRONLY);
  Put(fd, "text");
  fs_.Kill(SIGKILL);
  EXPECT_EQ(InUpper("file"), "text");
}

INSTANTIATE_OVER_TRANSPORTS(PassthroughTest);

}  // namespace
}  // namespace ufs::test
