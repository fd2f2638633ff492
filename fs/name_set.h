// NameSet: which names a directory of a layer has, small and inexact: it may
// take a name for one that is there, never one that is there for none. What it
// denies need not be asked of the host, which is what a lookup in many layers
// is made of.
// Threads: immutable after Build.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace ufs {

class NameSet {
 public:
  // Collects the names of one directory.
  class Builder {
   public:
    void Add(std::string_view name);
    size_t size() const { return hashes_.size(); }
    // The set keeps nothing of the builder but the names.
    NameSet Build() &&;

   private:
    std::vector<uint32_t> hashes_;
    bool has_aufs_ = false;
  };

  bool MayHave(std::string_view name) const;
  // Whether any name is spelled like a mark of AUFS.
  bool has_aufs() const { return has_aufs_; }

 private:
  NameSet(std::vector<uint32_t> hashes, bool has_aufs);

  std::vector<uint32_t> hashes_;  // sorted
  bool has_aufs_;
};

}  // namespace ufs
