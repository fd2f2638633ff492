// WorkerPool: a bounded number of threads for requests that may take long, so
// that the threads which read requests never wait.
//
// Its threads live as long as the pool: a request answered over io_uring
// belongs to the thread that answered it last, and the kernel cancels it when
// that thread ends. One starts when a task comes and all others are busy: most
// mounts never need two. Threads: any may call.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace ufs {

class WorkerPool {
 public:
  using Task = std::function<void()>;

  // At most `capacity` tasks wait at a time.
  WorkerPool(size_t threads, size_t capacity);
  ~WorkerPool();  // runs what is queued, then ends the threads
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False when `capacity` tasks wait already, or no thread could be started:
  // the task was not taken, and the caller does the work itself. Tasks must not
  // throw.
  bool Submit(Task& task);

  // Returns when nothing is queued or running.
  void Drain();

  // Takes no more tasks, and drains. The threads stay.
  void Close();

 private:
  // Starts another where one more task needs it. False: there is none at all.
  bool HasThreadsLocked();
  void Run();

  const size_t thread_count_;
  const size_t capacity_;

  std::mutex mu_;
  std::condition_variable wake_;      // a task came, or stop
  std::condition_variable settled_;   // nothing queued or running
  std::deque<Task> queue_;            // guarded by mu_
  size_t running_ = 0;                // guarded by mu_
  bool closed_ = false;               // guarded by mu_
  bool stop_ = false;                 // guarded by mu_
  std::vector<std::thread> threads_;  // guarded by mu_ until stop_
};

}  // namespace ufs
