#include "fs/control.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "fs/fuse_mount.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {
namespace {

Result<std::unique_ptr<ControlServer>> StartServer(
    dev_t device, std::function<std::string()> answer, Holding holding = {}) {
  auto server =
      ControlServer::Listen(device, std::move(answer), std::move(holding));
  if (server.ok()) (*server)->Serve();
  return server;
}

// The device of a directory stands in for that of a mount. Other processes that
// run these tests have the same, and so wait.
class ControlTest : public testing::Test {
 protected:
  ControlTest() : turn_(open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    EXPECT_EQ(flock(turn_.get(), LOCK_EX), 0);
    char name[] = "/tmp/ufs-control-test-XXXXXX";
    EXPECT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    const Result<dev_t> device = DeviceAt(directory_);
    EXPECT_TRUE(device.ok());
    device_ = device.ok() ? *device : 0;
  }
  ~ControlTest() override { rmdir(directory_.c_str()); }

  UniqueFd Connect() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strcpy(address.sun_path, ControlSocketPath(device_).c_str());
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address),
                      sizeof(address)),
              0);
    return fd;
  }

  const UniqueFd turn_;
  std::string directory_;
  dev_t device_ = 0;
};

TEST_F(ControlTest, AnswersEachConnectionAnew) {
  int asked = 0;
  auto server = StartServer(
      device_, [&asked] { return "answer " + std::to_string(++asked); });
  ASSERT_TRUE(server.ok()) << server.error().ToString();
  for (int i = 1; i <= 3; ++i) {
    const Result<std::string> answer = QueryControl(directory_);
    ASSERT_TRUE(answer.ok()) << answer.error().ToString();
    EXPECT_EQ(*answer, "answer " + std::to_string(i));
  }
}

// An unmount asks no more than that, and waits for what the daemon does then.
TEST_F(ControlTest, WhoOnlyAsksWhoseProcessItIsHasNoAnswerMade) {
  std::atomic<int> asked{0};
  auto server = StartServer(device_, [&asked] {
    ++asked;
    return std::string("answer");
  });
  ASSERT_TRUE(server.ok()) << server.error().ToString();
  for (int i = 0; i < 20; ++i) {
    const Result<pid_t> daemon = DaemonOf(directory_);
    ASSERT_TRUE(daemon.ok()) << daemon.error().ToString();
    EXPECT_EQ(*daemon, getpid());
  }
  // It is served in turn, after those.
  ASSERT_TRUE(QueryControl(directory_).ok());
  EXPECT_EQ(asked, 1);
}

// The kernel gives the number of a mount that has gone to the next one at once.
TEST_F(ControlTest, AServerThatEndsLeavesTheSocketOfItsSuccessor) {
  auto first = StartServer(device_, [] { return "first"; });
  ASSERT_TRUE(first.ok());
  auto second = StartServer(device_, [] { return "second"; });
  ASSERT_TRUE(second.ok());
  first->reset();
  const Result<std::string> answer = QueryControl(directory_);
  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  EXPECT_EQ(*answer, "second");
}

TEST_F(ControlTest, OnlyItsOwnerCanReachTheSocket) {
  auto server = StartServer(device_, [] { return "x"; });
  ASSERT_TRUE(server.ok());
  const std::string path = ControlSocketPath(device_);
  struct stat st {};
  ASSERT_EQ(stat(path.substr(0, path.rfind('/')).c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0700u);
  EXPECT_EQ(st.st_uid, geteuid());
  ASSERT_EQ(stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
}

TEST_F(ControlTest, TheSocketGoesWithTheServer) {
  {
    auto server = StartServer(device_, [] { return "x"; });
  }
  EXPECT_NE(access(ControlSocketPath(device_).c_str(), F_OK), 0);
  const Result<std::string> answer = QueryControl(directory_);
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.code(), ENOTCONN);
}

// A daemon that was killed leaves its socket; the number of its mount is used
// again.
TEST_F(ControlTest, ASocketLeftBehindIsReplaced) {
  {
    auto server = StartServer(device_, [] { return "x"; });
  }
  const std::string path = ControlSocketPath(device_);
  mkdir(path.substr(0, path.rfind('/')).c_str(), 0700);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, path.c_str());
  {
    UniqueFd dead(socket(AF_UNIX, SOCK_STREAM, 0));
    ASSERT_EQ(bind(dead.get(), reinterpret_cast<sockaddr*>(&address),
                   sizeof(address)),
              0);
  }
  EXPECT_EQ(QueryControl(directory_).code(), ENOTCONN);
  auto server = StartServer(device_, [] { return "new"; });
  ASSERT_TRUE(server.ok()) << server.error().ToString();
  const Result<std::string> answer = QueryControl(directory_);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(*answer, "new");
}

// The answer is larger than a socket buffer, so that a client that does not
// read makes the server wait.
TEST_F(ControlTest, AClientThatDoesNotReadDelaysTheNextForASecondOnly) {
  const std::string large(4 << 20, 'x');
  auto server = StartServer(device_, [&] { return large; });
  ASSERT_TRUE(server.ok());
  const UniqueFd silent = Connect();
  const auto start = std::chrono::steady_clock::now();
  const Result<std::string> answer = QueryControl(directory_);
  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  EXPECT_EQ(answer->size(), large.size());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(4));
}

TEST_F(ControlTest, AClientThatGoesAwayDoesNoHarm) {
  const std::string large(4 << 20, 'x');
  auto server = StartServer(device_, [&] { return large; });
  ASSERT_TRUE(server.ok());
  for (int i = 0; i < 20; ++i) Connect().reset();
  EXPECT_TRUE(QueryControl(directory_).ok());
}

TEST_F(ControlTest, TheDaemonIsKnownThoughItDoesNotAnswer) {
  std::promise<void> asked, rest;
  int times = 0;  // the second time by the question below
  auto server = StartServer(device_, [&] {
    if (++times > 1) return std::string();
    asked.set_value();
    rest.get_future().wait();
    return std::string();
  });
  ASSERT_TRUE(server.ok());
  const UniqueFd waiting = Connect();
  asked.get_future().wait();
  const Result<pid_t> daemon = DaemonOf(directory_);
  rest.set_value();
  ASSERT_TRUE(daemon.ok()) << daemon.error().ToString();
  EXPECT_EQ(*daemon, getpid());
}

TEST_F(ControlTest, AClientThatSaysNothingIsAnswered) {
  auto server = StartServer(device_, [] { return "answer"; });
  ASSERT_TRUE(server.ok());
  const UniqueFd silent = Connect();
  char text[16];
  EXPECT_EQ(recv(silent.get(), text, sizeof(text), 0), 6);
}

// Counts how often the mount was held and let go.
class HoldTest : public ControlTest {
 protected:
  std::unique_ptr<ControlServer> Start(std::chrono::milliseconds limit) {
    auto server = StartServer(device_, [] { return "answer"; },
                              {[this]() -> Status {
                                 ++held_;
                                 return Ok();
                               },
                               [this] { ++released_; }, limit,
                               [this]() -> Status {
                                 if (++frozen_ > 1)
                                   return Error(ENOSPC, "no room");
                                 return Ok();
                               }});
    EXPECT_TRUE(server.ok());
    return server.ok() ? std::move(server).value() : nullptr;
  }
  bool WaitForRelease(int times) {
    for (int i = 0; i < 1000 && released_ < times; ++i) usleep(10'000);
    return released_ == times;
  }

  std::atomic<int> held_{0}, released_{0}, frozen_{0};
};

constexpr std::chrono::seconds kLong(1000);

TEST_F(HoldTest, HoldsUntilTheHolderLetsGo) {
  const auto server = Start(kLong);
  for (int i = 1; i <= 3; ++i) {
    auto hold = MountHold::Begin(directory_);
    ASSERT_TRUE(hold.ok()) << hold.error().ToString();
    EXPECT_EQ(held_, i);
    EXPECT_EQ(released_, i - 1);
    // Others are answered meanwhile.
    const Result<std::string> answer = QueryControl(directory_);
    ASSERT_TRUE(answer.ok()) << answer.error().ToString();
    EXPECT_EQ(*answer, "answer");
    EXPECT_EQ(MountHold::Begin(directory_).code(), EBUSY);
    EXPECT_TRUE(hold->End().ok());
    EXPECT_EQ(released_, i);
  }
}

TEST_F(HoldTest, LetsGoOfAHolderThatIsGone) {
  const auto server = Start(kLong);
  for (int i = 1; i <= 3; ++i) {
    EXPECT_TRUE(MountHold::Begin(directory_).ok());
    EXPECT_TRUE(WaitForRelease(i));
  }
}

TEST_F(HoldTest, TellsAHolderThatItTookTooLong) {
  const auto server = Start(std::chrono::milliseconds(20));
  auto hold = MountHold::Begin(directory_);
  ASSERT_TRUE(hold.ok());
  ASSERT_TRUE(WaitForRelease(1));
  EXPECT_EQ(hold->End().code(), ETIMEDOUT);
  EXPECT_EQ(released_, 1);
}

TEST_F(HoldTest, TheHolderMayHaveTheUpperBeginAfresh) {
  const auto server = Start(kLong);
  auto hold = MountHold::Begin(directory_);
  ASSERT_TRUE(hold.ok());
  EXPECT_TRUE(hold->Check().ok());
  EXPECT_EQ(frozen_, 0);
  EXPECT_TRUE(hold->Freeze().ok());
  EXPECT_EQ(frozen_, 1);
  // One that fails does not end the hold.
  const Status again = hold->Freeze();
  EXPECT_EQ(again.code(), ENOSPC);
  EXPECT_EQ(again.error().context(), "no room");
  EXPECT_EQ(released_, 0);
  EXPECT_TRUE(hold->End().ok());
}

TEST_F(HoldTest, ALateHolderMayNot) {
  const auto server = Start(std::chrono::milliseconds(20));
  auto hold = MountHold::Begin(directory_);
  ASSERT_TRUE(hold.ok());
  ASSERT_TRUE(WaitForRelease(1));
  EXPECT_EQ(hold->Check().code(), ETIMEDOUT);
  EXPECT_EQ(hold->Freeze().code(), ETIMEDOUT);
  EXPECT_EQ(frozen_, 0);
}

TEST_F(HoldTest, LetsGoWhenTheServerEnds) {
  auto server = Start(kLong);
  auto hold = MountHold::Begin(directory_);
  ASSERT_TRUE(hold.ok());
  server.reset();
  EXPECT_EQ(released_, 1);
  EXPECT_FALSE(hold->End().ok());
}

TEST_F(ControlTest, SaysWhyAMountIsNotHeld) {
  auto server =
      StartServer(device_, [] { return "answer"; },
                  {[]() -> Status { return Error(ENOSPC, "no room for it"); },
                   [] {},
                   kLong,
                   {}});
  ASSERT_TRUE(server.ok());
  const auto hold = MountHold::Begin(directory_);
  ASSERT_FALSE(hold.ok());
  EXPECT_EQ(hold.code(), ENOSPC);
  EXPECT_EQ(hold.error().context(), directory_ + ": no room for it");
}

TEST_F(ControlTest, AMissingMountPointIsSaidToBeMissing) {
  EXPECT_EQ(QueryControl(directory_ + "/missing").code(), ENOENT);
}

}  // namespace
}  // namespace ufs
