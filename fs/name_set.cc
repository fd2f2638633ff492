#include "fs/name_set.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "fs/marks.h"

namespace ufs {
namespace {

uint32_t NameHash(std::string_view name) {
  return static_cast<uint32_t>(XXH3_64bits(name.data(), name.size()));
}

}  // namespace

void NameSet::Builder::Add(std::string_view name) {
  hashes_.push_back(NameHash(name));
  has_aufs_ = has_aufs_ || IsAufsMarkName(name);
}

NameSet NameSet::Builder::Build() && {
  std::sort(hashes_.begin(), hashes_.end());
  hashes_.shrink_to_fit();
  return NameSet(std::move(hashes_), has_aufs_);
}

NameSet::NameSet(std::vector<uint32_t> hashes, bool has_aufs)
    : hashes_(std::move(hashes)), has_aufs_(has_aufs) {}

bool NameSet::MayHave(std::string_view name) const {
  return std::binary_search(hashes_.begin(), hashes_.end(), NameHash(name));
}

}  // namespace ufs
