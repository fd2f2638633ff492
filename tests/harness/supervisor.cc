#include "tests/harness/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "layerdb/base/unique_fd.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch_dir.h"
#include "tests/harness/user_namespace.h"

namespace ufs::test {
namespace {

constexpr char kConnections[] = "/sys/fs/fuse/connections";
constexpr char kEnableUring[] = "/sys/module/fuse/parameters/enable_uring";
// After an abort a test gets this long to notice and fail by itself.
constexpr int kGraceMs = 15000;

WatchBoard* the_board = nullptr;
std::string the_scratch;
volatile sig_atomic_t stop_signal = 0;

int Die(const std::string& message) {
  fprintf(stderr, "supervisor: %s\n", message.c_str());
  return 1;
}

int Skip(const std::string& reason) {
  printf("skipped: %s\n", reason.c_str());
  return kExitSkipped;
}

// Switches the machine's FUSE over io_uring on while it lives. Several may live
// at once in different processes; the one that switched it on waits for the
// others and switches it off.
class UringSwitch {
 public:
  bool On() {
    fd_.reset(::open(kEnableUring, O_RDWR | O_CLOEXEC));
    if (!fd_.valid()) return false;
    // Who finds it on need not wait for the others that use it.
    ::flock(fd_.get(), LOCK_SH);
    while (!IsOn()) {
      ::flock(fd_.get(), LOCK_EX);
      if (!IsOn()) {
        if (::pwrite(fd_.get(), "1", 1, 0) != 1 || !IsOn()) return false;
        switched_ = true;
      }
      ::flock(fd_.get(), LOCK_SH);
    }
    return true;
  }

  ~UringSwitch() {
    if (!switched_) return;
    ::flock(fd_.get(), LOCK_EX);
    if (::pwrite(fd_.get(), "0", 1, 0) != 1) {
      fprintf(stderr, "could not switch %s off again\n", kEnableUring);
    }
  }

 private:
  bool IsOn() const {
    char state = 'N';
    return ::pread(fd_.get(), &state, 1, 0) == 1 && state == 'Y';
  }

  UniqueFd fd_;
  bool switched_ = false;
};

// A mount namespace of the supervisor's own, with fusectl in it.
bool PrepareMounts() {
  if (::geteuid() != 0) return true;  // whoever set the machine up did it
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return false;
  }
  // EBUSY: it is there already. ENODEV: no FUSE, so nothing to abort either.
  ::mount("fusectl", kConnections, "fusectl", 0, nullptr);
  return true;
}

void AbortConnection(unsigned connection) {
  const std::string path =
      std::string(kConnections) + "/" + std::to_string(connection) + "/abort";
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid() || ::write(fd.get(), "1", 1) != 1) {
    fprintf(stderr, "supervisor: cannot abort %s: %s\n", path.c_str(),
            strerror(errno));
  }
}

// As fork, into new namespaces.
pid_t ForkInto(int namespaces) {
  return static_cast<pid_t>(
      ::syscall(SYS_clone, namespaces | SIGCHLD, 0, 0, 0, 0));
}

// The first thing in the child. Returns what went wrong, or "".
std::string SettleIn(const Subject& subject, const IdMap& map, Baton* wants_map,
                     Baton* has_map) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::geteuid() == 0 && ::mount("proc", "/proc", "proc", 0, nullptr) != 0) {
    return std::string("mount of /proc: ") + strerror(errno);
  }
  if (!subject.in_user_namespace) return "";
  if (::geteuid() == 0) {
    if (std::string error = ShowFuseDeviceToAll(the_scratch); !error.empty()) {
      return error;
    }
    if (std::string error = EnterUserNamespace(map); !error.empty()) {
      return error;
    }
  }
  wants_map->Signal();
  if (!has_map->Wait()) return "no id map from the supervisor";
  return BecomeNamespaceRoot();
}

// Watches until the child ends and returns how it ended.
int Watch(pid_t child) {
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  int64_t kill_at = 0;
  for (;;) {
    struct pollfd ended = {pidfd.get(), POLLIN, 0};
    if (::poll(&ended, 1, 200) > 0) break;
    if (stop_signal != 0) ::kill(child, SIGKILL);
    const int64_t deadline = the_board->deadline_ms;
    if (deadline == 0 || NowMs() < deadline) {
      kill_at = 0;
      continue;
    }
    if (kill_at == 0) {
      fprintf(stderr, "supervisor: %s ran out of time, %s\n",
              the_board->test_name,
              the_board->connection ? "aborting its FUSE connection"
                                    : "and has no FUSE connection to abort");
      the_board->fired = true;
      if (the_board->connection) AbortConnection(the_board->connection);
      kill_at = NowMs() + kGraceMs;
    } else if (NowMs() > kill_at) {
      fprintf(stderr, "supervisor: %s still hangs; killing the tests\n",
              the_board->test_name);
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
      return kExitHung;
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  return Die("the tests were ended by signal " +
             std::to_string(WTERMSIG(status)) + " during " +
             the_board->test_name);
}

int SuperviseIn(const Subject& subject, const std::function<int()>& tests) {
  const IdMap map = OrdinaryUser(subject.one_id);
  if (subject.in_user_namespace && !subject.one_id && map.range_count == 0) {
    return Skip("this user has no range in /etc/subuid");
  }
  if (subject.in_user_namespace && ::geteuid() == 0 &&
      ::chown(the_scratch.c_str(), map.outer_id, map.outer_id) != 0) {
    return Die("cannot give the scratch directory away");
  }
  Baton wants_map, has_map;
  int namespaces = CLONE_NEWPID | CLONE_NEWNS;
  if (::geteuid() != 0) namespaces |= CLONE_NEWUSER;
  pid_t child = ForkInto(namespaces);
  if (child < 0) {
    return Die(std::string("clone into new namespaces: ") + strerror(errno));
  }
  if (child == 0) {
    std::string error = SettleIn(subject, map, &wants_map, &has_map);
    if (!error.empty()) ::_exit(Die(error));
    int result = tests();
    fflush(nullptr);
    ::_exit(result);
  }
  if (subject.in_user_namespace && wants_map.Wait()) {
    std::string error = WriteIdMap(child, map);
    if (!error.empty()) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
      return Die(error);
    }
    has_map.Signal();
  }
  return Watch(child);
}

}  // namespace

void WatchBoard::Arm(const std::string& name, int seconds) {
  strncpy(test_name, name.c_str(), sizeof test_name - 1);
  fired = false;
  connection = 0;
  Extend(seconds);
}

void WatchBoard::Extend(int seconds) { deadline_ms = NowMs() + seconds * 1000; }

WatchBoard& TheWatchBoard() { return *the_board; }
const std::string& ScratchRoot() { return the_scratch; }

int Supervise(const Subject& subject, const std::function<int()>& tests) {
  if (::geteuid() != 0 && !subject.in_user_namespace) {
    return Skip("subject " + subject.name + " needs root");
  }
  UringSwitch uring;
  if (subject.wants_uring && !uring.On()) {
    return Skip(std::string("no ") + kEnableUring + " to switch on");
  }
  if (!PrepareMounts()) return Die("cannot make a private mount namespace");

  // Stopped by hand or by CTest: go on to the end, so that everything is
  // cleaned up.
  struct sigaction stop = {};
  stop.sa_handler = [](int signal) { stop_signal = signal; };
  ::sigaction(SIGTERM, &stop, nullptr);
  ::sigaction(SIGINT, &stop, nullptr);

  void* shared = ::mmap(nullptr, sizeof(WatchBoard), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return Die("no shared memory");
  the_board = new (shared) WatchBoard();

  ScratchDir scratch;
  the_scratch = scratch.path();
  return SuperviseIn(subject, tests);
}

}  // namespace ufs::test
