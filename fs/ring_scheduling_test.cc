#include "fs/ring_scheduling.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "fs/worker_pool.h"

namespace ufs {
namespace {

constexpr uint64_t kFew = 3, kNormal = 100, kAsGood = 105, kMore = 300;

// Ticks of `messages` until the next trial.
int Rest(RingChooser& chooser, uint64_t messages) {
  int ticks = 0;
  while (!chooser.Next(messages)) ++ticks;
  return ticks;
}

TEST(RingChooserTest, FewMessagesAreNotWorthATrial) {
  RingChooser chooser;
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(chooser.Next(kFew));
}

TEST(RingChooserTest, StaysWithWhatIsBetterAndComparesAgain) {
  RingChooser chooser;
  EXPECT_TRUE(chooser.Next(kNormal));
  int idle = 0, normal = 0;
  for (int i = 0; i < 1000; ++i)
    ++(chooser.Next(chooser.idle() ? kMore : kNormal) ? idle : normal);
  EXPECT_GT(idle, 900);
  EXPECT_GT(normal, 5);
}

TEST(RingChooserTest, ComesBackWhenItIsBetterNoMore) {
  RingChooser chooser;
  EXPECT_TRUE(chooser.Next(kNormal));
  EXPECT_TRUE(chooser.Next(kMore));
  int idle = 0;
  for (int i = 0; i < 1000; ++i) idle += chooser.Next(kNormal);
  EXPECT_LT(idle, 2 * RingChooser::kTrustTicks);
}

TEST(RingChooserTest, WhoIsStarvedIsSoForOneTickAndRarely) {
  RingChooser chooser;
  int starved = 0;
  for (int i = 0; i < 2000; ++i) {
    starved += chooser.idle();
    chooser.Next(chooser.idle() ? 0 : kNormal);
  }
  EXPECT_LT(starved, 20);
  EXPECT_GT(starved, 2);
  // By what comes after it was better for a time as well.
  chooser = RingChooser();
  chooser.Next(kNormal);
  EXPECT_TRUE(chooser.Next(kMore));
  EXPECT_FALSE(chooser.Next(kFew));
}

TEST(RingChooserTest, AFallOfMessagesIsLookedIntoAtOnce) {
  RingChooser chooser;
  EXPECT_TRUE(chooser.Next(kMore));
  EXPECT_FALSE(chooser.Next(kMore));
  EXPECT_FALSE(chooser.Next(kMore));
  EXPECT_TRUE(chooser.Next(kNormal));
  // But for who was starved.
  chooser = RingChooser();
  EXPECT_TRUE(chooser.Next(kMore));
  EXPECT_FALSE(chooser.Next(kFew));
  EXPECT_FALSE(chooser.Next(kMore));
  EXPECT_FALSE(chooser.Next(kNormal));
}

TEST(RingChooserTest, RestsLongerEachTimeUpToALimit) {
  RingChooser chooser;
  EXPECT_TRUE(chooser.Next(kNormal));
  EXPECT_FALSE(chooser.Next(kAsGood));
  const int first = Rest(chooser, kNormal);
  EXPECT_FALSE(chooser.Next(kAsGood));
  const int second = Rest(chooser, kNormal);
  EXPECT_GT(second, first);
  int last = 0;
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(chooser.Next(kAsGood));
    last = Rest(chooser, kNormal);
  }
  EXPECT_LE(last, RingChooser::kLastRestTicks);
  EXPECT_GT(last, second);
}

TEST(RingChooserTest, TheEndOfWorkIsNoDefeat) {
  for (const bool in_trial : {true, false}) {
    RingChooser chooser;
    EXPECT_TRUE(chooser.Next(kNormal));
    if (!in_trial) {
      EXPECT_TRUE(chooser.Next(kMore));
    }
    EXPECT_FALSE(chooser.Next(0));
    EXPECT_FALSE(chooser.Next(0));
    EXPECT_TRUE(chooser.Next(kNormal)) << in_trial;
  }
}

// A thread that answers more when it is SCHED_IDLE, or less.
class Answering {
 public:
  Answering(RingScheduling& rings, int normal, int idle)
      : thread_([this, &rings, normal, idle] {
          while (!stop_) {
            policy_ = sched_getscheduler(0);
            for (int i = policy_ == SCHED_IDLE ? idle : normal; i > 0; --i)
              rings.Count();
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
          }
        }) {}
  ~Answering() {
    stop_ = true;
    thread_.join();
  }
  int policy() const { return policy_; }
  // Whether its policy is that one some time within `limit`.
  bool Becomes(int policy, std::chrono::milliseconds limit) const {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (policy_ != policy) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<int> policy_{SCHED_OTHER};
  std::thread thread_;
};

constexpr std::chrono::seconds kPatience{20};

class RingSchedulingTest : public testing::Test {
 protected:
  void SetUp() override {
    if (sched_getscheduler(0) != SCHED_OTHER) GTEST_SKIP() << "not SCHED_OTHER";
    bool may = false;
    std::thread([&may] {
      const sched_param none{};
      may = sched_setscheduler(0, SCHED_IDLE, &none) == 0 &&
            sched_setscheduler(0, SCHED_OTHER, &none) == 0;
    }).join();
    if (!may) GTEST_SKIP() << "needs the right to come back from SCHED_IDLE";
  }
};

TEST_F(RingSchedulingTest, TakesWhatAnswersMoreAndGivesItBack) {
  RingScheduling rings;
  Answering ring(rings, 100, 1000);
  rings.Start();
  EXPECT_TRUE(ring.Becomes(SCHED_IDLE, kPatience));
  rings.Stop();
  EXPECT_TRUE(ring.Becomes(SCHED_OTHER, kPatience));
  EXPECT_EQ(rings.idle(), 0u);
}

TEST_F(RingSchedulingTest, WhoIsStarvedIsLeftAloneBesideOneThatIsNot) {
  RingScheduling rings;
  Answering better(rings, 100, 1000), starved(rings, 100, 0);
  rings.Start();
  EXPECT_TRUE(better.Becomes(SCHED_IDLE, kPatience));
  int starving = 0;
  for (int i = 0; i < 500; ++i) {
    starving += starved.policy() == SCHED_IDLE;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_LT(starving, 250);
}

TEST_F(RingSchedulingTest, AThreadThatARingStartsIsNormal) {
  RingScheduling rings;
  Answering other(rings, 100, 1000);
  rings.Start();
  ASSERT_TRUE(other.Becomes(SCHED_IDLE, kPatience));
  WorkerPool pool(1, 1);
  std::atomic<int> policy{-1}, processors{-1};
  std::thread([&] {
    const sched_param none{};
    EXPECT_EQ(sched_setscheduler(0, SCHED_IDLE, &none), 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    EXPECT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    WorkerPool::Task task = [&] {
      policy = sched_getscheduler(0);
      cpu_set_t its;
      EXPECT_EQ(sched_getaffinity(0, sizeof(its), &its), 0);
      processors = CPU_COUNT(&its);
    };
    EXPECT_TRUE(pool.Submit(task));
  }).join();
  pool.Drain();
  EXPECT_EQ(policy, SCHED_OTHER);
  cpu_set_t ours;
  EXPECT_EQ(sched_getaffinity(0, sizeof(ours), &ours), 0);
  EXPECT_EQ(processors, CPU_COUNT(&ours));
}

TEST_F(RingSchedulingTest, NobodyIsSoWithoutMessages) {
  RingScheduling rings;
  Answering ring(rings, 1, 1);
  rings.Start();
  EXPECT_FALSE(ring.Becomes(SCHED_IDLE, std::chrono::milliseconds(300)));
}

}  // namespace
}  // namespace ufs
