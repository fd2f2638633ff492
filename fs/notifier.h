// Notifier: tells the kernel, from a thread of its own, that it shall ask again
// for the attributes of a node, or drop its pages. Such nodes are reported with
// the union's locks held and from threads that serve requests; a notification
// sent from there could wait for the very request being served.
//
// None is about a name: the kernel would wait, uninterruptibly, for the lock of
// a directory whose holder may wait for us; a daemon that is killed then cannot
// end, and its mount hangs until somebody aborts it.
//
// Threads: any may call.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "fs/types.h"

namespace ufs {

class Notifier {
 public:
  using Send = std::function<void(NodeId)>;

  // `send` is called on the notifier's thread, without locks.
  explicit Notifier(Send send) : send_(std::move(send)) {}
  ~Notifier();  // as Stop
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // Until then all is queued. Once; throws std::system_error where there is no
  // thread to be had.
  void Start() {
    thread_ = std::thread([this] { Run(); });
  }

  // Only queues. Does nothing once stopped.
  void Add(NodeId node);

  // Returns when it was sent, or once stopped. For threads that serve requests:
  // to send may wait, in the kernel, for a request that only such a thread can
  // take; who waits here can be interrupted for that.
  void SendAndWait(NodeId node);

  // Nothing is sent from here on, and nothing is being sent.
  void Stop();

 private:
  void Run();

  const Send send_;
  std::mutex mu_;
  std::condition_variable wake_;
  std::condition_variable settled_;
  std::vector<NodeId> queue_;  // guarded by mu_
  uint64_t added_ = 0;         // how many; guarded by mu_
  uint64_t sent_ = 0;          // how many of these; guarded by mu_
  bool stop_ = false;          // guarded by mu_
  std::thread thread_;
};

}  // namespace ufs
