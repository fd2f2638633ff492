// Work done in another process: as another user, with another umask, or as a
// program of its own.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ufs::test {

// Milliseconds of the clock that is never set.
int64_t NowMs();

// Runs `body` in a forked child and returns what it returned (0 to 254; tests
// use 0 or an errno), or 255 when a signal ended it.
int InChild(const std::function<int()>& body);

struct User {
  uid_t uid;
  gid_t gid;
  std::vector<gid_t> groups = {};
};
inline const User kAlice = {1000, 1000};
inline const User kBob = {1001, 1001};

// As InChild, after giving up every privilege for those of `user`. A failure to
// become that user ends the child with 254.
int AsUser(const User& user, const std::function<int()>& body);

struct ProgramResult {
  int exit_code;       // 128 + signal when killed; 124 when it ran out of time
  std::string output;  // stdout and stderr
};
ProgramResult RunProgram(const std::vector<std::string>& argv,
                         int timeout_seconds = 20);

// Two processes that take turns: each Wait returns after one Signal by another.
class Baton {
 public:
  Baton();
  ~Baton();
  Baton(const Baton&) = delete;
  Baton& operator=(const Baton&) = delete;
  void Signal();
  // False when nothing came within the time: the other side is gone or stuck.
  bool Wait(int timeout_ms = 10000);

 private:
  int pipe_[2];
};

}  // namespace ufs::test
