// A frozen upper: what an upper was at a moment, kept in its work directory as
// the topmost of its layers, so that the upper could begin afresh while it was
// mounted (`ufs commit`). It stays part of every later mount of that upper.
// WORK/ufs/frozen/N, N from 1 up, the highest topmost, holds
//   tree/    what was in the upper
//   index/   what was in WORK/ufs/index
//   origin/  what was in WORK/ufs/origin
//   moving   while not all of it is there: whoever opens the upper goes on
// It is never partly in the upper: what was, was brought up first.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

inline constexpr char kFrozenDir[] = "frozen";  // in WORK/ufs
inline constexpr char kFrozenTree[] = "tree";
inline constexpr char kFrozenIndex[] = "index";
inline constexpr char kFrozenOrigin[] = "origin";
inline constexpr char kFrozenMoving[] = "moving";

// The tag of what was born in the upper of a WORK/ufs, in whichever of its
// frozen ones it is: they share one file system, and so their numbers tell them
// apart. A copy of the directories has other numbers, and another tag.
Result<uint64_t> UpperTag(const std::string& ufs);

// As a layer's name among others: this, and the path of WORK/ufs/frozen/N.
inline constexpr std::string_view kFrozenPrefix = "frozen:";
inline bool IsFrozenName(std::string_view name) {
  return name.starts_with(kFrozenPrefix);
}

// The numbers of those that a WORK/ufs holds, lowest first; none for a work
// directory that has never had one.
Result<std::vector<unsigned>> FrozenNumbers(BorrowedFd ufs);

// Their names, for OpenLayers, bottom to top. `work` is the work directory.
Result<std::vector<std::string>> FrozenNames(const std::string& work);

}  // namespace ufs
