#include "runtime/seccomp.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace ufs::runtime {
namespace {

Seccomp Allowing() {
  Seccomp seccomp;
  seccomp.default_action = "SCMP_ACT_ALLOW";
  return seccomp;
}

Seccomp With(SeccompRule rule) {
  Seccomp seccomp = Allowing();
  seccomp.rules.push_back(std::move(rule));
  return seccomp;
}

TEST(CompileSeccompTest, MakesAProgram) {
  const auto program = CompileSeccomp(
      With({{"mkdir"}, "SCMP_ACT_ERRNO", 7, {{0, 1, 0, "SCMP_CMP_EQ"}}}));
  ASSERT_TRUE(program.ok()) << program.error().ToString();
  EXPECT_GT(program->code.size(), 5u);
  EXPECT_FALSE(program->notifies);
}

TEST(CompileSeccompTest, OneArgumentTwiceMeansEither) {
  EXPECT_TRUE(CompileSeccomp(
                  With({{"mkdir"},
                        "SCMP_ACT_ERRNO",
                        {},
                        {{0, 1, 0, "SCMP_CMP_EQ"}, {0, 2, 0, "SCMP_CMP_EQ"}}}))
                  .ok());
}

TEST(CompileSeccompTest, FailsClosed) {
  EXPECT_EQ(CompileSeccomp(With({{"mkdir"}, "SCMP_ACT_X", {}, {}})).code(),
            EINVAL);
  EXPECT_EQ(CompileSeccomp(With({{"mkdir"}, "SCMP_ACT_ALLOW", 1, {}})).code(),
            EINVAL);
  EXPECT_EQ(
      CompileSeccomp(
          With({{"mkdir"}, "SCMP_ACT_ERRNO", {}, {{6, 0, 0, "SCMP_CMP_EQ"}}}))
          .code(),
      EINVAL);
  EXPECT_EQ(
      CompileSeccomp(
          With({{"mkdir"}, "SCMP_ACT_ERRNO", {}, {{0, 0, 0, "SCMP_CMP_X"}}}))
          .code(),
      EINVAL);
  // Denied and not known to the library: it would be allowed.
  EXPECT_EQ(
      CompileSeccomp(With({{"no_call"}, "SCMP_ACT_ERRNO", {}, {}})).code(),
      EINVAL);
  Seccomp denying = With({{"no_call"}, "SCMP_ACT_ALLOW", {}, {}});
  denying.default_action = "SCMP_ACT_ERRNO";
  EXPECT_TRUE(CompileSeccomp(denying).ok());
  Seccomp arch = Allowing();
  arch.architectures = {"SCMP_ARCH_PDP11"};
  EXPECT_EQ(CompileSeccomp(arch).code(), EINVAL);
  Seccomp notify = Allowing();
  notify.default_action = "SCMP_ACT_NOTIFY";
  EXPECT_EQ(CompileSeccomp(notify).code(), EINVAL);
}

// A libc takes an older call in the place of one that is not there, not of one
// that is forbidden.
TEST(CompileSeccompTest, WhatIsNewerThanTheProfileIsNotThere) {
  // The end, and what a sanitizer does until then.
  Seccomp denying =
      With({{"exit_group", "mmap", "munmap", "mprotect", "madvise", "write",
             "close", "futex", "gettid", "getpid", "sched_yield", "sigaltstack",
             "rt_sigprocmask"},
            "SCMP_ACT_ALLOW",
            {},
            {}});
  denying.default_action = "SCMP_ACT_ERRNO";
  denying.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32",
                           "SCMP_ARCH_AARCH64"};
  const auto program = CompileSeccomp(denying);
  ASSERT_TRUE(program.ok()) << program.error().ToString();
  const pid_t child = fork();
  if (child == 0) {
    const auto fails_with = [](long number, int code) {
      return syscall(number, 0, 0) == -1 && errno == code;
    };
    bool right = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                 LoadSeccomp(*program).ok();
    right = right && fails_with(SYS_setdomainname, EPERM) &&
            fails_with(SYS_close_range, ENOSYS) && fails_with(9999, ENOSYS);
#ifdef __x86_64__
    constexpr long kX32 = 0x40000000;
    right = right && fails_with(kX32 | SYS_setdomainname, EPERM) &&
            fails_with(kX32 | 9999, ENOSYS);
#endif
    _exit(right ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// It is of no use without a listener, and the kernel refuses it then.
TEST(CompileSeccompTest, TakesWaitKillableWhereTheKernelHasIt) {
  constexpr unsigned kWaitKillable = 1 << 5;
  Seccomp seccomp = With({{"mkdir"}, "SCMP_ACT_ERRNO", {}, {}});
  seccomp.flags = {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
  const auto without = CompileSeccomp(seccomp);
  if (without.code() == ENOTSUP) GTEST_SKIP() << without.error().ToString();
  ASSERT_TRUE(without.ok()) << without.error().ToString();
  EXPECT_EQ(without->flags & kWaitKillable, 0u);
  seccomp.rules[0].action = "SCMP_ACT_NOTIFY";
  seccomp.listener_path = "/run/listener";
  const auto program = CompileSeccomp(seccomp);
  ASSERT_TRUE(program.ok()) << program.error().ToString();
  EXPECT_EQ(program->flags & kWaitKillable, kWaitKillable);
}

}  // namespace
}  // namespace ufs::runtime
