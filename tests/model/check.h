// For steps of the test itself that must not fail: says what failed, and ends
// the program.
#pragma once

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace ufs::model {

[[noreturn]] inline void Die(const std::string& what) {
  fprintf(stderr, "test set-up failed: %s\n", what.c_str());
  exit(2);
}

// `result` of a system call: negative ends the program with errno.
template <typename T>
T Must(T result, const std::string& what) {
  if (result < 0) Die(what + ": " + strerror(errno));
  return result;
}

}  // namespace ufs::model
