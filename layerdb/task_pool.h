// TaskPool: a few threads that run tasks in the order they came (one thread:
// one after the other), behind a queue of bounded length. Threads: Submit and
// Drain from one. What a task throws, as where there is no memory, the next
// call of either throws.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace ufs {

class TaskPool {
 public:
  TaskPool(size_t threads, size_t capacity);
  // Runs what is queued, then ends.
  ~TaskPool();
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;

  // Waits while the queue is full. Where no thread can be had, the task runs
  // before this returns.
  void Submit(std::function<void()> task);
  // Waits until every task has ended.
  void Drain();

 private:
  void Run();
  void Rethrow();  // REQUIRES: mu_

  const size_t capacity_;
  std::vector<std::thread> threads_;
  // No thread-safety annotations: std::condition_variable needs std::mutex.
  std::mutex mu_;
  std::condition_variable wake_;     // a task came, or stop
  std::condition_variable settled_;  // a task was taken, or ended
  std::deque<std::function<void()>> queue_;
  size_t running_ = 0;
  bool stop_ = false;
  std::exception_ptr thrown_;
};

}  // namespace ufs
