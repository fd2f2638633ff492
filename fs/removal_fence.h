// RemovalFence: keeps the kernel from counting a removed name twice.
//
// Once a removal is answered the kernel counts the names of the file down by
// one. Attributes that it asked for beside, and that count the name no more, it
// may take over before: then the file has one name too few for it, and with
// none left it refuses to make a new one (ENOENT of link(2)). So they wait
// until the kernel has done with the removal. It holds the directory locked for
// as long; a notification about the name takes the same lock, and ends after
// it.
//
// Threads: any may call.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>

#include "fs/types.h"

namespace ufs {

class RemovalFence {
 public:
  // Returns once nobody changes the names of `dir` in the kernel, for whom
  // `name` there is but a pretext. Called on the fence's thread.
  using Pass = std::function<void(NodeId dir, const std::string& name)>;

  // Nobody waits longer than `patience`: who has the directory locked may be
  // the one that asks.
  RemovalFence(Pass pass, std::chrono::milliseconds patience);
  ~RemovalFence();
  RemovalFence(const RemovalFence&) = delete;
  RemovalFence& operator=(const RemovalFence&) = delete;

  // `node` is losing a name and keeps others. Only notes it; to be called
  // before anybody can see that it has.
  void Note(NodeId node, NodeId dir, std::string_view name);

  // Whether a name of `node` went so lately that the kernel may not know yet.
  bool MustWait(NodeId node);
  // Waits until it does, if it may not.
  void Wait(NodeId node);

  // Ends the thread; nobody waits from now on. While requests are served: it
  // may wait for one.
  void Stop();

 private:
  struct Removal {
    NodeId dir;
    std::string name;
    std::chrono::steady_clock::time_point when;
    bool asked = false;
    bool passed = false;
  };

  void Run();
  void ForgetOldLocked();
  std::shared_ptr<Removal> FindLocked(NodeId node);

  const Pass pass_;
  const std::chrono::milliseconds patience_;
  std::atomic<bool> any_{false};  // latest_ is not empty
  std::mutex mu_;
  std::condition_variable asked_;
  std::condition_variable passed_;
  // The last removal alone: the kernel removes one name of a file at a time.
  std::unordered_map<NodeId, std::shared_ptr<Removal>> latest_;  // by mu_
  std::deque<std::shared_ptr<Removal>> queue_;  // guarded by mu_
  bool stop_ = false;                           // guarded by mu_
  std::thread thread_;
};

}  // namespace ufs
