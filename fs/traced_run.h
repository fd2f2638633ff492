// For tests: what a piece of work costs, counted exactly, by tracing a process
// that does it.
#pragma once

#include <cstdint>
#include <functional>

namespace ufs {

// The system calls of `work`, which runs in a fork of this process and returns
// whether it went well; what memory and locks cost is left out. -1: processes
// may not be traced here.
int64_t CallsOf(const std::function<bool()>& work);

// The instructions of `work` in user space, one step at a time: some hundred
// thousand take a second. It should have been done once before.
int64_t InstructionsOf(const std::function<bool()>& work);

}  // namespace ufs
