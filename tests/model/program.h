// The program that trees hold and operations run (program_start.cc), and its
// running.
#pragma once

#include <sys/types.h>

#include <string>

#include "layerdb/base/unique_fd.h"

namespace ufs::model {

inline constexpr int kProgramExit = 42;

// The contents of the program's file. The first call reads it, and must come
// before anybody leaves the host's root directory.
const std::string& ProgramBytes();

// At most one running child. Ends with the object.
class RunningProgram {
 public:
  RunningProgram() = default;
  RunningProgram(const RunningProgram&) = delete;
  RunningProgram& operator=(const RunningProgram&) = delete;
  ~RunningProgram() { Finish(); }

  // 0 when it runs, or the errno of execveat(2). REQUIRES: none runs.
  int Start(int at, const char* path);
  bool running() const { return pid_ > 0; }
  // Lets it come to its end: its exit status, or 128 + the signal.
  int Finish();

 private:
  pid_t pid_ = -1;
  UniqueFd input_;
};

}  // namespace ufs::model
