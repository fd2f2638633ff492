// For tests: a union over fresh layers in a scratch directory, mounted and
// served by a child process, with its counters in reach.
//
// A daemon that hangs would hang the test as well, so that a watchdog process
// kills it, and aborts its connection, after a minute.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "fs/mount_config.h"
#include "fs/session.h"

namespace ufs::test {

class ServedUnion {
 public:
  ServedUnion();   // makes base/ and upper/ with work/; mounts nothing
  ~ServedUnion();  // unmounts, waits for the daemon, removes everything
  ServedUnion(const ServedUnion&) = delete;
  ServedUnion& operator=(const ServedUnion&) = delete;

  // What the daemon does when it is ready, before it says so. Before Mount.
  void SetReady(ReadyFn ready) { ready_ = std::move(ready); }
  // A file, or a directory, of the lower layer. Before Mount.
  void AddFile(const std::string& path, const std::string& content);
  void AddDirectory(const std::string& path);

  // Empty when mounted; else what the daemon had to say.
  std::string Mount(const MountConfig& config = {});
  // Unmounts, and returns the exit status of the daemon.
  int Unmount();
  // For the end that it comes to by itself; as waitpid's status.
  int WaitForDaemon();
  // Sends a signal to the daemon and waits for its end; as waitpid's status.
  int Kill(int signal);

  std::string operator/(const std::string& path) const {
    return mountpoint() + "/" + path;
  }
  std::string mountpoint() const { return root_ + "/mnt"; }
  const std::string& root() const { return root_; }
  pid_t pid() const { return daemon_; }
  bool IsMounted() const;

  // Messages by name since the mount, without those nobody waits for (FORGET,
  // RELEASE).
  std::map<std::string, uint64_t> Counts() const;

 private:
  std::string root_;
  ReadyFn ready_ = [] {};
  pid_t daemon_ = -1;
  pid_t watchdog_ = -1;
};

// The messages that `body` causes, as "LOOKUP CREATE 2*WRITE", in the order of
// their names; empty when there are none.
template <typename Body>
std::string MessagesOf(const ServedUnion& fs, Body body);

std::string Difference(const std::map<std::string, uint64_t>& before,
                       const std::map<std::string, uint64_t>& after);

template <typename Body>
std::string MessagesOf(const ServedUnion& fs, Body body) {
  const auto before = fs.Counts();
  body();
  return Difference(before, fs.Counts());
}

// Whether this process can mount FUSE at all, and over io_uring.
bool CanMount();
bool CanUseIoUring();

// Of tests that run over each transport, where the machine has it.
class TransportTest : public testing::TestWithParam<Transport> {
 protected:
  void SetUp() override;  // skips, and then the test does not run
};

#define INSTANTIATE_OVER_TRANSPORTS(suite)                                \
  INSTANTIATE_TEST_SUITE_P(                                               \
      Transports, suite,                                                  \
      testing::Values(Transport::kClassic, Transport::kIoUring),          \
      [](const auto& info) {                                              \
        return info.param == Transport::kClassic ? "Classic" : "IoUring"; \
      })

}  // namespace ufs::test
