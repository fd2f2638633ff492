#include "fs/notifier.h"

#include <pthread.h>

#include <algorithm>

namespace ufs {

Notifier::~Notifier() { Stop(); }

void Notifier::Stop() {
  {
    std::lock_guard lock(mu_);
    stop_ = true;
  }
  wake_.notify_one();
  settled_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Notifier::Add(NodeId node) {
  {
    std::lock_guard lock(mu_);
    if (stop_) return;
    queue_.push_back(node);
    ++added_;
  }
  wake_.notify_one();
}

void Notifier::SendAndWait(NodeId node) {
  std::unique_lock lock(mu_);
  if (stop_) return;
  queue_.push_back(node);
  const uint64_t until = ++added_;
  wake_.notify_one();
  settled_.wait(lock, [&] { return stop_ || sent_ >= until; });
}

void Notifier::Run() {
  pthread_setname_np(pthread_self(), "ufs-notifier");
  std::vector<NodeId> batch;
  std::unique_lock lock(mu_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    if (stop_) return;
    batch.swap(queue_);
    const uint64_t taken = added_;
    lock.unlock();
    // A burst names the same parent directory over and over.
    std::sort(batch.begin(), batch.end());
    batch.erase(std::unique(batch.begin(), batch.end()), batch.end());
    for (const NodeId node : batch) send_(node);
    batch.clear();
    lock.lock();
    sent_ = taken;
    settled_.notify_all();
  }
}

}  // namespace ufs
