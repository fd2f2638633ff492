#include "fs/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <set>
#include <thread>

namespace ufs {
namespace {

bool Submit(WorkerPool& pool, WorkerPool::Task task) {
  return pool.Submit(task);
}

TEST(WorkerPoolTest, RunsEachTaskOnce) {
  std::atomic<int> ran{0};
  WorkerPool pool(4, 10000);
  for (int i = 0; i < 10000; ++i)
    ASSERT_TRUE(Submit(pool, [&ran] { ran.fetch_add(1); }));
  pool.Drain();
  EXPECT_EQ(ran.load(), 10000);
}

TEST(WorkerPoolTest, RefusesWhatIsOverCapacityAndLeavesItToTheCaller) {
  std::latch release(1);
  std::latch started(1);
  WorkerPool pool(1, 2);
  ASSERT_TRUE(Submit(pool, [&] {
    started.count_down();
    release.wait();
  }));
  started.wait();
  EXPECT_TRUE(Submit(pool, [] {}));
  EXPECT_TRUE(Submit(pool, [] {}));
  bool ran = false;
  WorkerPool::Task refused = [&ran] { ran = true; };
  EXPECT_FALSE(pool.Submit(refused));
  refused();
  EXPECT_TRUE(ran);
  release.count_down();
  pool.Drain();
  EXPECT_TRUE(Submit(pool, [] {}));
}

TEST(WorkerPoolTest, TasksRunBesideEachOther) {
  std::latch both(2);
  WorkerPool pool(2, 8);
  for (int i = 0; i < 2; ++i)
    ASSERT_TRUE(Submit(pool, [&both] { both.arrive_and_wait(); }));
  pool.Drain();  // hangs if one waits for the other to end
}

TEST(WorkerPoolTest, OneAfterTheOtherTheyNeedOneThread) {
  std::set<std::thread::id> threads;
  WorkerPool pool(8, 8);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(
        Submit(pool, [&] { threads.insert(std::this_thread::get_id()); }));
    pool.Drain();
  }
  EXPECT_EQ(threads.size(), 1u);
}

TEST(WorkerPoolTest, EndsWhatItTookBeforeItIsGone) {
  std::atomic<int> ran{0};
  {
    WorkerPool pool(2, 100);
    for (int i = 0; i < 100; ++i)
      ASSERT_TRUE(Submit(pool, [&ran] { ran.fetch_add(1); }));
  }
  EXPECT_EQ(ran.load(), 100);
}

TEST(WorkerPoolTest, TakesNothingOnceClosed) {
  std::atomic<int> ran{0};
  WorkerPool pool(2, 100);
  for (int i = 0; i < 50; ++i)
    ASSERT_TRUE(Submit(pool, [&ran] { ran.fetch_add(1); }));
  pool.Close();
  EXPECT_EQ(ran.load(), 50);
  EXPECT_FALSE(Submit(pool, [&ran] { ran.fetch_add(1); }));
  EXPECT_EQ(ran.load(), 50);
}

TEST(WorkerPoolTest, WhatATaskOwnsEndsBeforeDrainReturns) {
  WorkerPool pool(1, 8);
  auto owned = std::make_shared<int>(1);
  std::weak_ptr<int> watch = owned;
  ASSERT_TRUE(Submit(pool, [owned = std::move(owned)] {}));
  pool.Drain();
  EXPECT_TRUE(watch.expired());
}

}  // namespace
}  // namespace ufs
