// The one binary. Its name decides first: mount(8) and podman call it by
// others. Then the verb does.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

#include "tools/command.h"
#include "tools/out_of_memory.h"
#include "tools/output.h"
#include "tools/run/commands.h"
#include "tools/run/exit_code.h"
#include "tools/run/missing_options.h"
#include "tools/standard_streams.h"
#include "tools/subcommand.h"

namespace ufs {
namespace {

constexpr Command kCommands[] = {
    {"mount", "Mount a union of layers", RunMount},
    {"umount", "Unmount it and wait for its daemon to end", RunUmount},
    {"stat", "Show what a mounted union is made of and does", RunStat},
    {"diff", "List what an upper changes", RunDiff},
    {"commit", "Make a layer of what an upper changes", RunCommit, true},
    {"complete", "Copy up the rest of files that are partly copied up",
     RunComplete},
    {"squash", "Make one layer of several", RunSquash, true},
    {"trace", "Record what a start reads, and read it ahead", RunTrace},
    {"layer", "List, show, name, verify and remove layers of the store",
     RunLayer, true},
    {"store", "How much room the store of layers takes; gc, check, repair",
     RunStore, true},
    {"run", "Run a program in a container over layers", RunRun},
    {"ps", "List containers", RunPs},
    {"exec", "Run another program in a container", RunExec},
    {"logs", "Print what a container has written", RunLogs},
    {"attach", "Connect to the terminal or streams of a container", RunAttach},
    {"stop", "Ask containers to end, and see to it", RunStop},
    {"restart", "Stop containers and start them again", RunRestart},
    {"kill", "Send a signal to containers", RunKill},
    {"pause", "Freeze containers", RunPause},
    {"unpause", "Let them run again", RunUnpause},
    {"update", "Change the limits of containers", RunUpdate},
    {"port", "Print which ports of the machine lead into a container", RunPort},
    {"wait", "Wait for containers; print their exit codes", RunWait},
    {"rm", "Remove containers that have ended", RunRm},
    {"rename", "Give containers that have ended another name", RunRename},
    {"inspect", "Print all that is known of containers", RunInspect},
    {"top", "List the processes of a container", RunTop},
    {"stats", "Show what containers use", RunStats},
    {"volume", "List, show and remove volumes of containers", RunVolume},
    {"doctor", "Check what this machine has for unions and containers",
     RunDoctor},
    {"oci", "Be an OCI runtime, as ufs-oci", RunOci},
};

void PrintHelp(FILE* out) {
  std::fputs(
      "Usage: ufs VERB [arguments]\n"
      "       ufs help VERB\n"
      "       ufs --version\n"
      "\n"
      "A union of directories: layers that stay as they are, and one upper\n"
      "directory that takes every change.\n"
      "\n"
      "Verbs:\n",
      out);
  for (const Command& command : kCommands)
    std::fprintf(out, "  %-10s%s\n", command.name, command.summary);
  std::fputs(
      "\n"
      "Examples:\n"
      "  ufs mount base app /mnt    a writable union of two layers, app on "
      "top\n"
      "  ufs diff /mnt              what has changed since\n"
      "  ufs umount /mnt\n"
      "  ufs run -it base app -- sh    a shell in a container over them\n",
      out);
}

const Command* FindCommand(std::string_view name) {
  const auto* found = std::find_if(
      std::begin(kCommands), std::end(kCommands),
      [&](const Command& command) { return command.name == name; });
  return found == std::end(kCommands) ? nullptr : found;
}

// As mount.fuse3 calls any file system on the PATH, for a mount(8) that has no
// mount.fuse.ufs: SPEC DIR -o OPTIONS.
bool IsMountFuse3(int argc, char** argv) {
  return argc == 5 && argv[2][0] == '/' && std::string_view(argv[3]) == "-o";
}

int RunVerb(int argc, char** argv) {
  const std::string_view verb = argc > 1 ? argv[1] : "";
  if (verb == "--version" || verb == "-V" || verb == "version") {
    std::puts("ufs " UFS_VERSION);
    return FinishOutput("ufs");
  }
  if (verb == "--help" || verb == "-h" || (verb == "help" && argc == 2)) {
    PrintHelp(stdout);
    return FinishOutput("ufs");
  }
  if (verb.empty()) {
    PrintHelp(stderr);
    return kExitUsage;
  }
  const bool wants_help = verb == "help";
  const std::string_view name = wants_help ? argv[2] : verb;
  const Command* const command = FindCommand(name);
  if (command == nullptr && !wants_help && IsMountFuse3(argc, argv))
    return RunMountHelper(argc, argv);
  if (command == nullptr) {
    if (const std::string why = VerbNotSupported(name); !why.empty())
      return Complain("ufs", why, kExitUsage);
    return UnknownVerb("ufs", name, kCommands);
  }
  if (const std::string why = NotSupported(name, argc - 1, argv + 1);
      !wants_help && !why.empty())
    return Complain("ufs " + std::string(name), why,
                    name == "exec" ? int{kExitNotStarted} : int{kExitUsage});
  if (!wants_help)
    return command->unwinds ? RunAndUnwind(command->run, argc - 1, argv + 1)
                            : command->run(argc - 1, argv + 1);
  char help[] = "--help";
  char* arguments[] = {argv[2], help, nullptr};
  return command->run(2, arguments);
}

int Run(int argc, char** argv) {
  const std::string called_as =
      argc > 0 ? std::filesystem::path(argv[0]).filename().string() : "ufs";
  if (called_as.starts_with("mount.")) return RunMountHelper(argc, argv);
  if (called_as == "fuse-overlayfs") return RunFuseOverlayfs(argc, argv);
  if (called_as == "ufs-oci") return RunOci(argc, argv);
  return RunVerb(argc, argv);
}

}  // namespace
}  // namespace ufs

int main(int argc, char** argv) {
  ufs::EndWithoutMemory();
  return ufs::FillStandardStreams() ? ufs::Run(argc, argv) : ufs::kExitFailure;
}
