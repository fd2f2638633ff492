// What people know from docker and podman and ufs run does not have.
#pragma once

#include <string>

namespace ufs {

// "--privileged is not supported; ...", with what to use instead, for a word of
// the command line that asks for such; empty for another.
std::string NotSupported(const std::string& word);

}  // namespace ufs
