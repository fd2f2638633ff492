#include "fs/notifier.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <mutex>
#include <set>
#include <thread>

namespace ufs {
namespace {

TEST(NotifierTest, SendsEachNodeThatWasAdded) {
  std::mutex mu;
  std::set<NodeId> sent;
  std::latch all(3);
  {
    Notifier notifier([&](NodeId node) {
      std::lock_guard lock(mu);
      if (sent.insert(node).second) all.count_down();
    });
    notifier.Start();
    for (uint64_t i = 0; i < 300; ++i) notifier.Add(NodeId{1 + i % 3});
    all.wait();
  }
  EXPECT_EQ(sent, (std::set<NodeId>{NodeId{1}, NodeId{2}, NodeId{3}}));
}

// Add is called with the locks of the union held, which the sending may need.
TEST(NotifierTest, AddDoesNotWaitForASend) {
  std::mutex union_lock;
  std::latch sending(1);
  std::latch sent(2);
  Notifier notifier([&](NodeId) {
    if (!sending.try_wait()) sending.count_down();
    std::lock_guard lock(union_lock);
    sent.count_down();
  });
  notifier.Start();
  {
    std::lock_guard lock(union_lock);
    notifier.Add(NodeId{1});
    sending.wait();
    notifier.Add(NodeId{2});
  }
  sent.wait();
}

TEST(NotifierTest, WhoWaitsFindsItSent) {
  std::atomic<uint64_t> last = 0;
  Notifier notifier([&](NodeId node) { last = static_cast<uint64_t>(node); });
  notifier.Start();
  for (uint64_t i = 1; i <= 100; ++i) {
    notifier.SendAndWait(NodeId{i});
    EXPECT_EQ(last, i);
  }
}

TEST(NotifierTest, WhoWaitsForAStoppedOneGoesOn) {
  std::latch sending(1), stopping(1);
  Notifier notifier([&](NodeId) {
    sending.count_down();
    stopping.wait();
  });
  notifier.Start();
  std::thread waiting([&] { notifier.SendAndWait(NodeId{1}); });
  sending.wait();
  std::thread stops([&] { notifier.Stop(); });
  waiting.join();
  stopping.count_down();
  stops.join();
}

TEST(NotifierTest, SendsNothingOnceStopped) {
  std::atomic<int> sent = 0;
  Notifier notifier([&](NodeId) { ++sent; });
  notifier.Start();
  notifier.Stop();
  notifier.Add(NodeId{1});
  notifier.Stop();
  EXPECT_EQ(sent, 0);
}

TEST(NotifierTest, WhatIsAddedBeforeItStartsIsSentThen) {
  std::atomic<int> sent{0};
  Notifier notifier([&](NodeId) { ++sent; });
  notifier.Add(NodeId{1});
  std::thread waits([&] { notifier.SendAndWait(NodeId{2}); });
  EXPECT_EQ(sent, 0);
  notifier.Start();
  waits.join();
  EXPECT_EQ(sent, 2);
}

}  // namespace
}  // namespace ufs
