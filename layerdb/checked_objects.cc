#include "layerdb/checked_objects.h"

#include <cerrno>
#include <utility>

#include "layerdb/base/cleanup.h"

namespace ufs {
namespace {

// Some 4 MiB of memory. When there are more, they are read once more.
constexpr size_t kMostRemembered = 1 << 16;

}  // namespace

Status CheckedObjects::Check(const ObjectId& id) {
  std::promise<Status> verdict;
  std::shared_future<Status> answer;
  bool is_first = false;
  {
    MutexLock lock(mu_);
    if (sound_.contains(id)) return Ok();
    const auto begun = under_way_.try_emplace(id);
    is_first = begun.second;
    if (is_first) begun.first->second = verdict.get_future().share();
    answer = begun.first->second;
  }
  if (!is_first) return answer.get();
  {
    // What others hear if memory is short meanwhile.
    Status done = Error(ENOMEM);
    Cleanup settle([&] {
      MutexLock lock(mu_);
      under_way_.erase(id);
      verdict.set_value(std::move(done));
    });
    done = objects_->Verify(id);
    MutexLock lock(mu_);
    if (sound_.size() >= kMostRemembered) sound_.clear();
    if (done.ok()) sound_.insert(id);
  }
  return answer.get();
}

}  // namespace ufs
