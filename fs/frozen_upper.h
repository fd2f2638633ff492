// A frozen upper: what an upper was at a moment, kept in its work directory as
// the topmost of its layers, so that the upper could begin afresh while it was
// mounted (`ufs commit`). It stays part of every later mount of that upper.
// WORK/ufs/frozen/N, N from 1 up, the highest topmost, holds
//   tree/    what was in the upper
//   index/   what was in WORK/ufs/index
//   origin/  what was in WORK/ufs/origin
//   moving   while not all of it is there: whoever opens the upper goes on
//   layer    the digest of the layer that was made of it; where all frozen ones
//            have one, and a mount that has an empty upper names all of these
//            layers, the frozen ones are removed, as they would hide what is
//            named above them
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
inline constexpr char kFrozenLayer[] = "layer";

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

// Notes, durably, of which layer the frozen upper of that name is the same.
Status NoteLayerOf(std::string_view frozen_name, std::string_view digest);

// Those layers, in no order; nothing where one of the frozen uppers of WORK/ufs
// has none, or there are none.
Result<std::vector<std::string>> LayersOfFrozen(BorrowedFd ufs);

}  // namespace ufs
