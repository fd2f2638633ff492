#include "fs/notifier.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <mutex>
#include <set>

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
  {
    std::lock_guard lock(union_lock);
    notifier.Add(NodeId{1});
    sending.wait();
    notifier.Add(NodeId{2});
  }
  sent.wait();
}

TEST(NotifierTest, SendsNothingOnceStopped) {
  std::atomic<int> sent = 0;
  Notifier notifier([&](NodeId) { ++sent; });
  notifier.Stop();
  notifier.Add(NodeId{1});
  notifier.Stop();
  EXPECT_EQ(sent, 0);
}

}  // namespace
}  // namespace ufs
