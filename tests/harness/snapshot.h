// Snapshot is everything a program could learn about a tree without changing
// it: names, types, attributes, contents, xattrs and which names share an
// object. Two equal snapshots mean that nobody touched the tree in between.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace ufs::test {

class Snapshot {
 public:
  enum class Detail {
    kUnchanged,  // with inode numbers, ctime, mtime: for a tree that must stay
    kContent,    // what a copy of the tree must share with it
  };

  static Snapshot Take(const std::string& root, Detail detail);

  // Success, or a failure that lists the paths that differ and how.
  testing::AssertionResult SameAs(const Snapshot& after) const;

 private:
  // Relative path to a line that tells everything.
  std::map<std::string, std::string> lines_;
};

}  // namespace ufs::test
