// Locks of every kind, on files of every origin, over copy-up.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using Lock = UnionTest;

struct flock Range(short type, off_t start, off_t length) {
  struct flock range = {};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = start;
  range.l_len = length;
  return range;
}

int TryLock(int fd, int command, short type, off_t start = 0,
            off_t length = 0) {
  struct flock range = Range(type, start, length);
  return fcntl(fd, command, &range);
}

TEST_F(Lock, FlockExcludesOtherDescriptions) {
  Mount({Tree().File("low", "x")});
  WriteFile("up", "x");
  for (const char* name : {"low", "up"}) {
    UniqueFd a = Open(name, O_RDONLY), b = Open(name, O_RDONLY);
    EXPECT_OK(flock(a.get(), LOCK_SH));
    EXPECT_OK(flock(b.get(), LOCK_SH | LOCK_NB));
    EXPECT_ERRNO(EWOULDBLOCK, flock(a.get(), LOCK_EX | LOCK_NB));
    EXPECT_OK(flock(b.get(), LOCK_UN));
    EXPECT_OK(flock(a.get(), LOCK_EX | LOCK_NB));
    EXPECT_ERRNO(EWOULDBLOCK, flock(b.get(), LOCK_SH | LOCK_NB));
    a.reset();
    EXPECT_OK(flock(b.get(), LOCK_EX | LOCK_NB));
  }
}

TEST_F(Lock, FlockOnDirectories) {
  Mount({Tree().Dir("d")});
  UniqueFd a = Open("d", O_RDONLY | O_DIRECTORY), b = Open("d", O_RDONLY);
  EXPECT_OK(flock(a.get(), LOCK_EX));
  EXPECT_ERRNO(EWOULDBLOCK, flock(b.get(), LOCK_EX | LOCK_NB));
}

TEST_F(Lock, FlockHoldsOverCopyUp) {
  Mount({Tree().File("f", "x")});
  UniqueFd a = Open("f", O_RDONLY);
  EXPECT_OK(flock(a.get(), LOCK_EX));
  AppendFile("f", "copied up");
  UniqueFd b = Open("f", O_RDWR);
  EXPECT_ERRNO(EWOULDBLOCK, flock(b.get(), LOCK_EX | LOCK_NB));
  EXPECT_OK(rename("f", "g"));
  UniqueFd c = Open("g", O_RDONLY);
  EXPECT_ERRNO(EWOULDBLOCK, flock(c.get(), LOCK_SH | LOCK_NB));
  EXPECT_OK(flock(a.get(), LOCK_UN));
  EXPECT_OK(flock(c.get(), LOCK_EX | LOCK_NB));
}

TEST_F(Lock, RecordLocksExcludeOtherProcesses) {
  Mount({Tree().File("low", std::string(100, 'x'))});
  WriteFile("up", std::string(100, 'x'));
  for (const char* name : {"low", "up"}) {
    UniqueFd fd = Open(name, O_RDWR);
    EXPECT_OK(TryLock(fd.get(), F_SETLK, F_WRLCK, 10, 20));
    EXPECT_EQ(InChild([name] {
                int fd = open(name, O_RDWR);
                if (TryLock(fd, F_SETLK, F_WRLCK, 0, 10) != 0) return 1;
                if (TryLock(fd, F_SETLK, F_WRLCK, 30, 0) != 0) return 2;
                if (TryLock(fd, F_SETLK, F_RDLCK, 15, 1) == 0) return 3;
                if (errno != EAGAIN && errno != EACCES) return 4;
                struct flock who = Range(F_WRLCK, 0, 100);
                if (fcntl(fd, F_GETLK, &who) != 0) return 5;
                if (who.l_type != F_WRLCK || who.l_start != 10 ||
                    who.l_len != 20 || who.l_pid != getppid()) {
                  return 6;
                }
                return 0;
              }),
              0)
        << name;
    EXPECT_OK(TryLock(fd.get(), F_SETLK, F_UNLCK, 10, 20));
    EXPECT_EQ(InChild([name] {
                int fd = open(name, O_RDWR);
                return ErrnoOf(TryLock(fd, F_SETLK, F_WRLCK, 0, 0));
              }),
              0);
  }
}

TEST_F(Lock, RecordLocksHoldOverCopyUp) {
  Mount({Tree().File("f", "x")});
  UniqueFd reader = Open("f", O_RDONLY);
  EXPECT_OK(TryLock(reader.get(), F_SETLK, F_RDLCK));
  // Another process copies the file up; closing a descriptor of this one would
  // drop the lock.
  EXPECT_EQ(InChild([] {
              int fd = open("f", O_WRONLY | O_APPEND);
              return write(fd, "y", 1) == 1 ? 0 : 1;
            }),
            0);
  EXPECT_EQ(InChild([] {
              int fd = open("f", O_RDWR);
              return TryLock(fd, F_SETLK, F_WRLCK) == 0 ? 1 : 0;
            }),
            0)
      << "the lock was lost";
}

TEST_F(Lock, ClosingAnyDescriptorDropsRecordLocks) {
  Mount({Tree().File("f", "x")});
  UniqueFd fd = Open("f", O_RDWR);
  EXPECT_OK(TryLock(fd.get(), F_SETLK, F_WRLCK));
  { UniqueFd other = Open("f", O_RDONLY); }
  EXPECT_EQ(InChild([] {
              return ErrnoOf(TryLock(open("f", O_RDWR), F_SETLK, F_WRLCK));
            }),
            0);
}

TEST_F(Lock, OpenFileDescriptionLocksBelongToTheDescription) {
  Mount({Tree().File("f", "x")});
  UniqueFd a = Open("f", O_RDWR), b = Open("f", O_RDWR);
  EXPECT_OK(TryLock(a.get(), F_OFD_SETLK, F_WRLCK, 0, 10));
  EXPECT_ERRNO(EAGAIN, TryLock(b.get(), F_OFD_SETLK, F_WRLCK, 5, 10));
  EXPECT_OK(TryLock(b.get(), F_OFD_SETLK, F_WRLCK, 10, 10));
  { UniqueFd unrelated = Open("f", O_RDONLY); }
  EXPECT_ERRNO(EAGAIN, TryLock(b.get(), F_OFD_SETLK, F_RDLCK, 5, 1));
  a.reset();
  EXPECT_OK(TryLock(b.get(), F_OFD_SETLK, F_WRLCK, 0, 0));
}

TEST_F(Lock, AWaiterGetsTheLockWhenItIsFreed) {
  Mount({Tree().File("f", "x")});
  UniqueFd a = Open("f", O_RDWR);
  EXPECT_OK(flock(a.get(), LOCK_EX));
  EXPECT_OK(TryLock(a.get(), F_OFD_SETLK, F_WRLCK));
  std::atomic<int> got = 0;
  std::thread flocker([&] {
    UniqueFd b(open("f", O_RDWR));
    if (flock(b.get(), LOCK_EX) == 0) ++got;
  });
  std::thread ofd_locker([&] {
    UniqueFd b(open("f", O_RDWR));
    if (TryLock(b.get(), F_OFD_SETLKW, F_WRLCK) == 0) ++got;
  });
  usleep(50000);
  EXPECT_EQ(got, 0);
  EXPECT_OK(flock(a.get(), LOCK_UN));
  EXPECT_OK(TryLock(a.get(), F_OFD_SETLK, F_UNLCK));
  flocker.join();
  ofd_locker.join();
  EXPECT_EQ(got, 2);
}

TEST_F(Lock, ADeadlockOfTwoProcessesIsFound) {
  Mount({Tree().File("f", "xx")});
  UniqueFd fd = Open("f", O_RDWR);
  EXPECT_OK(TryLock(fd.get(), F_SETLK, F_WRLCK, 0, 1));
  Baton locked;
  pid_t child = fork();
  if (child == 0) {
    int mine = open("f", O_RDWR);
    if (TryLock(mine, F_SETLK, F_WRLCK, 1, 1) != 0) _exit(1);
    locked.Signal();
    _exit(TryLock(mine, F_SETLKW, F_WRLCK, 0, 1) == 0 ? 0 : errno);
  }
  ASSERT_TRUE(locked.Wait());
  usleep(100000);
  EXPECT_ERRNO(EDEADLK, TryLock(fd.get(), F_SETLKW, F_WRLCK, 1, 1));
  EXPECT_OK(TryLock(fd.get(), F_SETLK, F_UNLCK, 0, 1));
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(Lock, TwoNamesOfOneFileShareTheirLocks) {
  Mount({Tree().File("a", "x").HardLink("b", "a")});
  UniqueFd a = Open("a", O_RDWR), b = Open("b", O_RDWR);
  EXPECT_OK(flock(a.get(), LOCK_EX));
  EXPECT_ERRNO(EWOULDBLOCK, flock(b.get(), LOCK_EX | LOCK_NB));
}

TEST_F(Lock, LeasesAreGrantedOrRefusedCleanly) {
  Mount({Tree().File("f", "x")});
  UniqueFd fd = Open("f", O_RDONLY);
  if (fcntl(fd.get(), F_SETLEASE, F_RDLCK) != 0) {
    EXPECT_TRUE(errno == EINVAL || errno == EAGAIN) << ErrnoName(errno);
    GTEST_SKIP() << "no leases here";
  }
  EXPECT_EQ(fcntl(fd.get(), F_GETLEASE), F_RDLCK);
  EXPECT_OK(fcntl(fd.get(), F_SETLEASE, F_UNLCK));
}

}  // namespace
}  // namespace ufs::test
