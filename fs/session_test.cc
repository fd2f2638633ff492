// The life of a mount: how it begins, how it fails to, and how it ends.

#include "fs/session.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "fs/control.h"
#include "fs/fuse_mount.h"
#include "fs/served_union.h"

namespace ufs::test {
namespace {

class SessionTest : public TransportTest {
 protected:
  void SetUp() override {
    TransportTest::SetUp();
    if (IsSkipped()) return;
    fs_.AddFile("file", "content");
    config_.transport = GetParam();
  }

  std::string ReadAll(const std::string& path) {
    std::ifstream in(fs_ / path);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

  static bool ExitedWithZero(int status) {
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

  bool SocketIsThere(dev_t device) {
    return access(ControlSocketPath(device).c_str(), F_OK) == 0;
  }

  MountConfig config_;
  ServedUnion fs_;
};

TEST_P(SessionTest, EndsWithTheMountAndLeavesNothing) {
  ASSERT_EQ(fs_.Mount(config_), "");
  EXPECT_TRUE(fs_.IsMounted());
  EXPECT_EQ(ReadAll("file"), "content");
  const Result<dev_t> device = DeviceAt(fs_.mountpoint());
  ASSERT_TRUE(device.ok());
  EXPECT_TRUE(SocketIsThere(*device));
  EXPECT_TRUE(ExitedWithZero(fs_.Unmount()));
  EXPECT_FALSE(fs_.IsMounted());
  EXPECT_FALSE(SocketIsThere(*device));
}

TEST_P(SessionTest, EndsBySignal) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    ASSERT_EQ(fs_.Mount(config_), "") << signal;
    EXPECT_EQ(ReadAll("file"), "content");
    EXPECT_TRUE(ExitedWithZero(fs_.Kill(signal))) << signal;
    EXPECT_FALSE(fs_.IsMounted()) << signal;
  }
}

// It is mounted before it can answer, unless that may be refused.
TEST_P(SessionTest, MayBeUnmountedBeforeItAnswers) {
  config_.transport =
      GetParam() == Transport::kIoUring ? Transport::kAuto : GetParam();
  fs_.SetReady([this] {
    const pid_t asks = fork();
    if (asks == 0) {
      struct stat st;
      _exit(stat((fs_ / "file").c_str(), &st));
    }
    usleep(20'000);
    if (waitpid(asks, nullptr, WNOHANG) != 0) _exit(96);  // it was answered
    kill(asks, SIGKILL);
    waitpid(asks, nullptr, 0);
    if (umount2(fs_.mountpoint().c_str(), 0) != 0) _exit(95);
  });
  ASSERT_EQ(fs_.Mount(config_), "");
  EXPECT_TRUE(ExitedWithZero(fs_.WaitForDaemon()));
  EXPECT_FALSE(fs_.IsMounted());
}

TEST_P(SessionTest, MayEndBySignalBeforeItAnswers) {
  config_.transport =
      GetParam() == Transport::kIoUring ? Transport::kAuto : GetParam();
  fs_.SetReady([] { kill(getpid(), SIGTERM); });
  ASSERT_EQ(fs_.Mount(config_), "");
  EXPECT_TRUE(ExitedWithZero(fs_.WaitForDaemon()));
  EXPECT_FALSE(fs_.IsMounted());
}

TEST_P(SessionTest, EndsBySignalThoughAFileIsOpen) {
  ASSERT_EQ(fs_.Mount(config_), "");
  const int fd = open((fs_ / "file").c_str(), O_RDWR);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(pwrite(fd, "C", 1, 0), 1);
  EXPECT_TRUE(ExitedWithZero(fs_.Kill(SIGTERM)));
  EXPECT_FALSE(fs_.IsMounted());
  EXPECT_EQ(pwrite(fd, "c", 1, 0), -1);  // nobody answers, and nobody waits
  close(fd);
}

TEST_P(SessionTest, ServesManyAtOnce) {
  ASSERT_EQ(fs_.Mount(config_), "");
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string path =
            fs_ / ("t" + std::to_string(t) + "." + std::to_string(i));
        const int fd = open(path.c_str(), O_CREAT | O_RDWR, 0644);
        const std::string text = path + std::to_string(i);
        char back[512] = {};
        if (fd >= 0 && write(fd, text.data(), text.size()) > 0 &&
            (i % 5 != 0 || fsync(fd) == 0) &&
            pread(fd, back, sizeof(back), 0) ==
                static_cast<ssize_t>(text.size()) &&
            text == back)
          good.fetch_add(1);
        close(fd);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good.load(), 8 * 50);
}

TEST_P(SessionTest, TellsOfItself) {
  ASSERT_EQ(fs_.Mount(config_), "");
  EXPECT_EQ(ReadAll("file"), "content");
  const Result<std::string> answer = QueryControl(fs_.mountpoint());
  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  const auto report = nlohmann::json::parse(*answer);
  EXPECT_EQ(report["format"], 1);
  EXPECT_EQ(report["pid"], fs_.pid());
  EXPECT_EQ(report["mountpoint"], fs_.mountpoint());
  EXPECT_EQ(report["transport"]["used"],
            GetParam() == Transport::kIoUring ? "io_uring" : "classic");
  EXPECT_EQ(report["transport"]["reason"] == "",
            GetParam() == Transport::kIoUring);
  EXPECT_NE(report["data_path"]["reason"], "");
  EXPECT_GT(report["memory_bytes"], 1 << 20);
  EXPECT_EQ(report["union"]["upper"], fs_.root() + "/upper");
  EXPECT_GE(report["stats"]["inodes"], 1);
  const auto& messages = report["messages"];
  const auto lookup =
      std::find_if(messages.begin(), messages.end(),
                   [](const auto& m) { return m["message"] == "LOOKUP"; });
  ASSERT_NE(lookup, messages.end());
  EXPECT_EQ((*lookup)["count"], 1);
  EXPECT_GT((*lookup)["p50_us"], 0);
  EXPECT_GE((*lookup)["p99_us"], (*lookup)["p50_us"]);
}

TEST_P(SessionTest, MountOptionsCount) {
  config_.mount_options = {"nosuid", "noexec", "ro"};
  ASSERT_EQ(fs_.Mount(config_), "");
  struct statvfs st {};
  ASSERT_EQ(statvfs(fs_.mountpoint().c_str(), &st), 0);
  EXPECT_TRUE(st.f_flag & ST_NOSUID);
  EXPECT_TRUE(st.f_flag & ST_NOEXEC);
  EXPECT_TRUE(st.f_flag & ST_RDONLY);
  EXPECT_TRUE(st.f_flag & ST_NOATIME);
  EXPECT_FALSE(st.f_flag & ST_NODEV);
}

// --- a mount that is held
// ------------------------------------------------------

constexpr auto kMoment = std::chrono::milliseconds(100);
constexpr auto kPatience = std::chrono::seconds(20);

TEST_P(SessionTest, NothingIsDoneWhileItIsHeld) {
  ASSERT_EQ(fs_.Mount(config_), "");
  auto hold = MountHold::Begin(fs_.mountpoint());
  ASSERT_TRUE(hold.ok()) << hold.error().ToString();
  auto write = std::async(std::launch::async, [&] {
    std::ofstream(fs_ / "new") << "written";
    return true;
  });
  EXPECT_EQ(write.wait_for(kMoment), std::future_status::timeout);
  EXPECT_NE(access((fs_.root() + "/upper/new").c_str(), F_OK), 0);
  EXPECT_TRUE(QueryControl(fs_.mountpoint()).ok());
  EXPECT_TRUE(hold->End().ok());
  ASSERT_EQ(write.wait_for(kPatience), std::future_status::ready);
  EXPECT_EQ(ReadAll("new"), "written");
}

TEST_P(SessionTest, WhatIsHeldIsWhole) {
  const std::string large(3 << 20, 'x');
  fs_.AddFile("large", large);
  ASSERT_EQ(fs_.Mount(config_), "");
  const int fd = open((fs_ / "large").c_str(), O_RDWR);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(pwrite(fd, "W", 1, 0), 1);
  const std::string upper = fs_.root() + "/upper/large";
  const auto in_parts = [&] {
    return getxattr(upper.c_str(), "trusted.overlay.metacopy", nullptr, 0) >= 0;
  };
  EXPECT_TRUE(in_parts());
  auto hold = MountHold::Begin(fs_.mountpoint());
  ASSERT_TRUE(hold.ok()) << hold.error().ToString();
  EXPECT_FALSE(in_parts());
  std::ifstream in(upper);
  EXPECT_TRUE(std::string(std::istreambuf_iterator<char>(in), {}) ==
              "W" + large.substr(1));
  EXPECT_TRUE(hold->End().ok());
  close(fd);
}

TEST_P(SessionTest, EndsBySignalThoughItIsHeld) {
  ASSERT_EQ(fs_.Mount(config_), "");
  auto hold = MountHold::Begin(fs_.mountpoint());
  ASSERT_TRUE(hold.ok()) << hold.error().ToString();
  auto write = std::async(std::launch::async,
                          [&] { std::ofstream(fs_ / "new") << "written"; });
  EXPECT_EQ(write.wait_for(kMoment), std::future_status::timeout);
  EXPECT_TRUE(ExitedWithZero(fs_.Kill(SIGTERM)));
  EXPECT_EQ(write.wait_for(kPatience), std::future_status::ready);
}

// Many who change things while it is held again and again: in each such moment
// the second file of each pair is as far as the first, or one behind.
TEST_P(SessionTest, IsHeldBetweenChanges) {
  ASSERT_EQ(fs_.Mount(config_), "");
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  const auto name = [](int i, int which) {
    return "pair" + std::to_string(i) + "-" + std::to_string(which);
  };
  for (int i = 0; i < 4; ++i)
    writers.emplace_back([&, i] {
      int fds[2];
      for (const int which : {0, 1}) {
        fds[which] =
            open((fs_ / name(i, which)).c_str(), O_RDWR | O_CREAT, 0644);
        EXPECT_GE(fds[which], 0);
      }
      for (uint64_t n = 1; !stop; ++n)
        for (const int fd : fds) EXPECT_EQ(pwrite(fd, &n, sizeof(n), 0), 8);
      for (const int fd : fds) close(fd);
    });
  const auto number = [&](int i, int which) -> uint64_t {
    uint64_t n = 0;
    std::ifstream in(fs_.root() + "/upper/" + name(i, which));
    in.read(reinterpret_cast<char*>(&n), sizeof(n));
    return in.gcount() == sizeof(n) ? n : 0;
  };
  for (int round = 0; round < 100; ++round) {
    auto hold = MountHold::Begin(fs_.mountpoint());
    ASSERT_TRUE(hold.ok()) << hold.error().ToString();
    for (int i = 0; i < 4; ++i) {
      const uint64_t first = number(i, 0), second = number(i, 1);
      EXPECT_TRUE(first == second || first == second + 1)
          << first << " " << second;
      EXPECT_EQ(number(i, 0), first);
    }
    EXPECT_TRUE(hold->End().ok());
  }
  stop = true;
  for (std::thread& writer : writers) writer.join();
}

TEST_P(SessionTest, TheDaemonOfAMountThatIsCoveredEndsBySignalToo) {
  ASSERT_EQ(fs_.Mount(config_), "");
  EXPECT_EQ(ReadAll("file"), "content");
  // A mount on top: ours cannot be reached by its path any more.
  ServedUnion above;
  above.AddFile("above", "content");
  MountConfig config = config_;
  config.mountpoint = fs_.mountpoint();
  ASSERT_EQ(above.Mount(config), "");
  EXPECT_EQ(ReadAll("above"), "content");
  EXPECT_TRUE(ExitedWithZero(above.Kill(SIGTERM)));
  EXPECT_EQ(ReadAll("file"), "content");
}

INSTANTIATE_OVER_TRANSPORTS(SessionTest);

class MountErrorTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!CanMount()) GTEST_SKIP() << "needs root and /dev/fuse";
  }
  void ExpectError(const std::string& text) {
    const std::string said = fs_.Mount(config_);
    EXPECT_NE(said.find(text), std::string::npos) << "said: " << said;
    EXPECT_FALSE(fs_.IsMounted());
  }
  MountConfig config_;
  ServedUnion fs_;
};

TEST_F(MountErrorTest, NoMountPoint) {
  config_.mountpoint = fs_.root() + "/missing";
  ExpectError("does not exist; make it with mkdir");
}

TEST_F(MountErrorTest, AFileForAMountPoint) {
  config_.mountpoint = fs_.root() + "/file";
  std::ofstream(config_.mountpoint) << "x";
  ExpectError("Not a directory");
}

TEST_F(MountErrorTest, AnUnknownOptionIsNamed) {
  config_.mount_options = {"nodev", "noexecc"};
  ExpectError("unknown mount option 'noexecc'");
}

TEST_F(MountErrorTest, ADeadMountIsToldApartAndUmountNamed) {
  ASSERT_EQ(fs_.Mount(config_), "");
  fs_.Kill(SIGKILL);
  const std::string said = fs_.Mount(config_);
  EXPECT_NE(said.find("ufs umount " + fs_.mountpoint()), std::string::npos)
      << said;
  const Result<std::string> answer = QueryControl(fs_.mountpoint());
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.code(), ENOTCONN);
}

TEST_F(MountErrorTest, IoUringThatIsOffIsAnErrorOnlyForWhoInsists) {
  if (CanUseIoUring()) GTEST_SKIP() << "FUSE over io_uring is switched on";
  config_.transport = Transport::kIoUring;
  ExpectError("transport=io_uring: ");
  config_.transport = Transport::kAuto;
  ASSERT_EQ(fs_.Mount(config_), "");
  const Result<std::string> answer = QueryControl(fs_.mountpoint());
  ASSERT_TRUE(answer.ok());
  const auto report = nlohmann::json::parse(*answer);
  EXPECT_EQ(report["transport"]["used"], "classic");
  EXPECT_NE(report["transport"]["reason"], "");
}

}  // namespace
}  // namespace ufs::test
