#include "fs/daemon.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace ufs {
namespace {

// Runs `child` as the daemon of a process of its own; that process's status.
template <typename F>
int StatusOfParent(F child) {
  const pid_t parent = fork();
  if (parent == 0) {
    const Status kept = Daemon::Run([&](Daemon& daemon) {
      child(daemon);
      return 98;
    });
    _exit(kept.ok() ? 97 : 99);
  }
  int status = 0;
  EXPECT_EQ(waitpid(parent, &status, 0), parent);
  EXPECT_TRUE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

// One that notes who holds it: the number that the C library has of itself.
struct HeldMutex {
  HeldMutex() { pthread_mutex_lock(&mutex); }
  pid_t owner() const { return mutex.__data.__owner; }

  pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
};

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

TEST(DaemonTest, ParentExitsWithWhatTheBodyReturns) {
  EXPECT_EQ(StatusOfParent([](Daemon&) {}), 98);
}

// The daemon is a process whose threads, locks and children work as those of
// any other.
TEST(DaemonTest, TheDaemonIsAWholeProcess) {
  EXPECT_EQ(
      StatusOfParent([](Daemon&) {
        HeldMutex held;
        const pid_t owner = held.owner();
        if (owner != getpid() || owner != gettid()) _exit(1);
        int other = 0;
        std::thread([&] { other = pthread_mutex_trylock(&held.mutex); }).join();
        if (other != EBUSY) _exit(2);
        if (pthread_mutex_lock(&held.mutex) != EDEADLK) _exit(3);
        const pid_t child = fork();
        if (child == 0) _exit(getppid() == owner ? 7 : 0);
        int status = 0;
        if (waitpid(child, &status, 0) != child) _exit(4);
        _exit(WIFEXITED(status) && WEXITSTATUS(status) == 7 ? 5 : 6);
      }),
      5);
}

TEST(DaemonTest, ItsNumberOutlivesTheParent) {
  int back[2];
  ASSERT_EQ(pipe(back), 0);
  EXPECT_EQ(StatusOfParent([&](Daemon& daemon) {
              const pid_t parent = getppid();
              daemon.Detach("daemon_test");
              while (getppid() == parent) usleep(1000);
              const char byte = HeldMutex().owner() == gettid() ? 'y' : 'n';
              if (write(back[1], &byte, 1) != 1) _exit(1);
              _exit(0);
            }),
            0);
  pollfd waiting{back[0], POLLIN, 0};
  ASSERT_EQ(poll(&waiting, 1, 10000), 1);
  char byte = 0;
  ASSERT_EQ(read(back[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  for (int fd : back) close(fd);
}

TEST(DaemonTest, ParentTellsOfASignal) {
  EXPECT_EQ(StatusOfParent([](Daemon&) { raise(SIGKILL); }), 128 + SIGKILL);
}

}  // namespace
}  // namespace ufs
