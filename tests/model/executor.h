// Executor carries operations out on a real directory, and reads such a
// directory whole. The directory is the root of its world: every operation runs
// in a chroot, so that ".." and absolute symlinks stay inside.
//
// Belongs to the thread that made it, which must have called PrepareThread.
#pragma once

#include <array>
#include <map>
#include <string>

#include "layerdb/base/unique_fd.h"
#include "tests/model/op.h"
#include "tests/model/outcome.h"
#include "tests/model/program.h"

namespace ufs::model {

// Everything about a file and what is below it.
struct RealNode {
  Stat stat;
  ino_t listed_ino = 0;  // as the parent's listing had it
  int err = 0;           // of whatever could not be read, with `what`
  std::string what;
  std::string content;
  int flags = 0;  // of a file: kFileFlags
  std::string target;
  std::map<std::string, std::string> xattrs;
  std::map<std::string, RealNode> entries;
};

class Executor {
 public:
  // The thread gets a root directory of its own to change, and descriptors of
  // its own: a program that another thread starts must not inherit them.
  static void PrepareThread();

  Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  ~Executor() { Detach(); }

  void Attach(const std::string& directory);
  // Closes everything that would keep a mount busy.
  void Detach();

  // Not for kRemount and kCheckTree, which are the caller's.
  Outcome Run(const Op& op);

  RealNode ReadTree();

 private:
  class InRoot;
  struct Mapping {
    UniqueFd fd;
    char* address = nullptr;
    size_t length = 0;
    int64_t off = 0;
    bool writable = false;
  };

  Outcome Dispatch(const Op& op);
  Outcome Open(const Op& op);
  Outcome Transfer(const Op& op);
  Outcome CopyRange(const Op& op);
  Outcome Map(const Op& op);
  Outcome Access(const Op& op);
  Outcome Lock(const Op& op);
  Outcome Install(const Op& op);
  Outcome Exec(const Op& op);
  void Unmap(Mapping* map);
  int Fd(int slot) const { return slot < 0 ? -1 : handles_[slot].get(); }
  int At(const Op& op) const;

  UniqueFd root_;
  UniqueFd outside_;
  std::array<UniqueFd, kHandleSlots> handles_;
  std::array<Mapping, kMapSlots> maps_;
  std::array<RunningProgram, kRunSlots> programs_;
};

}  // namespace ufs::model
