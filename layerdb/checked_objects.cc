#include "layerdb/checked_objects.h"

namespace ufs {
namespace {

// Some 4 MiB of memory. When there are more, they are read once more.
constexpr size_t kMostRemembered = 1 << 16;

}  // namespace

Status CheckedObjects::Check(const ObjectId& id) {
  std::promise<Status> verdict;
  std::shared_future<Status> of_another;
  {
    MutexLock lock(mu_);
    if (sound_.contains(id)) return Ok();
    const auto [at, is_first] = under_way_.try_emplace(id);
    if (is_first)
      at->second = verdict.get_future().share();
    else
      of_another = at->second;
  }
  if (of_another.valid()) return of_another.get();
  const Status done = objects_->Verify(id);
  {
    MutexLock lock(mu_);
    under_way_.erase(id);
    if (sound_.size() >= kMostRemembered) sound_.clear();
    if (done.ok()) sound_.insert(id);
  }
  verdict.set_value(done);
  return done;
}

}  // namespace ufs
