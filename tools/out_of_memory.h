// What becomes of a program that gets no memory, or no thread: it says so and
// ends with an exit code, as from any other failure. What it was making is
// removed on the way out, or is a leftover of the kind that a kill leaves.
#pragma once

namespace ufs {

// Runs `program` with these arguments. Where an exception of that kind comes up
// to it, or would end the process from another thread or a destructor, the exit
// code is kExitFailure.
int RunWithinMemory(int (*program)(int argc, char** argv), int argc,
                    char** argv);

}  // namespace ufs
