#include "fs/daemon.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ufs {
namespace {

// Runs `child` as the daemon of a process of its own; that process's status.
template <typename F>
int StatusOfParent(F child) {
  const pid_t parent = fork();
  if (parent == 0) {
    Result<Daemon> daemon = Daemon::Fork();
    if (!daemon.ok()) _exit(99);
    child(*daemon);
    _exit(98);
  }
  int status = 0;
  EXPECT_EQ(waitpid(parent, &status, 0), parent);
  EXPECT_TRUE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

TEST(DaemonTest, ParentExitsWithZeroOnceDetachedWhileTheChildGoesOn) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  int back[2];
  ASSERT_EQ(pipe(back), 0);
  EXPECT_EQ(StatusOfParent([&](Daemon& daemon) {
              daemon.Detach("daemon_test");
              char byte;
              if (read(ends[0], &byte, 1) != 1) _exit(1);
              char cwd[16] = {};
              const bool let_go = getsid(0) == getpid() &&
                                  getcwd(cwd, sizeof(cwd)) != nullptr &&
                                  cwd[0] == '/' && cwd[1] == '\0' &&
                                  !isatty(STDERR_FILENO);
              byte = let_go ? 'y' : 'n';
              if (write(back[1], &byte, 1) != 1) _exit(1);
              _exit(0);
            }),
            0);
  // The parent is gone; its child answers.
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  pollfd waiting{back[0], POLLIN, 0};
  ASSERT_EQ(poll(&waiting, 1, 10000), 1);
  char byte = 0;
  ASSERT_EQ(read(back[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  for (int fd : {ends[0], ends[1], back[0], back[1]}) close(fd);
}

TEST(DaemonTest, ParentExitsAsAChildThatFailed) {
  EXPECT_EQ(StatusOfParent([](Daemon&) { _exit(3); }), 3);
}

TEST(DaemonTest, ParentTellsOfASignal) {
  EXPECT_EQ(StatusOfParent([](Daemon&) { raise(SIGKILL); }), 128 + SIGKILL);
}

}  // namespace
}  // namespace ufs
