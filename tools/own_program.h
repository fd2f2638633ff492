// The file this program runs from, and who may write to it: a process in a
// container finds it by /proc/PID/exe of ours that is in there (CVE-2019-5736).
// Threads: to be called while there is one.
#pragma once

#include <string>
#include <vector>

namespace ufs {

// From here on this program runs from a read-only view of its own file, so that
// nothing in a container can ever open that for writing. Where the kernel does
// not let a running program change its file (CAP_CHECKPOINT_RESTORE, or the
// option CONFIG_CHECKPOINT_RESTORE), it is executed again with these words, the
// first the name it is called by. Nothing happens where the view is there
// already, or cannot matter, or cannot be had.
void SealOwnProgram(const std::vector<std::string>& words);

}  // namespace ufs
