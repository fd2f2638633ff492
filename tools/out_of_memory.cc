#include "tools/out_of_memory.h"

#include <syslog.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <system_error>

#include "tools/command.h"

namespace ufs {
namespace {

constexpr char kNoMemory[] =
    "ufs: out of memory; raise the limit (ulimit -v, or that of the cgroup), "
    "or end other programs\n";
constexpr char kNoThread[] =
    "ufs: no thread can be had; raise the limit of memory (ulimit -v) or of "
    "processes (ulimit -u)\n";

// Whether it was one of those; its words are on stderr then. Needs no memory.
bool Tell(const std::exception_ptr& thrown) {
  if (thrown == nullptr) return false;
  try {
    std::rethrow_exception(thrown);
  } catch (const std::bad_alloc&) {
    std::fputs(kNoMemory, stderr);
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::resource_unavailable_try_again) return false;
    std::fputs(kNoThread, stderr);
  } catch (...) {
    return false;
  }
  return true;
}

// Of a daemon stderr is nowhere.
[[noreturn]] void Terminate() {
  if (!Tell(std::current_exception())) std::abort();
  syslog(LOG_DAEMON | LOG_CRIT, "ufs: out of memory, or of threads; it ends");
  _exit(kExitFailure);
}

}  // namespace

void EndWithoutMemory() { std::set_terminate(Terminate); }

int RunAndUnwind(int (*program)(int argc, char** argv), int argc, char** argv) {
  try {
    return program(argc, argv);
  } catch (...) {
    if (Tell(std::current_exception())) return kExitFailure;
    throw;
  }
}

}  // namespace ufs
