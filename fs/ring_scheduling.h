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
// computes may be nothing. So each ring is compared with itself, and none is so
// for much longer than a tick if that turns out far worse. Going back from
// SCHED_IDLE takes CAP_SYS_NICE or RLIMIT_NICE; for others all stays as it is.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>

namespace ufs {

// Decides for one ring, by its messages of each tick, a few milliseconds.
// Threads: one.
class RingChooser {
 public:
  // Fewer in a tick, and nobody waits for them.
  static constexpr uint64_t kManyMessages = 20;
  // What it must bring.
  static constexpr double kBetter = 1.15;
  // What is better is measured again so often, as the other was at that time.
  static constexpr int kTrustTicks = 50;
  // What was worse is tried again after so many ticks, and each time it is
  // worse once more, after twice as many.
  static constexpr int kFirstRestTicks = 5;
  static constexpr int kLastRestTicks = 200;

  // Whether the ring shall be SCHED_IDLE in the next tick, after one in which
  // it answered `messages`.
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

  // Begins to choose, on a thread of its own, where this process may and there
  // is a thread to be had.
  void Start();
  // The rings' threads are as they were. They may still count messages.
  void Stop();

  // Called by a ring's thread for each message. It ends before this does.
  void Count() noexcept;

  // Called by a thread that a ring's may have started, and which is no ring's:
  // it has that one's policy and its one processor.
  static void LeaveRings();

  // How many rings are SCHED_IDLE now.
  size_t idle() const { return idle_.load(std::memory_order_relaxed); }

 private:
  struct alignas(64) Ring {
    pid_t thread = 0;  // 0: it has ended
    int io_priority = 0;
    std::atomic<uint64_t> messages{0};  // written by that thread alone
    // Of the thread that chooses, with mu_ held.
    RingChooser chooser;
    uint64_t seen = 0;
    bool idle = false;
  };
  // What a ring's thread knows of itself.
  struct Counted {
    RingScheduling* by = nullptr;
    Ring* ring = nullptr;
    ~Counted();
  };

  Ring* AddRing() noexcept;
  void Call() noexcept;
  void Run();
  void Watch();
  // Has each ring go on as is best after a tick, of which `ticks` passed.
  // Whether any had many messages.
  bool Choose(double ticks);
  void Resume();
  static void Apply(Ring& ring, bool idle);

  std::mutex mu_;
  std::condition_variable wake_;  // called, or stop
  std::deque<Ring> rings_;        // guarded by mu_; stay where they are
  bool called_ = false;           // guarded by mu_
  bool stop_ = false;             // guarded by mu_

  std::atomic<size_t> idle_{0};
  std::atomic<bool> watching_{true};  // nobody waits to be called
  std::thread thread_;
};

}  // namespace ufs
