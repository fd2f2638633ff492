#include "fs/ring_scheduling.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <system_error>

#include "layerdb/base/log.h"

namespace ufs {
namespace {

constexpr std::chrono::milliseconds kTick{5};
// After so many without many messages nobody watches.
constexpr int kQuietTicks = 20;
// So many messages of a ring have somebody watch again.
constexpr uint64_t kCallEach = 64;

// Whether rings of this process are SCHED_IDLE at times.
std::atomic<bool> chooses{false};

bool SetPolicy(pid_t thread, int policy) {
  const sched_param none{};
  return sched_setscheduler(thread, policy, &none) == 0;
}

// As ioprio_get(2) has them, which has no header. 0 is none.
constexpr int kOfAThread = 1, kBestEffort = 2 << 13 | 4;

int IoPriority(pid_t thread) {
  const long priority = syscall(SYS_ioprio_get, kOfAThread, thread);
  constexpr int kClassShift = 13;
  return priority >> kClassShift == 0 ? 0 : static_cast<int>(priority);
}

void SetIoPriority(pid_t thread, int priority) {
  // Who may set a policy may set this; and it is for schedulers of disks alone.
  (void)syscall(SYS_ioprio_set, kOfAThread, thread, priority);
}

// Of this thread, and with it of all that may be changed by it.
bool MayComeBack() {
  return sched_getscheduler(0) == SCHED_OTHER && SetPolicy(0, SCHED_IDLE) &&
         SetPolicy(0, SCHED_OTHER);
}

}  // namespace

bool RingChooser::Go(State state) {
  state_ = state;
  return idle();
}

// What a workload does varies from tick to tick.
void RingChooser::Follow(double& rate, double messages) {
  constexpr double kShare = 0.25;
  rate += (messages - rate) * (rate == 0 ? 1 : kShare);
}

void RingChooser::Resume() {
  Go(State::kNormal);
  normal_ = 0;
  left_ = std::min(left_, kFirstRestTicks);
}

bool RingChooser::Next(uint64_t count) {
  const auto messages = static_cast<double>(count);
  const bool many = count >= kManyMessages;
  switch (state_) {
    case State::kNormal:
      // Callers may have begun to move since they were compared.
      if (messages < normal_ / 2 && !starved_) left_ = 0;
      Follow(normal_, messages);
      if (left_ > 0) --left_;
      return left_ == 0 && many ? Go(State::kTrial) : false;
    case State::kTrial:
      idle_ = messages;
      if (!many) return Go(State::kCheck);  // they ended, or are starved
      return Compare();
    case State::kIdle: {
      const bool far_fewer = messages < idle_ / 2;  // as above
      Follow(idle_, messages);
      return far_fewer || --left_ <= 0 ? Go(State::kCheck) : true;
    }
    case State::kCheck:
      normal_ = messages;
      if (many) return Compare();
      left_ = 0;  // they ended
      return Go(State::kNormal);
  }
  return false;
}

// Back to normal for longer than last time, if it is no better.
bool RingChooser::Compare() {
  if (idle_ < normal_ * kBetter) {
    starved_ = idle_ < normal_ / 2;  // what that cost was much
    left_ = std::min(starved_ ? rest_ * 4 : rest_, kLastRestTicks);
    rest_ = std::min(left_ * 2, kLastRestTicks);
    return Go(State::kNormal);
  }
  starved_ = false;
  rest_ = kFirstRestTicks;
  left_ = kTrustTicks;
  return Go(State::kIdle);
}

void RingScheduling::LeaveRings() {
  // The main thread's, which is no ring's.
  cpu_set_t processors;
  if (sched_getaffinity(getpid(), sizeof(processors), &processors) == 0)
    (void)sched_setaffinity(0, sizeof(processors), &processors);
  // Else it is the whole process that somebody wants to be so.
  if (chooses && sched_getscheduler(0) == SCHED_IDLE) SetPolicy(0, SCHED_OTHER);
}

void RingScheduling::Start() {
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error&) {
    log::Info("no thread to choose how rings are scheduled: they stay normal");
  }
}

void RingScheduling::Stop() {
  {
    const std::lock_guard lock(mu_);
    stop_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void RingScheduling::Count() noexcept {
  thread_local Counted counted;
  if (counted.by != this) {
    counted.by = this;
    counted.ring = AddRing();
  }
  Ring* const ring = counted.ring;
  if (ring == nullptr) return;
  const uint64_t count = ring->messages.load(std::memory_order_relaxed) + 1;
  ring->messages.store(count, std::memory_order_relaxed);
  if (count % kCallEach == 0 && !watching_.load(std::memory_order_relaxed))
    Call();
}

// Null where there is no memory: it is not counted then.
RingScheduling::Ring* RingScheduling::AddRing() noexcept {
  try {
    const std::lock_guard lock(mu_);
    Ring& ring = rings_.emplace_back();
    ring.thread = gettid();
    ring.io_priority = IoPriority(ring.thread);
    return &ring;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

// Its number may be another thread's soon.
RingScheduling::Counted::~Counted() {
  if (ring == nullptr) return;
  const std::lock_guard lock(by->mu_);
  ring->thread = 0;
}

void RingScheduling::Call() noexcept {
  watching_ = true;
  {
    const std::lock_guard lock(mu_);
    called_ = true;
  }
  wake_.notify_one();
}

void RingScheduling::Run() {
  pthread_setname_np(pthread_self(), "ufs-rings");
  if (!MayComeBack()) return;
  chooses = true;
  std::unique_lock lock(mu_);
  while (!stop_) {
    watching_ = false;
    wake_.wait(lock, [this] { return stop_ || called_; });
    called_ = false;
    lock.unlock();
    Watch();
    lock.lock();
  }
}

// While there are messages.
void RingScheduling::Watch() {
  using Clock = std::chrono::steady_clock;
  Resume();
  auto then = Clock::now();
  for (int quiet = 0; quiet < kQuietTicks;) {
    {
      std::unique_lock lock(mu_);
      if (wake_.wait_for(lock, kTick, [this] { return stop_; })) break;
    }
    const auto now = Clock::now();
    const std::chrono::duration<double> passed = now - then, tick = kTick;
    then = now;
    quiet = Choose(passed / tick) ? 0 : quiet + 1;
  }
  Resume();
}

bool RingScheduling::Choose(double ticks) {
  const std::lock_guard lock(mu_);
  bool many = false;
  size_t idle = 0;
  for (Ring& ring : rings_) {
    const uint64_t total = ring.messages.load(std::memory_order_relaxed);
    const auto messages =
        static_cast<uint64_t>(static_cast<double>(total - ring.seen) / ticks);
    ring.seen = total;
    Apply(ring, ring.chooser.Next(messages));
    idle += ring.idle;
    many |= messages >= RingChooser::kManyMessages;
  }
  idle_ = idle;
  return many;
}

// All normal, at the beginning and at the end of work.
void RingScheduling::Resume() {
  const std::lock_guard lock(mu_);
  for (Ring& ring : rings_) {
    ring.seen = ring.messages.load(std::memory_order_relaxed);
    ring.chooser.Resume();
    Apply(ring, false);
  }
  idle_ = 0;
}

// What fails is tried again at the next tick.
void RingScheduling::Apply(Ring& ring, bool idle) {
  if (idle == ring.idle || ring.thread == 0) return;
  // What it reads stays as urgent as a normal thread's: without a priority of
  // its own it would have that of its policy.
  if (ring.io_priority == 0) SetIoPriority(ring.thread, idle ? kBestEffort : 0);
  if (SetPolicy(ring.thread, idle ? SCHED_IDLE : SCHED_OTHER)) ring.idle = idle;
}

}  // namespace ufs
