#include "layerdb/checked_objects.h"

namespace ufs {
namespace {

// Some 4 MiB of memory. When there are more, they are read once more.
constexpr size_t kMostRemembered = 1 << 16;

}  // namespace

Status CheckedObjects::Check(const ObjectId& id) {
  {
    MutexLock lock(mu_);
    if (sound_.contains(id)) return Ok();
  }
  TRY(objects_->Verify(id));
  MutexLock lock(mu_);
  if (sound_.size() >= kMostRemembered) sound_.clear();
  sound_.insert(id);
  return Ok();
}

}  // namespace ufs
