// Watching files: inotify and fanotify on the union.
#include <fcntl.h>
#include <poll.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

struct Event {
  int watch;
  uint32_t mask;
  std::string name;
};

class Inotify : public UnionTest {
 protected:
  void SetUp() override {
    UnionTest::SetUp();
    if (!IsSkipped())
      notify_ = UniqueFd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  }
  void TearDown() override {
    notify_.reset();
    UnionTest::TearDown();
  }

  int Watch(const std::string& path, uint32_t mask) {
    int watch = inotify_add_watch(notify_.get(), path.c_str(), mask);
    EXPECT_OK(watch) << path;
    return watch;
  }

  // Every event that is there by now.
  std::vector<Event> Events() {
    std::vector<Event> events;
    alignas(struct inotify_event) char buffer[65536];
    for (;;) {
      ssize_t n = read(notify_.get(), buffer, sizeof buffer);
      if (n <= 0) return events;
      for (char* p = buffer; p < buffer + n;) {
        auto* raw = reinterpret_cast<struct inotify_event*>(p);
        events.push_back({raw->wd, raw->mask, raw->len ? raw->name : ""});
        p += sizeof *raw + raw->len;
      }
    }
  }

  // Whether `events` tells of `mask`, for that name where one is given.
  static bool Tells(const std::vector<Event>& events, uint32_t mask,
                    const std::string& name = "") {
    for (const Event& event : events) {
      if ((event.mask & mask) && (name.empty() || event.name == name)) {
        return true;
      }
    }
    return false;
  }

 private:
  UniqueFd notify_;
};

TEST_F(Inotify, TellsOfWorkOnALowerFileOverItsCopyUp) {
  Mount({Tree().File("f", "lower")});
  Watch("f", IN_ALL_EVENTS);
  ReadFile("f");
  EXPECT_TRUE(Tells(Events(), IN_OPEN));
  AppendFile("f", "x");
  std::vector<Event> events = Events();
  EXPECT_TRUE(Tells(events, IN_MODIFY));
  EXPECT_TRUE(Tells(events, IN_CLOSE_WRITE));
  EXPECT_OK(chmod("f", 0600));
  EXPECT_TRUE(Tells(Events(), IN_ATTRIB));
  AppendFile("f", "again");
  EXPECT_TRUE(Tells(Events(), IN_MODIFY)) << "after the copy-up";
}

TEST_F(Inotify, TellsOfNamesInALowerDirectoryOverItsCopyUp) {
  Mount({Tree().File("d/low"), Tree().File("d/low2")});
  Watch("d", IN_ALL_EVENTS);
  WriteFile("d/new", "");
  EXPECT_TRUE(Tells(Events(), IN_CREATE, "new"));
  EXPECT_OK(unlink("d/low"));
  EXPECT_TRUE(Tells(Events(), IN_DELETE, "low"));
  EXPECT_OK(rename("d/low2", "d/moved"));
  std::vector<Event> events = Events();
  EXPECT_TRUE(Tells(events, IN_MOVED_FROM, "low2"));
  EXPECT_TRUE(Tells(events, IN_MOVED_TO, "moved"));
  EXPECT_OK(mkdir("d/dir", 0755));
  EXPECT_TRUE(Tells(Events(), IN_CREATE, "dir"));
  AppendFile("d/moved", "x");
  EXPECT_TRUE(Tells(Events(), IN_MODIFY, "moved"));
}

TEST_F(Inotify, TellsOnlyWhatAUserDid) {
  // Whiteouts, work files and copies are nobody's business.
  Mount({Tree().File("d/low", "x").File("d/victim")});
  Watch("d", IN_CREATE | IN_DELETE | IN_MOVE);
  Watch(".", IN_CREATE | IN_DELETE | IN_MOVE);
  EXPECT_OK(unlink("d/victim"));
  AppendFile("d/low", "y");
  EXPECT_OK(chmod("d/low", 0600));
  std::vector<Event> events = Events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].name, "victim");
}

TEST_F(Inotify, TellsOfTheEndOfAFile) {
  Mount({Tree().File("low", "x")});
  WriteFile("up", "x");
  for (const char* name : {"low", "up"}) {
    Watch(name, IN_DELETE_SELF | IN_ATTRIB);
    EXPECT_OK(unlink(name));
    EXPECT_TRUE(Tells(Events(), IN_DELETE_SELF | IN_ATTRIB)) << name;
  }
}

TEST_F(Inotify, FollowsARenamedFile) {
  Mount({Tree().File("f", "x").Dir("d")});
  Watch("f", IN_MODIFY | IN_MOVE_SELF);
  EXPECT_OK(rename("f", "d/g"));
  EXPECT_TRUE(Tells(Events(), IN_MOVE_SELF));
  AppendFile("d/g", "y");
  EXPECT_TRUE(Tells(Events(), IN_MODIFY));
}

TEST_F(Inotify, WatchesOfOneFileUnderTwoNamesAreOne) {
  Mount({Tree().File("a", "x").HardLink("b", "a")});
  const int first = Watch("a", IN_MODIFY);
  AppendFile("a", "y");
  EXPECT_EQ(Watch("b", IN_MODIFY), first) << "one object, one watch";
  Events();
  AppendFile("b", "z");
  EXPECT_TRUE(Tells(Events(), IN_MODIFY));
}

using Fanotify = UnionTest;

TEST_F(Fanotify, MarksOfTheMountTellWhichFileWasTouched) {
  NEEDS_REAL_ROOT("fanotify with descriptors needs CAP_SYS_ADMIN");
  Mount({Tree().File("d/low", "x")});
  UniqueFd fan(fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_CLOEXEC,
                             O_RDONLY | O_CLOEXEC));
  if (!fan.valid()) GTEST_SKIP() << "no fanotify: " << ErrnoName(errno);
  ASSERT_OK(fanotify_mark(fan.get(), FAN_MARK_ADD | FAN_MARK_MOUNT,
                          FAN_OPEN | FAN_MODIFY | FAN_CLOSE_WRITE, AT_FDCWD,
                          root().c_str()));
  EXPECT_EQ(InChild([] {
              int fd = open("d/low", O_WRONLY | O_APPEND);
              return write(fd, "y", 1) == 1 && close(fd) == 0 ? 0 : 1;
            }),
            0);
  uint64_t seen = 0;
  alignas(struct fanotify_event_metadata) char buffer[8192];
  ssize_t n = read(fan.get(), buffer, sizeof buffer);
  ASSERT_OK(n);
  auto* event = reinterpret_cast<struct fanotify_event_metadata*>(buffer);
  for (; FAN_EVENT_OK(event, n); event = FAN_EVENT_NEXT(event, n)) {
    UniqueFd fd(event->fd);
    seen |= event->mask;
    EXPECT_EQ(Fstat(fd.get()).st_ino, Ino("d/low"));
    EXPECT_EQ(ReadLink("/proc/self/fd/" + std::to_string(fd.get())),
              root() + "/d/low");
  }
  EXPECT_EQ(seen & (FAN_OPEN | FAN_MODIFY | FAN_CLOSE_WRITE),
            uint64_t{FAN_OPEN | FAN_MODIFY | FAN_CLOSE_WRITE});
}

TEST_F(Fanotify, PermissionEventsCanForbidAnOpen) {
  NEEDS_REAL_ROOT("permission events need CAP_SYS_ADMIN");
  Mount({Tree().File("f", "x")});
  UniqueFd fan(
      fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC));
  if (!fan.valid()) GTEST_SKIP() << "no fanotify: " << ErrnoName(errno);
  if (fanotify_mark(fan.get(), FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, "f") !=
      0) {
    GTEST_SKIP() << "no permission events: " << ErrnoName(errno);
  }
  pid_t child = fork();
  if (child == 0) _exit(ErrnoOf(open("f", O_RDONLY)));
  struct pollfd readable = {fan.get(), POLLIN, 0};
  ASSERT_EQ(poll(&readable, 1, 5000), 1);
  struct fanotify_event_metadata event;
  ASSERT_EQ(read(fan.get(), &event, sizeof event),
            static_cast<ssize_t>(sizeof event));
  struct fanotify_response response = {event.fd, FAN_DENY};
  EXPECT_EQ(write(fan.get(), &response, sizeof response),
            static_cast<ssize_t>(sizeof response));
  close(event.fd);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_ERRNO_EQ(EPERM, WEXITSTATUS(status));
}

}  // namespace
}  // namespace ufs::test
