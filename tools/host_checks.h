// What a machine has, and lets this user have, for unions and containers; and
// what to do where it does not. Nothing is changed. Threads: in a process with
// one thread.
#pragma once

#include <string>
#include <vector>

namespace ufs {

struct HostCheck {
  enum class State {
    kOk,
    kLess,     // something works less well, or not at all, without it
    kMissing,  // unions or containers do not work for this user
  };
  std::string name;
  State state = State::kOk;
  std::string found;
  std::string remedy;  // unless ok
};

const char* NameOf(HostCheck::State state);  // "ok", "less", "missing"

std::vector<HostCheck> CheckHost();

}  // namespace ufs
