#include "fs/ring_scheduling.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <new>

namespace ufs {
namespace {

constexpr std::chrono::milliseconds kTick{5};
// After so many without many messages nobody watches.
constexpr int kQuietTicks = 20;
// So many messages of a ring have somebody watch again.
constexpr uint64_t kCallEach = 64;

bool SetPolicy(pid_t thread, int policy) {
  const sched_param none{};
  return sched_setscheduler(thread, policy, &none) == 0;
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

void RingScheduling::Start() {
  thread_ = std::thread([this] { Run(); });
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
  thread_local const RingScheduling* counted_by = nullptr;
  thread_local Ring* ring = nullptr;
  if (counted_by != this) {
    counted_by = this;
    ring = AddRing();
  }
  if (ring == nullptr) return;
  const uint64_t count = ring->messages.load(std::memory_order_relaxed) + 1;
  ring->messages.store(count, std::memory_order_relaxed);
  if (count % kCallEach == 0 && !watching_.load(std::memory_order_relaxed))
    Call();
}

// Null where there is no memory: it is not counted then.
RingScheduling::Ring* RingScheduling::AddRing() noexcept {
  try {
    // What it reads stays as urgent as a normal thread's.
    constexpr int kOfAThread = 1, kBestEffort = 2 << 13 | 4;
    syscall(SYS_ioprio_set, kOfAThread, 0, kBestEffort);
    const std::lock_guard lock(mu_);
    Ring& ring = rings_.emplace_back();
    ring.thread = gettid();
    return &ring;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
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
  uint64_t seen = Total();
  auto then = Clock::now();
  chooser_.Resume();
  for (int quiet = 0; quiet < kQuietTicks && Tick();) {
    const uint64_t total = Total();
    const auto now = Clock::now();
    const std::chrono::duration<double> passed = now - then, tick = kTick;
    const auto messages = static_cast<uint64_t>(
        static_cast<double>(total - seen) * (tick / passed));
    seen = total;
    then = now;
    Apply(chooser_.Next(messages));
    quiet = messages < RingChooser::kManyMessages ? quiet + 1 : 0;
  }
  Apply(false);
}

bool RingScheduling::Tick() {
  std::unique_lock lock(mu_);
  return !wake_.wait_for(lock, kTick, [this] { return stop_; });
}

uint64_t RingScheduling::Total() const {
  const std::lock_guard lock(mu_);
  uint64_t total = 0;
  for (const Ring& ring : rings_)
    total += ring.messages.load(std::memory_order_relaxed);
  return total;
}

void RingScheduling::Apply(bool idle) {
  if (idle == idle_) return;
  idle_ = idle;
  const std::lock_guard lock(mu_);
  // One that is gone is no matter.
  for (const Ring& ring : rings_)
    SetPolicy(ring.thread, idle ? SCHED_IDLE : SCHED_OTHER);
}

}  // namespace ufs
