// Programs of the host that help. Threads: any.
#pragma once

#include <string>

namespace ufs::runtime {

// The path of the program called `name`, where such are installed; PATH, which
// is the caller's, is not asked. Empty when there is none.
std::string FindProgram(const char* name);

}  // namespace ufs::runtime
