// Files of the host that the kernel reads and writes for a FUSE mount by itself
// ("backing files", Linux 6.9; the kernel's Documentation/filesystems/fuse/
// fuse-passthrough.rst).
#pragma once

#include <string>

#include "fs/open_modes.h"

namespace ufs {

// Of one connection, while it lasts. What it registers goes with it.
// Threads: any.
class KernelBackingFiles final : public BackingFiles {
 public:
  // `fuse` is the connection's device, after INIT.
  explicit KernelBackingFiles(BorrowedFd fuse) : fuse_(fuse) {}

  Result<int> Register(BorrowedFd file) override;
  void Unregister(int id) override;

 private:
  const BorrowedFd fuse_;
};

// What keeps the kernel from taking a file, as Register's errno tells, and who
// can change it.
std::string WhyNotPassthrough(int code);

}  // namespace ufs
