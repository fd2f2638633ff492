#include "fs/worker_pool.h"

#include <pthread.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "fs/ring_scheduling.h"

namespace ufs {

WorkerPool::WorkerPool(size_t threads, size_t capacity)
    : thread_count_(threads), capacity_(capacity) {}

WorkerPool::~WorkerPool() {
  std::vector<std::thread> threads;
  {
    std::lock_guard lock(mu_);
    stop_ = true;
    threads.swap(threads_);
  }
  wake_.notify_all();
  for (std::thread& thread : threads) thread.join();
}

bool WorkerPool::HasThreadsLocked() {
  // Those that are not busy have been woken for what waits.
  const size_t wanted = running_ + queue_.size() + 1;
  if (threads_.size() < std::min(wanted, thread_count_)) {
    try {
      threads_.emplace_back([this] { Run(); });
    } catch (const std::system_error&) {  // EAGAIN: a limit on threads
    }
  }
  return !threads_.empty();
}

bool WorkerPool::Submit(Task& task) {
  {
    std::lock_guard lock(mu_);
    if (closed_ || stop_ || queue_.size() >= capacity_) return false;
    if (!HasThreadsLocked()) return false;
    queue_.push_back(std::move(task));
  }
  wake_.notify_one();
  return true;
}

void WorkerPool::Drain() {
  std::unique_lock lock(mu_);
  settled_.wait(lock, [this] { return queue_.empty() && running_ == 0; });
}

void WorkerPool::Close() {
  {
    std::lock_guard lock(mu_);
    closed_ = true;
  }
  Drain();
}

void WorkerPool::Run() {
  pthread_setname_np(pthread_self(), "ufs-worker");
  RingScheduling::LeaveRings();
  std::unique_lock lock(mu_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Task task = std::move(queue_.front());
    queue_.pop_front();
    ++running_;
    lock.unlock();
    task();
    task = nullptr;  // what it owns ends before Drain returns
    lock.lock();
    if (--running_ == 0 && queue_.empty()) settled_.notify_all();
  }
}

}  // namespace ufs
