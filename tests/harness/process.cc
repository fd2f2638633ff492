#include "tests/harness/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace ufs::test {
namespace {

int WaitFor(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return 255;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

}  // namespace

int64_t NowMs() {
  struct timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int InChild(const std::function<int()>& body) {
  pid_t pid = ::fork();
  if (pid < 0) {
    ADD_FAILURE() << "fork: " << strerror(errno);
    return 255;
  }
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::_exit(body());
  }
  return WaitFor(pid);
}

int AsUser(const User& user, const std::function<int()>& body) {
  return InChild([&] {
    std::vector<gid_t> groups = user.groups;
    if (::setgroups(groups.size(), groups.data()) != 0 ||
        ::setresgid(user.gid, user.gid, user.gid) != 0 ||
        ::setresuid(user.uid, user.uid, user.uid) != 0) {
      return 254;
    }
    return body();
  });
}

ProgramResult RunProgram(const std::vector<std::string>& argv,
                         int timeout_seconds) {
  int out[2];
  if (::pipe2(out, O_CLOEXEC) != 0) return {255, "pipe2 failed"};
  pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(out[1], 1);
    ::dup2(out[1], 2);
    std::vector<char*> args;
    for (const std::string& arg : argv) {
      args.push_back(const_cast<char*>(arg.c_str()));
    }
    args.push_back(nullptr);
    ::execvp(args[0], args.data());
    ::dprintf(2, "cannot run %s: %s\n", args[0], strerror(errno));
    ::_exit(127);
  }
  ::close(out[1]);

  // A daemon left behind may keep the pipe open, so the end of the program, not
  // of its output, is what ends the wait.
  ProgramResult result = {255, ""};
  const int64_t deadline = NowMs() + timeout_seconds * 1000;
  for (bool ended = false;;) {
    struct pollfd poll_out = {out[0], POLLIN, 0};
    if (::poll(&poll_out, 1, ended ? 0 : 5) > 0) {
      char buffer[4096];
      ssize_t n = ::read(out[0], buffer, sizeof buffer);
      if (n > 0) {
        result.output.append(buffer, static_cast<size_t>(n));
        continue;
      }
      if (!ended) {
        result.exit_code = WaitFor(pid);
        break;
      }
    }
    if (ended) break;
    int status;
    pid_t done = ::waitpid(pid, &status, WNOHANG);
    if (done == pid) {
      result.exit_code =
          WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      ended = true;  // once more round, for output already in the pipe
    } else if (NowMs() > deadline) {
      ::kill(pid, SIGKILL);
      WaitFor(pid);
      result.exit_code = 124;
      result.output +=
          "(killed: no end within " + std::to_string(timeout_seconds) + " s)";
      break;
    }
  }
  ::close(out[0]);
  return result;
}

Baton::Baton() {
  if (::pipe2(pipe_, O_CLOEXEC) != 0) ADD_FAILURE() << "pipe2 failed";
}

Baton::~Baton() {
  ::close(pipe_[0]);
  ::close(pipe_[1]);
}

void Baton::Signal() {
  char byte = 0;
  if (::write(pipe_[1], &byte, 1) != 1) ::abort();
}

bool Baton::Wait(int timeout_ms) {
  struct pollfd readable = {pipe_[0], POLLIN, 0};
  if (::poll(&readable, 1, timeout_ms) != 1) return false;
  char byte;
  return ::read(pipe_[0], &byte, 1) == 1;
}

}  // namespace ufs::test
