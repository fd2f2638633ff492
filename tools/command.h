// Command: one verb of `ufs`. A verb reads its arguments, calls the libraries
// and turns what they answer into text and an exit code.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "layerdb/base/result.h"
#include "tools/argument_parser.h"

namespace ufs {

// What a system tool returns.
enum ExitCode {
  kExitOk = 0,
  kExitFailure = 1,
  kExitUsage = 2,
};

struct Command {
  const char* name;
  const char* summary;
  // argv[0] is the verb.
  int (*run)(int argc, char** argv);
  bool unwinds = false;  // see RunAndUnwind in out_of_memory.h
};

int RunMount(int argc, char** argv);
int RunUmount(int argc, char** argv);
int RunStat(int argc, char** argv);
int RunDiff(int argc, char** argv);
int RunCommit(int argc, char** argv);
int RunComplete(int argc, char** argv);
int RunSquash(int argc, char** argv);
int RunTrace(int argc, char** argv);
int RunLayer(int argc, char** argv);
int RunStore(int argc, char** argv);
int RunOci(int argc, char** argv);

// The same mount under the names other programs call it by.
int RunMountHelper(int argc, char** argv);    // mount.fuse.ufs, by mount(8)
int RunFuseOverlayfs(int argc, char** argv);  // fuse-overlayfs, by podman

// What a person is told: the errno's text too, unless the context says it all
// and that would only puzzle.
std::string Explain(const Error& error);

// "WHO: MESSAGE" on stderr, without the control characters of names in it,
// where WHO is "ufs mount" and the like. Returns `code`, so that a verb can
// return what it says.
int Complain(std::string_view who, std::string_view message, int code);

}  // namespace ufs
