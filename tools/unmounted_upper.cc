#include "tools/unmounted_upper.h"

#include <fcntl.h>

#include <cerrno>

#include "fs/frozen_upper.h"
#include "fs/upper_dir.h"
#include "layerdb/base/privilege.h"
#include "layerdb/base/syscall.h"
#include "tools/layer_words.h"

namespace ufs {
namespace {

Status RefuseBareMountpoint(const UnmountedUpper& upper) {
  const UniqueFd fd = TRY(
      sys::Open(upper.path.c_str(), O_RDONLY | O_DIRECTORY).With(upper.path));
  if (!upper.work.empty()) return Ok();
  const std::string work = upper.WorkPath();
  const auto found = sys::Statx({AT_FDCWD, work.c_str()});
  if (found.ok()) return Ok();
  if (found.code() != ENOENT) return Error(found.error()).With(work);
  bool empty = true;
  TRY(sys::ForEachEntry(fd, [&](const char*, uint8_t, uint64_t) {
        empty = false;
        return false;
      }).With(upper.path));
  if (!empty) return Ok();
  return Error(EINVAL,
               upper.path +
                   ": is empty and has no work directory beside it, so it is "
                   "no upper: if it is a mount point, mount it again or name "
                   "its upper; else name the work directory with --work");
}

}  // namespace

std::string UnmountedUpper::WorkPath() const {
  return work.empty() ? DefaultWork(path) : work;
}

bool UnmountedUpper::HasTrustedMarks() const {
  return !user_xattr && IsHostRoot();
}

Result<UnionConfig> LayersUnder(const UnmountedUpper& upper, bool verify) {
  TRY(RefuseBareMountpoint(upper));
  UnionConfig config;
  config.layers = upper.layers;
  config.verify = verify;
  TRY(ResolveLayers(upper.store, config));
  auto commits = FrozenNames(upper.WorkPath());
  // Another's upper: what can be seen of it is what it holds.
  if (commits.code() == EACCES && !verify) return config;
  for (std::string& frozen : TRY(std::move(commits))) {
    const std::string moving =
        frozen.substr(kFrozenPrefix.size()) + "/" + kFrozenMoving;
    if (sys::Statx({AT_FDCWD, moving.c_str()}).ok())
      return Error(EBUSY,
                   upper.path +
                       ": a commit of its mount was broken off; mount it "
                       "once, and unmount it");
    config.layers.push_back(std::move(frozen));
  }
  return config;
}

}  // namespace ufs
