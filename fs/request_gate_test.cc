#include "fs/request_gate.h"

#include <gtest/gtest.h>

#include <future>
#include <optional>
#include <thread>
#include <vector>

namespace ufs {
namespace {

using std::chrono::milliseconds;

TEST(RequestGateTest, ClosesWhenTheLastHasLeft) {
  RequestGate gate;
  std::optional<RequestGate::Pass> pass(gate.Enter());
  EXPECT_FALSE(gate.Close(milliseconds(5)));
  // Open again: else this would wait for ever.
  { const RequestGate::Pass other = gate.Enter(); }
  // A request may end on another thread than it began on.
  std::thread([moved = std::move(*pass)] {}).join();
  EXPECT_TRUE(gate.Close(milliseconds(5)));
}

TEST(RequestGateTest, WhoComesToAClosedGateWaits) {
  RequestGate gate;
  ASSERT_TRUE(gate.Close(milliseconds(5)));
  std::vector<std::future<void>> waiting;
  for (int i = 0; i < 20; ++i)
    waiting.push_back(std::async(std::launch::async,
                                 [&] { const auto pass = gate.Enter(); }));
  for (const auto& one : waiting)
    EXPECT_EQ(one.wait_for(milliseconds(2)), std::future_status::timeout);
  gate.Open();
  for (const auto& one : waiting)
    EXPECT_EQ(one.wait_for(std::chrono::seconds(10)),
              std::future_status::ready);
}

// The two numbers are equal whenever nobody is between them.
TEST(RequestGateTest, NobodyIsInsideWhileItIsClosed) {
  RequestGate gate;
  std::atomic<bool> stop{false};
  std::atomic<int> first{0}, second{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      while (!stop) {
        const auto pass = gate.Enter();
        ++first;
        std::this_thread::yield();
        ++second;
      }
    });
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(gate.Close(std::chrono::seconds(10)));
    const int before = first;
    EXPECT_EQ(before, second);
    std::this_thread::yield();
    EXPECT_EQ(before, first);
    gate.Open();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace ufs
