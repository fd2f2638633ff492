// How the kernel schedules the threads of rings: as any other, or as
// SCHED_IDLE, whichever has more messages answered.
//
// A ring's thread answers on the processor where its caller waits. When it
// wakes the caller, that processor is busy, with the thread itself; so if
// another one is idle, the kernel moves the caller there, and the next message
// back. Waking an idle processor can take longer than a message, in a virtual
// machine several times as long. A processor that runs nothing but SCHED_IDLE
// threads counts as idle: the caller stays, and takes over at once (Linux's
// kernel/sched/fair.c, select_idle_sibling() and sched_idle_cpu()).
//
// But such a thread gets what others leave, which beside a program that
// computes may be nothing. So nobody is kept for longer than a tick from what
// turns out worse. Only root may go back from SCHED_IDLE; for others all stays
// as it is.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>

namespace ufs {

// Decides by the messages of each tick, a few milliseconds. Threads: one.
class RingChooser {
 public:
  // Fewer in a tick, and nobody waits for them.
  static constexpr uint64_t kManyMessages = 20;
  // What it must bring.
  static constexpr double kBetter = 1.15;
  // What is better is measured again so often, as the other was at that time.
  static constexpr int kTrustTicks = 100;
  // What was worse is tried again after so many ticks, and each time it is
  // worse once more, after twice as many.
  static constexpr int kFirstRestTicks = 5;
  static constexpr int kLastRestTicks = 200;

  // Whether rings shall be SCHED_IDLE in the next tick, after one in which they
  // answered `messages`.
  bool Next(uint64_t messages);
  // After a time without ticks, and without messages.
  void Resume();
  bool idle() const {
    return state_ == State::kTrial || state_ == State::kIdle;
  }

 private:
  enum class State {
    kNormal,  // nothing to gain, or nothing known
    kTrial,   // SCHED_IDLE for a tick, to compare
    kIdle,    // it is better
    kCheck,   // normal for a tick, to compare
  };

  static void Follow(double& rate, double messages);
  bool Go(State state);
  bool Compare();

  State state_ = State::kNormal;
  double normal_ = 0, idle_ = 0;  // messages a tick, of late
  int left_ = 0;                  // ticks to go on so
  int rest_ = kFirstRestTicks;
  bool starved_ = false;  // when they were compared last
};

class RingScheduling {
 public:
  RingScheduling() = default;
  ~RingScheduling() { Stop(); }
  RingScheduling(const RingScheduling&) = delete;
  RingScheduling& operator=(const RingScheduling&) = delete;

  // Begins to choose, on a thread of its own, where this process may. Throws
  // what std::thread does.
  void Start();
  // The rings' threads are as they were. They may still count messages.
  void Stop();

  // Called by a ring's thread for each message.
  void Count() noexcept;

  // Whether the rings are SCHED_IDLE now.
  bool idle() const { return idle_.load(std::memory_order_relaxed); }

 private:
  struct alignas(64) Ring {
    pid_t thread = 0;
    std::atomic<uint64_t> messages{0};  // written by that thread alone
  };

  Ring* AddRing() noexcept;
  void Call() noexcept;
  void Run();
  void Watch();
  // Waits for the next tick. False: it is to end.
  bool Tick();
  uint64_t Total() const;
  void Apply(bool idle);

  mutable std::mutex mu_;
  std::condition_variable wake_;  // called, or stop
  std::deque<Ring> rings_;        // guarded by mu_; stay where they are
  bool called_ = false;           // guarded by mu_
  bool stop_ = false;             // guarded by mu_

  std::atomic<bool> idle_{false};
  std::atomic<bool> watching_{true};  // nobody waits to be called
  RingChooser chooser_;               // of the thread
  std::thread thread_;
};

}  // namespace ufs
