#include "runtime/systemd_scope.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <map>

namespace ufs::runtime {
namespace {

TEST(SystemdScopeTest, NamesAreThoseOfTheCallers) {
  auto scope = ParseScope("machine.slice:libpod:1f2e", "box", "today");
  ASSERT_TRUE(scope.ok());
  EXPECT_EQ(scope->description, "ufs container box, created today");
  EXPECT_EQ(scope->unit, "libpod-1f2e.scope");
  EXPECT_EQ(scope->slice, "machine.slice");
  scope = ParseScope("-::box", "other", "today");
  ASSERT_TRUE(scope.ok());
  EXPECT_EQ(scope->unit, "box.scope");
  EXPECT_EQ(scope->slice, "-.slice");
}

TEST(SystemdScopeTest, WithoutAPathTheIdIsTheName) {
  const auto scope = ParseScope("", "a+b.c", "today");
  ASSERT_TRUE(scope.ok());
  EXPECT_EQ(scope->unit, "ufs-a\\x2bb.c.scope");
  EXPECT_TRUE(scope->slice == "system.slice" || scope->slice == "user.slice");
}

TEST(SystemdScopeTest, WhatIsNoScopeIsRefused) {
  for (const char* path :
       {"/plain/path", "a.slice:b", "a.slice:b:", "nothing:b:c",
        "../x.slice:b:c", "a.slice:b:c/../d", "a.slice:b:c:d/e"})
    EXPECT_EQ(ParseScope(path, "box", "today").code(), EINVAL) << path;
  EXPECT_EQ(ParseScope("a.slice:b:c.slice", "box", "today").code(), ENOTSUP);
  EXPECT_EQ(
      ParseScope("a.slice:b:" + std::string(250, 'x'), "box", "today").code(),
      EINVAL);
}

std::map<std::string, uint64_t> Limits(const Resources& resources) {
  const auto limits = ScopeLimits(resources);
  return {limits.begin(), limits.end()};
}

TEST(SystemdScopeTest, LimitsAsProperties) {
  Resources resources;
  EXPECT_TRUE(Limits(resources).empty());
  resources.memory_limit_bytes = 1 << 20;
  resources.memory_reservation_bytes = 1 << 19;
  resources.cpu_shares = 1024;
  resources.cpu_quota_us = 33'333;
  resources.cpu_period_us = 100'000;
  resources.pids_limit = 20;
  EXPECT_EQ(Limits(resources), (std::map<std::string, uint64_t>{
                                   {"MemoryMax", 1 << 20},
                                   {"MemoryLow", 1 << 19},
                                   {"CPUWeight", 39},
                                   // Never less than what the file says.
                                   {"CPUQuotaPerSecUSec", 340'000},
                                   {"TasksMax", 20}}));
}

TEST(SystemdScopeTest, NoLimitIsToldToo) {
  Resources resources;
  resources.memory_limit_bytes = -1;
  resources.cpu_quota_us = -1;
  resources.pids_limit = -1;
  EXPECT_EQ(Limits(resources),
            (std::map<std::string, uint64_t>{{"MemoryMax", UINT64_MAX},
                                             {"CPUQuotaPerSecUSec", UINT64_MAX},
                                             {"TasksMax", UINT64_MAX}}));
}

TEST(SystemdScopeTest, AQuotaBeyondAllProcessorsIsNoLimit) {
  Resources resources;
  resources.cpu_quota_us = INT64_MAX;
  resources.cpu_period_us = 1;
  EXPECT_EQ(
      Limits(resources),
      (std::map<std::string, uint64_t>{{"CPUQuotaPerSecUSec", UINT64_MAX}}));
}

}  // namespace
}  // namespace ufs::runtime
