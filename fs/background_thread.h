// Threads whose work nobody waits for.
#pragma once

namespace ufs {

// Names the calling thread, in at most 15 bytes, and has it give way to others
// for the processor, and so in the disk's queue.
void BecomeBackgroundThread(const char* name);

}  // namespace ufs
