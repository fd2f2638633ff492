// ufs trace: what a start reads of the layers, recorded and read ahead.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "fs/control.h"
#include "fs/start_reader.h"
#include "fs/start_trace.h"
#include "fs/union_fs.h"
#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"
#include "tools/command.h"
#include "tools/layer_words.h"
#include "tools/mountpoint.h"
#include "tools/output.h"
#include "tools/print_json.h"
#include "tools/run/duration.h"
#include "tools/subcommand.h"

namespace ufs {
namespace {

namespace stdfs = std::filesystem;

constexpr char kRecord[] = "ufs trace record";
constexpr char kReplay[] = "ufs trace replay";

// Until somebody ends us, or `limit` is over.
Status WaitForEnd(std::chrono::milliseconds limit) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, number);
  if (const int code = pthread_sigmask(SIG_BLOCK, &set, nullptr))
    return Error(code, "blocking signals");
  const timespec time{limit.count() / 1000, limit.count() % 1000 * 1'000'000};
  const bool for_ever = limit.count() == 0;
  while (sigtimedwait(&set, nullptr, for_ever ? nullptr : &time) < 0) {
    if (errno == EAGAIN) return Ok();
    if (errno != EINTR) return Error(errno, "waiting");
  }
  return Ok();
}

// The command that runs, for a handler of signals.
std::atomic<pid_t> command_pid{0};

// The exit code of a command, as a shell has it. What would end us is for it,
// and then for what it has read.
Result<int> RunCommand(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const std::string& word : words)
    argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_t child = 0;
  if (const int code =
          posix_spawnp(&child, argv[0], nullptr, nullptr, argv.data(), environ))
    return Error(code, words[0]);
  command_pid = child;
  // A terminal's go to it anyway.
  for (const int number : {SIGINT, SIGQUIT}) signal(number, SIG_IGN);
  for (const int number : {SIGTERM, SIGHUP})
    signal(number, [](int sent) { kill(command_pid, sent); });
  return runtime::kernel::ExitCodeOf(TRY(runtime::kernel::WaitPid(child)));
}

struct Recorded {
  size_t entries = 0;
  int code = kExitOk;  // of the command
};

Result<Recorded> Record(const std::string& mountpoint, const std::string& file,
                        std::chrono::milliseconds limit,
                        const std::vector<std::string>& command) {
  Recorded recorded;
  const stdfs::path path = stdfs::absolute(file);
  TRY(sys::Open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY).With(file));
  MountTrace trace = TRY(MountTrace::Begin(ResolveMountpoint(mountpoint)));
  if (command.empty()) {
    fprintf(stderr, "%s: recording %s; Ctrl-C ends it\n", kRecord,
            mountpoint.c_str());
    TRY(WaitForEnd(limit));
  } else {
    recorded.code = TRY(RunCommand(command));
  }
  const std::string text = TRY(trace.End());
  recorded.entries = TRY(ParseTrace(text)).size();
  if (recorded.entries == 0)
    return Error(ENODATA, mountpoint +
                              ": nothing was read of its layers; what the "
                              "kernel has in memory is not asked for, so mount "
                              "it anew before; small files are no reads, as "
                              "an index has them");
  TRY(WriteTrace(path, text).With(file));
  return recorded;
}

int RunTraceRecord(int argc, char** argv) {
  std::string mountpoint, file, limit_text;
  std::vector<std::string> command;
  ArgumentParser parser(
      kRecord,
      "ufs trace record [--for TIME] MOUNTPOINT FILE [-- COMMAND ARG...]",
      "Records into FILE which contents of layers the mount reads, in their "
      "order,\n"
      "while COMMAND runs; without one until it is interrupted, or for TIME.",
      "What the kernel has in memory the mount is not asked for: record a "
      "mount "
      "that\n"
      "is fresh. 'ufs mount -o trace=FILE' does both halves by itself.\n"
      "\n"
      "Examples:\n"
      "  ufs trace record /mnt web.trace -- chroot /mnt nginx -t\n"
      "\n"
      "See also: ufs trace replay, ufs mount\n");
  parser.add_option("mountpoint", mountpoint)->required();
  parser.add_option("file", file)->required();
  parser.add_option("command", command);
  parser.add_option("--for", limit_text, "How long, as 30s or 2m")
      ->type_name("TIME");
  if (const auto done = parser.Parse(argc, argv)) return *done;
  std::chrono::milliseconds limit{0};
  if (!limit_text.empty()) {
    const auto parsed = ParseDuration(limit_text);
    if (!parsed.ok() || parsed->count() == 0 || !command.empty())
      return Complain(kRecord,
                      !parsed.ok() ? std::string(parsed.error().context())
                      : !command.empty()
                          ? "--for has no meaning beside a COMMAND"
                          : "--for takes a time above 0",
                      kExitUsage);
    limit = *parsed;
  }
  const auto recorded = Record(mountpoint, file, limit, command);
  if (!recorded.ok())
    return Complain(kRecord, Explain(recorded.error()), kExitFailure);
  fprintf(stderr, "%s: %zu reads in %s\n", kRecord, recorded->entries,
          file.c_str());
  return recorded->code;
}

struct Replayed {
  size_t entries = 0;
  size_t found = 0;
  uint64_t bytes = 0;
};

Result<Replayed> Replay(const std::string& file, const std::string& store,
                        const std::vector<std::string>& layers) {
  auto entries = TRY(ReadTrace(file).With(file));
  UnionConfig config;
  config.layers = layers;
  TRY(ResolveLayers(store, config));
  const auto fs = TRY(UnionFs::Open(config));
  const size_t count = entries.size();
  StartReader reader(*fs, std::move(entries));
  reader.Wait();
  return Replayed{count, reader.found(), reader.bytes()};
}

int RunTraceReplay(int argc, char** argv) {
  std::string file, store;
  std::vector<std::string> layers;
  bool as_json = false;
  ArgumentParser parser(
      kReplay, "ufs trace replay [--store DIR] [--json] FILE LAYER...",
      "Has the machine read ahead what FILE says that a start reads of LAYERs, "
      "so\n"
      "that it finds that in memory. They need not be mounted, and may be a "
      "later\n"
      "version of those that were recorded.",
      "Examples:\n"
      "  ufs trace replay web.trace debian:12 web:7\n"
      "\n"
      "See also: ufs trace record, ufs mount\n");
  parser.add_option("file", file)->required();
  parser.add_option("layers", layers)->required();
  parser
      .add_option("--store", store,
                  "Where layers with a name are (default: $UFS_STORE, else the "
                  "state directory)")
      ->type_name("DIR");
  parser.add_flag("--json", as_json, "Print an object for programs");
  if (const auto done = parser.Parse(argc, argv)) return *done;
  const auto replayed = Replay(file, store, layers);
  if (!replayed.ok())
    return Complain(kReplay, Explain(replayed.error()), kExitFailure);
  if (as_json) {
    PrintJson({{"entries", replayed->entries},
               {"found", replayed->found},
               {"bytes", replayed->bytes}});
  } else {
    printf("%zu of %zu read ahead, %s\n", replayed->found, replayed->entries,
           FormatBytes(replayed->bytes).c_str());
  }
  const int code = FinishOutput(kReplay);
  if (code == kExitOk && replayed->found == 0)
    return Complain(kReplay, file + " is of other layers", kExitFailure);
  return code;
}

}  // namespace

int RunTrace(int argc, char** argv) {
  static constexpr Command kVerbs[] = {
      {"record", "Record what a mount reads of its layers", RunTraceRecord},
      {"replay", "Read that ahead, before the next start", RunTraceReplay},
  };
  return RunSubcommand("ufs trace",
                       "The second cold start of an image reads in one go what "
                       "the first one read.\n",
                       kVerbs, argc, argv);
}

}  // namespace ufs
