// ufs run: mount, contain, run, clean up.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "layerdb/base/cleanup.h"
#include "layerdb/base/syscall.h"
#include "runtime/id_map.h"
#include "runtime/kernel.h"
#include "tools/cmd_oci.h"
#include "tools/command.h"
#include "tools/layer_words.h"
#include "tools/mount_union.h"
#include "tools/output.h"
#include "tools/own_program.h"
#include "tools/run/attach_client.h"
#include "tools/run/commands.h"
#include "tools/run/config.h"
#include "tools/run/detach_keys.h"
#include "tools/run/exit_code.h"
#include "tools/run/find.h"
#include "tools/run/for_each.h"
#include "tools/run/option_words.h"
#include "tools/run/random_name.h"
#include "tools/run/supervisor.h"
#include "tools/run/trial.h"
#include "tools/run/volume_store.h"
#include "tools/state_dir.h"

namespace ufs {
namespace {

namespace stdfs = std::filesystem;

Status CheckTerminal(const RunOptions& options) {
  if (!options.terminal || options.detach || !options.interactive ||
      isatty(STDIN_FILENO))
    return Ok();
  return Error(EINVAL,
               "-t: standard input is no terminal; leave -t out, or -i");
}

// Ours before anything starts: two containers must not write to one.
Status ReserveCidfile(const std::string& path) {
  if (path.empty()) return Ok();
  const auto made =
      sys::Open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
  if (made.code() == EEXIST)
    return Error(EEXIST, "--cidfile " + path +
                             ": is there already; remove it if its container "
                             "is gone");
  return made.ok() ? Ok() : Error(made.code(), "--cidfile " + path);
}

// One that has its name, however it fares.
Status RemoveNamesake(const std::string& name) {
  const auto found = FindContainer(name);
  if (found.code() == ENOENT) return Ok();
  if (!found.ok()) return found.error();
  return RemoveContainer(*found, /*force=*/true, /*volumes=*/false);
}

// For who is elsewhere, or later, when a name means something else.
Status FindParts(const RunOptions& options, SupervisorInput& input) {
  UnionConfig config;
  config.layers = options.layers;
  TRY(ResolveLayers(options.store, config));
  std::error_code error;
  if (config.open_sealed)
    input.store = stdfs::absolute(TRY(StorePath(options.store)), error);
  for (const std::string& layer : config.layers)
    input.parts.push_back(IsSealedName(layer) ||
                                  !stdfs::is_directory(layer, error)
                              ? layer
                              : stdfs::absolute(layer, error).string());
  return Ok();
}

Status FindDirectories(const std::vector<std::string>& parts) {
  for (const std::string& layer : parts)
    if (!IsSealedName(layer))
      TRY(sys::Open(layer.c_str(), O_PATH | O_DIRECTORY)
              .With(layer + ": no such layer or directory"));
  return Ok();
}

Result<int> Run(RunOptions& options) {
  TRY(CheckTerminal(options));
  options.selinux = TRY(ChooseLabels(options.label_wish, options.notes));
  for (const std::string& note : options.notes) Complain(kUfsRun, note, 0);
  const ImageConfig image = TRY(FindImageConfig(options.store, options.layers))
                                .value_or(ImageConfig());
  TRY(CommandOf(options, image));
  if (options.name.empty()) options.name = TRY(RandomName(/*bytes=*/6));
  TRY(AddImageVolumes(image.volumes, options.mounts));
  if (options.publish_all) {
    TRY(AddExposed(options.exposed, options.ports));
    TRY(AddExposed(image.exposed_ports, options.ports));
  }
  TRY(PickPorts(options.ports));
  options.health_check = TRY(CombineHealth(options.health, image.healthcheck));
  SupervisorInput input{
      options, image, TRY(ContainersDirectory()), TRY(VolumesDirectory()), {},
      {},      {}};
  TRY(FindParts(options, input));
  if (geteuid() != 0) {
    input.maps = runtime::RootlessMaps();
    if (!input.maps.fallback_reason.empty())
      Complain(kUfsRun, "only one id is mapped: " + input.maps.fallback_reason,
               0);
  }
  Sweep(input.containers);
  TRY(ReserveCidfile(options.cidfile));
  Cleanup forget([&] {
    if (!options.cidfile.empty())
      (void)sys::UnlinkAt({AT_FDCWD, options.cidfile.c_str()});
  });
  if (options.replace) {
    // Not for one that could not start.
    TRY(FindDirectories(input.parts));
    const auto tried = TryToMake(input);
    if (!tried.ok() && SaidByUnion(tried.error())) return kExitNotStarted;
    if (!tried.ok()) return tried.error();
    TRY(RemoveNamesake(options.name).With("--replace " + options.name));
  }
  // One that comes while it starts is passed on once it runs.
  if (!options.detach && options.signal_proxy) HoldSignals();
  const auto supervisor = TRY(StartSupervisor(input));
  Attached attached = TRY(AwaitStart(supervisor.channel));
  if (attached.end == Attached::End::kEnded) {
    forget.Dismiss();
    if (!options.cidfile.empty())
      TRY(runtime::kernel::WriteFile({AT_FDCWD, options.cidfile.c_str()},
                                     options.name)
              .With("--cidfile " + options.cidfile));
  }
  if (attached.end == Attached::End::kEnded && !options.detach) {
    AttachOptions attach;
    attach.input = options.interactive;
    attach.terminal = options.terminal;
    attach.owner = true;
    attach.signals = options.signal_proxy;
    attach.detach_keys = TRY(ParseDetachKeys(options.detach_keys));
    attached = TRY(Attach(supervisor.channel, attach));
  }
  switch (attached.end) {
    case Attached::End::kEnded:
      if (options.detach) std::printf("%s\n", options.name.c_str());
      return attached.code;
    case Attached::End::kDetached:
      return kExitOk;
    case Attached::End::kFailed:
      if (attached.message.empty()) return attached.code;  // said already
      return Complain(kUfsRun, attached.message, attached.code);
    case Attached::End::kLost:
      break;
  }
  return Complain(kUfsRun, "the supervisor of " + options.name + " was killed",
                  kExitNotStarted);
}

}  // namespace

int RunRun(int argc, char** argv) {
  // It starts the program again: before anything is read that can be read once.
  std::vector<std::string> words = {"ufs"};
  words.insert(words.end(), argv, argv + argc);
  SealOwnProgram(words);
  RunOptions options;
  if (auto done = ParseRunOptions(argc, argv, options)) return *done;
  const auto code = Run(options);
  if (!code.ok())
    return Complain(kUfsRun, Explain(InOptionWords(code.error())),
                    kExitNotStarted);
  return FinishOutput(kUfsRun) == kExitOk ? *code : kExitNotStarted;
}

}  // namespace ufs
