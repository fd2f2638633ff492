#include "fs/served_union.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "fs/control.h"
#include "fs/fuse_mount.h"
#include "fs/session.h"
#include "fs/transport.h"
#include "fs/union_fs.h"
#include "layerdb/base/unique_fd.h"

namespace ufs::test {
namespace {

namespace files = std::filesystem;

constexpr unsigned kPatienceSeconds = 60;

// What the daemon tells: 'y', or the text of an error.
[[noreturn]] void RunDaemon(const std::string& root, MountConfig config,
                            const ReadyFn& ready, int tell) {
  const auto say = [tell](const std::string& text) {
    if (write(tell, text.data(), text.size()) < 0) _exit(97);
  };
  UnionConfig layers;
  layers.layers = {root + "/base"};
  layers.upper = root + "/upper";
  layers.work = root + "/work";
  if (config.mountpoint.empty()) config.mountpoint = root + "/mnt";
  auto fs = UnionFs::Open(layers);
  if (!fs.ok()) {
    say(fs.error().ToString());
    _exit(1);
  }
  const Status served = Serve(config, **fs, [&] {
    ready();
    say("y");
  });
  if (!served.ok()) say(served.error().ToString());
  raise(SIGTERM);  // cuts nothing short that is still to be written
  fs->reset();
  // Not exit(): what the test registered to run at its end is not for us. But
  // what the sanitizers have to say at the end would be lost.
  _exit(served.ok() ? 0 : 1);
}

}  // namespace

ServedUnion::ServedUnion() {
  char name[] = "/var/tmp/ufs-test-XXXXXX";
  if (mkdtemp(name) == nullptr) {
    ADD_FAILURE() << "mkdtemp: errno " << errno;
    abort();
  }
  root_ = name;
  for (const char* directory : {"base", "upper", "work", "mnt"})
    files::create_directory(root_ + "/" + directory);
}

ServedUnion::~ServedUnion() {
  if (daemon_ > 0) Unmount();
  umount2(mountpoint().c_str(), MNT_DETACH);  // what a killed daemon left
  std::error_code error;
  files::remove_all(root_, error);
  EXPECT_FALSE(error) << error.message();
}

void ServedUnion::AddFile(const std::string& path, const std::string& content) {
  std::ofstream(root_ + "/base/" + path) << content;
}

void ServedUnion::AddDirectory(const std::string& path) {
  files::create_directories(root_ + "/base/" + path);
}

std::string ServedUnion::Mount(const MountConfig& config) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return "pipe";
  UniqueFd hear(ends[0]), tell(ends[1]);
  daemon_ = fork();
  if (daemon_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    RunDaemon(root_, config, ready_, tell.get());
  }
  tell.reset();

  watchdog_ = fork();
  if (watchdog_ == 0) {
    hear.reset();
    sleep(kPatienceSeconds);
    umount2(mountpoint().c_str(), MNT_FORCE);  // aborts the connection
    kill(daemon_, SIGKILL);
    _exit(0);
  }

  std::string heard;
  char buffer[4096];
  ssize_t got;
  while ((got = read(hear.get(), buffer, sizeof(buffer))) > 0) {
    heard.append(buffer, static_cast<size_t>(got));
    if (heard == "y") return "";
  }
  WaitForDaemon();
  return heard.empty() ? "the daemon died" : heard;
}

int ServedUnion::WaitForDaemon() {
  int status = -1;
  EXPECT_EQ(waitpid(daemon_, &status, 0), daemon_);
  daemon_ = -1;
  kill(watchdog_, SIGKILL);
  int watchdog_status = 0;
  waitpid(watchdog_, &watchdog_status, 0);
  EXPECT_TRUE(WIFSIGNALED(watchdog_status)) << "the daemon hung";
  watchdog_ = -1;
  return status;
}

int ServedUnion::Unmount() {
  EXPECT_EQ(umount2(mountpoint().c_str(), 0), 0) << "errno " << errno;
  return WaitForDaemon();
}

int ServedUnion::Kill(int signal) {
  kill(daemon_, signal);
  return WaitForDaemon();
}

bool ServedUnion::IsMounted() const {
  const Result<dev_t> here = DeviceAt(mountpoint());
  const Result<dev_t> outside = DeviceAt(root_);
  return here.ok() && outside.ok() && *here != *outside;
}

std::map<std::string, uint64_t> ServedUnion::Counts() const {
  std::map<std::string, uint64_t> counts;
  const Result<std::string> answer = QueryControl(mountpoint());
  if (!answer.ok()) {
    ADD_FAILURE() << answer.error().ToString();
    return counts;
  }
  const auto report = nlohmann::json::parse(*answer);
  for (const auto& kind : report["messages"]) {
    const std::string name = kind["message"];
    if (name != "FORGET" && name != "RELEASE") counts[name] = kind["count"];
  }
  return counts;
}

std::string Difference(const std::map<std::string, uint64_t>& before,
                       const std::map<std::string, uint64_t>& after) {
  std::string text;
  for (const auto& [name, count] : after) {
    const auto old = before.find(name);
    const uint64_t more = count - (old == before.end() ? 0 : old->second);
    if (more == 0) continue;
    if (!text.empty()) text += ' ';
    if (more > 1) text += std::to_string(more) + "*";
    text += name;
  }
  return text;
}

bool CanMount() { return geteuid() == 0 && OpenFuseDevice().ok(); }

bool CanUseIoUring() { return ProbeIoUring().ok(); }

void TransportTest::SetUp() {
  if (!CanMount()) GTEST_SKIP() << "needs root and /dev/fuse";
  if (GetParam() == Transport::kIoUring && !CanUseIoUring())
    GTEST_SKIP() << "FUSE over io_uring is switched off";
}

}  // namespace ufs::test
