// How many system calls the union makes on the host for what programs do most.
// A process that holds the union is traced; what memory and locks cost is left
// out. One more is a regression.
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <csignal>
#include <functional>
#include <set>
#include <string>

#include "fs/union_fixture.h"

namespace ufs {
namespace {

// Not the union's doing.
const std::set<uint64_t> kUncounted = {
    SYS_brk,     SYS_mmap,   SYS_munmap, SYS_mprotect, SYS_futex,
    SYS_madvise, SYS_gettid, SYS_getpid, SYS_tgkill,   SYS_rt_sigprocmask};

class SyscallBudgetTest : public UnionFsTest {
 protected:
  void SetUp() override {
    UnionFsTest::SetUp();
    Put(root_ / "base/dir/file", "content");
    Put(root_ / "base/dir/other", "content");
    Put(root_ / "base/dir/third", "content");
    Mount();
    dir_ = Walk("dir");
    // The directory is in the upper, and there is a whiteout.
    ASSERT_TRUE(fs_->Unlink(dir_, N("third")).ok());
  }

  // The calls of `body`, which runs in a process of its own. -1: not to be
  // traced here.
  int CallsOf(const std::function<bool()>& body) {
    const pid_t child = fork();
    if (child == 0) {
      if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(2);
      raise(SIGSTOP);
      const bool good = body();
      raise(SIGSTOP);
      _exit(good ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    if (!WIFSTOPPED(status)) return -1;
    ptrace(PTRACE_SETOPTIONS, child, nullptr,
           PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    int calls = 0;
    for (;;) {
      ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
      EXPECT_EQ(waitpid(child, &status, 0), child);
      if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80)) break;
      __ptrace_syscall_info info{};
      ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info);
      if (info.op == PTRACE_SYSCALL_INFO_ENTRY &&
          kUncounted.count(info.entry.nr) == 0)
        ++calls;
    }
    ptrace(PTRACE_CONT, child, nullptr, nullptr);
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return calls;
  }

  void ExpectAtMost(int budget, const std::function<bool()>& body) {
    const int calls = CallsOf(body);
    if (calls < 0) GTEST_SKIP() << "processes may not be traced here";
    EXPECT_LE(calls, budget);
    EXPECT_GT(calls, 0);
  }

  NodeId dir_ = NodeId::kNone;
};

// Upper, layer, whiteout: what the upper does not have, and a layer has, need
// not be asked for again.
TEST_F(SyscallBudgetTest, UnlinkOfALowerFile) {
  ExpectAtMost(4, [&] { return fs_->Unlink(dir_, N("file")).ok(); });
}

TEST_F(SyscallBudgetTest, ChangingTheModeOfALowerFile) {
  const NodeId file = Walk("dir/file");
  AttrChange change;
  change.mode = 0600;
  ExpectAtMost(21, [&] { return fs_->SetAttr(file, change, {}).ok(); });
}

TEST_F(SyscallBudgetTest, AppendToALowerFile) {
  const NodeId file = Walk("dir/file");
  ExpectAtMost(30, [&] { return WriteAt(file, "more", 7) == 0; });
}

TEST_F(SyscallBudgetTest, Create) {
  ASSERT_EQ(Walk("dir/new"), NodeId::kNone);
  ExpectAtMost(4, [&] {
    return fs_->Create(dir_, N("new"), 0644, O_EXCL, root_caller_).ok();
  });
}

// The directory's own whiteouts are known without a look at each; two calls
// keep its times for who has it open.
TEST_F(SyscallBudgetTest, RemovingADirectoryAsksForNoWhiteout) {
  ASSERT_TRUE(fs_->Unlink(dir_, N("file")).ok());
  ASSERT_TRUE(fs_->Unlink(dir_, N("other")).ok());
  ExpectAtMost(46, [&] { return fs_->RmDir(NodeId::kRoot, N("dir")).ok(); });
}

}  // namespace
}  // namespace ufs
