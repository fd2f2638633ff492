#include "tests/model/program.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <utility>

#include "tests/model/check.h"

namespace ufs::model {
namespace {

constexpr unsigned kLongestRun = 600;  // seconds, should its bytes be broken

std::pair<UniqueFd, UniqueFd> Pipe() {
  int ends[2];
  Must(pipe2(ends, O_CLOEXEC), "pipe");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// In the child. The reader of `failure` hears the errno, or, once the program
// runs, nothing.
[[noreturn]] void Become(int at, const char* path, int input, int failure) {
  char name[] = "program";
  char* argv[] = {name, nullptr};
  char* envp[] = {nullptr};
  alarm(kLongestRun);
  int code = 0;
  if (dup2(input, STDIN_FILENO) < 0 || execveat(at, path, argv, envp, 0) < 0)
    code = errno;
  _exit(write(failure, &code, sizeof code) == sizeof code ? 0 : 1);
}

}  // namespace

const std::string& ProgramBytes() {
  static const std::string bytes = [] {
    std::ifstream in(MODEL_PROGRAM, std::ios::binary);
    std::string read(std::istreambuf_iterator<char>(in), {});
    if (read.empty()) Die(std::string(MODEL_PROGRAM) + " cannot be read");
    return read;
  }();
  return bytes;
}

int RunningProgram::Start(int at, const char* path) {
  auto [input, input_writer] = Pipe();
  auto [failure, failure_writer] = Pipe();
  pid_ = Must(fork(), "fork");
  if (pid_ == 0) Become(at, path, input.get(), failure_writer.get());
  failure_writer.reset();
  input_ = std::move(input_writer);
  int code = 0;
  if (Must(read(failure.get(), &code, sizeof code), "read a pipe") == 0)
    return 0;
  Finish();
  return code;
}

int RunningProgram::Finish() {
  if (pid_ <= 0) return 0;
  input_.reset();
  int status = 0;
  Must(waitpid(std::exchange(pid_, -1), &status, 0), "waitpid");
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace ufs::model
