#include "fs/removal_fence.h"

#include <pthread.h>

#include <utility>

namespace ufs {
namespace {

// Within which the kernel is sure to have seen the answer.
constexpr auto kRecent = std::chrono::seconds(1);
// Of removals that are remembered. Beyond, some are forgotten, and the kernel
// may miscount as it would without the fence.
constexpr size_t kMost = 256;

}  // namespace

RemovalFence::RemovalFence(Pass pass, std::chrono::milliseconds patience)
    : pass_(std::move(pass)), patience_(patience), thread_([this] { Run(); }) {}

RemovalFence::~RemovalFence() { Stop(); }

void RemovalFence::Stop() {
  {
    std::lock_guard lock(mu_);
    stop_ = true;
  }
  asked_.notify_one();
  passed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void RemovalFence::Note(NodeId node, NodeId dir, std::string_view name) {
  auto removal = std::make_shared<Removal>();
  removal->dir = dir;
  removal->name = name;
  removal->when = std::chrono::steady_clock::now();
  std::lock_guard lock(mu_);
  if (latest_.size() >= kMost) ForgetOldLocked();
  latest_[node] = std::move(removal);
  any_.store(true, std::memory_order_release);
}

void RemovalFence::ForgetOldLocked() {
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(latest_, [now](const auto& entry) {
    return now - entry.second->when > kRecent;
  });
  if (latest_.size() >= kMost) latest_.clear();
}

std::shared_ptr<RemovalFence::Removal> RemovalFence::FindLocked(NodeId node) {
  const auto at = latest_.find(node);
  if (stop_ || at == latest_.end()) return nullptr;
  if (!at->second->passed &&
      std::chrono::steady_clock::now() - at->second->when <= kRecent)
    return at->second;
  latest_.erase(at);
  any_.store(!latest_.empty(), std::memory_order_release);
  return nullptr;
}

bool RemovalFence::MustWait(NodeId node) {
  if (!any_.load(std::memory_order_acquire)) return false;
  std::lock_guard lock(mu_);
  return FindLocked(node) != nullptr;
}

void RemovalFence::Wait(NodeId node) {
  std::unique_lock lock(mu_);
  const auto removal = FindLocked(node);
  if (removal == nullptr) return;
  if (!std::exchange(removal->asked, true)) {
    queue_.push_back(removal);
    asked_.notify_one();
  }
  passed_.wait_for(lock, patience_, [&] { return removal->passed || stop_; });
}

void RemovalFence::Run() {
  pthread_setname_np(pthread_self(), "ufs-fence");
  std::unique_lock lock(mu_);
  while (true) {
    asked_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    if (stop_) return;
    const auto removal = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    pass_(removal->dir, removal->name);
    lock.lock();
    removal->passed = true;
    passed_.notify_all();
  }
}

}  // namespace ufs
