#include "layerdb/task_pool.h"

#include <system_error>
#include <utility>

namespace ufs {

TaskPool::TaskPool(size_t threads, size_t capacity) : capacity_(capacity) {
  while (threads_.size() < threads) {
    try {
      threads_.emplace_back([this] { Run(); });
    } catch (const std::system_error&) {  // EAGAIN: a limit on threads
      break;
    }
  }
}

TaskPool::~TaskPool() {
  {
    std::lock_guard lock(mu_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void TaskPool::Submit(std::function<void()> task) {
  if (threads_.empty()) return task();
  {
    std::unique_lock lock(mu_);
    settled_.wait(lock, [this] { return queue_.size() < capacity_; });
    Rethrow();
    queue_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void TaskPool::Drain() {
  std::unique_lock lock(mu_);
  settled_.wait(lock, [this] { return queue_.empty() && running_ == 0; });
  Rethrow();
}

void TaskPool::Rethrow() {
  if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
}

void TaskPool::Run() {
  std::unique_lock lock(mu_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::function<void()> task = std::move(queue_.front());
    queue_.pop_front();
    ++running_;
    lock.unlock();
    settled_.notify_all();
    std::exception_ptr thrown;
    try {
      task();
    } catch (...) {  // no memory: for who waits, or submits the next
      thrown = std::current_exception();
    }
    task = nullptr;  // what it owns ends before Drain returns
    lock.lock();
    if (thrown) thrown_ = std::move(thrown);
    --running_;
    if (queue_.empty() && running_ == 0) settled_.notify_all();
  }
}

}  // namespace ufs
