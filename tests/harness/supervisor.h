// The supervisor stands outside the tests. It runs them in a child that is
// process 1 of a pid namespace and has a mount namespace of its own, so that
// whatever a test leaves behind, daemons and mounts included, goes with it; and
// it frees a hung mount by aborting its FUSE connection, since a process that
// waits for a dead daemon cannot free itself.
#pragma once

#include <stdint.h>

#include <atomic>
#include <functional>
#include <string>

#include "tests/harness/subject.h"

namespace ufs::test {

// What the tests tell the supervisor, in memory that both share.
struct WatchBoard {
  std::atomic<int64_t> deadline_ms;  // CLOCK_MONOTONIC; 0: nothing to watch
  std::atomic<unsigned> connection;  // FUSE connection of the mount; 0: none
  std::atomic<bool> fired;           // the supervisor had to step in
  char test_name[256];

  void Arm(const std::string& name, int seconds);
  void Extend(int seconds);
  void Disarm() { deadline_ms = 0; }
};

// The board of this process. REQUIRES: called below Supervise.
WatchBoard& TheWatchBoard();

// Where the tests may make directories. REQUIRES: as above.
const std::string& ScratchRoot();

inline constexpr int kExitSkipped = 77;  // what CTest counts as skipped
inline constexpr int kExitHung = 124;

// Runs `tests` for `subject` as told above and returns its result, or
// kExitSkipped, with the reason on stdout, when this machine or user cannot run
// that subject.
int Supervise(const Subject& subject, const std::function<int()>& tests);

}  // namespace ufs::test
