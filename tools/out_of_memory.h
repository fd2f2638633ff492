// What becomes of a program that gets no memory, or no thread: it says so and
// ends with an exit code, as from any other failure. What it was making is a
// leftover of the kind that a kill leaves, or is removed on the way out.
#pragma once

namespace ufs {

// From here on, whichever thread it comes up in, the exit code is kExitFailure.
void EndWithoutMemory();

// Runs what removes its leftovers on the way out. REQUIRES: it forks nothing
// that goes on in our code: a child would remove what is its parent's.
int RunAndUnwind(int (*program)(int argc, char** argv), int argc, char** argv);

}  // namespace ufs
