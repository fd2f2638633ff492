// ScratchDir is a new empty directory that takes everything below it along
// when it goes.
#pragma once

#include <string>

namespace ufs::test {

class ScratchDir {
 public:
  // In UFS_TEST_DIR, else in /var/tmp: a disk file system, unlike many a /tmp.
  // Ends the program when that is not possible.
  ScratchDir();
  ~ScratchDir();
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Removes a tree, immutable files included. Never crosses into a mount.
// Returns false when something stays.
bool RemoveTree(const std::string& path);

}  // namespace ufs::test
