#include "tools/run/restart.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace ufs {
namespace {

using namespace std::chrono_literals;

RestartPolicy Policy(const char* text) { return *RestartPolicy::Parse(text); }

TEST(RestartPolicy, IsReadAndWritten) {
  for (const char* text :
       {"no", "on-failure", "on-failure:3", "always", "unless-stopped"})
    EXPECT_EQ(Policy(text).ToString(), text);
  EXPECT_EQ(Policy("on-failure:0").ToString(), "on-failure");
  EXPECT_FALSE(Policy("no").restarts());
  for (const char* wrong : {"", "maybe", "on-failure:", "on-failure:-1",
                            "on-failure:2x", "always:3", "no:1"})
    EXPECT_EQ(RestartPolicy::Parse(wrong).code(), EINVAL) << wrong;
}

TEST(RestartClock, WaitsLongerEachTime) {
  RestartClock clock(Policy("always"));
  for (const auto delay : {100ms, 200ms, 400ms, 800ms, 1600ms, 3200ms, 6400ms,
                           12800ms, 25600ms, 51200ms, 60000ms, 60000ms})
    EXPECT_EQ(*clock.Next(0, 1s), delay);
  EXPECT_EQ(*clock.Next(0, 10s), 100ms);
  EXPECT_EQ(*clock.Next(0, 9999ms), 200ms);
  EXPECT_EQ(clock.restarts(), 14);
}

TEST(RestartClock, EndsWhenThePolicySaysSo) {
  EXPECT_FALSE(RestartClock(Policy("no")).Next(1, 1s));
  EXPECT_FALSE(RestartClock(Policy("on-failure")).Next(0, 1s));
  EXPECT_TRUE(RestartClock(Policy("on-failure")).Next(137, 1s));
  EXPECT_TRUE(RestartClock(Policy("unless-stopped")).Next(0, 1s));
  RestartClock twice(Policy("on-failure:2"));
  EXPECT_TRUE(twice.Next(1, 1s));
  EXPECT_TRUE(twice.Next(1, 1s));
  EXPECT_FALSE(twice.Next(1, 1s));
  EXPECT_EQ(twice.restarts(), 2);
}

}  // namespace
}  // namespace ufs
