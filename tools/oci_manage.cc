// ufs oci start, state, kill, delete, pause, resume, list: the verbs for a
// container that exists.
#include <cerrno>
#include <cstdio>

#include "runtime/kernel.h"
#include "runtime/names.h"
#include "tools/cmd_oci.h"
#include "tools/oci_environment.h"
#include "tools/output.h"

namespace ufs {
namespace {

using runtime::Container;
using Words = std::vector<std::string>;

Result<Container> OpenOnly(const OciGlobals& globals, const Words& words) {
  OciArguments none;
  return Container::Open(globals.root, TRY(OnlyId(TRY(none.Parse(words)))));
}

}  // namespace

Result<int> OciStart(const OciGlobals& globals, const Words& words) {
  Container container = TRY(OpenOnly(globals, words));
  TRY(StartAndNotify(container));
  return 0;
}

Result<int> OciState(const OciGlobals& globals, const Words& words) {
  const Container container = TRY(OpenOnly(globals, words));
  std::printf("%s\n", TRY(container.StateJson()).c_str());
  return FinishOutput("ufs-oci state");
}

Result<int> OciKill(const OciGlobals& globals, const Words& words) {
  bool all = false;
  OciArguments arguments;
  arguments.Flag({"all", "a"}, all);
  const Words plain = TRY(arguments.Parse(words));
  if (plain.empty() || plain.size() > 2)
    return Error(EINVAL, "kill takes a container id and a signal");
  const std::string name = plain.size() > 1 ? plain[1] : "TERM";
  const auto signal = runtime::ParseSignal(name);
  if (!signal) return Error(EINVAL, "\"" + name + "\" is no signal");
  Container container = TRY(Container::Open(globals.root, plain[0]));
  TRY(container.Kill(*signal, all));
  return 0;
}

Result<int> OciDelete(const OciGlobals& globals, const Words& words) {
  bool force = false;
  OciArguments arguments;
  arguments.Flag({"force", "f"}, force);
  const std::string id = TRY(OnlyId(TRY(arguments.Parse(words))));
  TRY(runtime::CheckId(id));
  auto container = Container::Open(globals.root, id);
  // With --force what is not there is as good as removed.
  if (force && container.code() == ENOENT) return 0;
  auto removed = TRY(std::move(container)).Delete(force);
  if (force && removed.code() == ENOENT) return 0;
  TRY(std::move(removed));
  return 0;
}

Result<int> OciPause(const OciGlobals& globals, const Words& words) {
  Container container = TRY(OpenOnly(globals, words));
  TRY(container.Pause());
  return 0;
}

Result<int> OciResume(const OciGlobals& globals, const Words& words) {
  Container container = TRY(OpenOnly(globals, words));
  TRY(container.Resume());
  return 0;
}

Result<int> OciList(const OciGlobals& globals, const Words& words) {
  bool quiet = false;
  std::string format = "table";
  OciArguments arguments;
  arguments.Flag({"quiet", "q"}, quiet).Value({"format", "f"}, format);
  if (!TRY(arguments.Parse(words)).empty())
    return Error(EINVAL, "list takes no container id");
  TRY(CheckFormat(format));
  using enum Table::Align;
  Table table({kLeft, kRight, kLeft, kLeft, kLeft, kLeft});
  table.AddRow({"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"});
  std::string list;
  for (const std::string& id : TRY(runtime::ListIds(globals.root))) {
    const auto container = Container::Open(globals.root, id);
    if (!container.ok()) continue;  // removed since
    if (quiet) {
      std::printf("%s\n", id.c_str());
      continue;
    }
    const runtime::RunState now = TRY(container->Status());
    const pid_t pid =
        now == runtime::RunState::kStopped ? 0 : container->state().pid;
    table.AddRow({id, std::to_string(pid), runtime::NameOf(now),
                  EscapePath(container->state().bundle),
                  container->state().created, container->state().owner});
    list += (list.empty() ? "[" : ",") + TRY(container->StateJson());
  }
  // null for none, as runc has it.
  if (!quiet && format == "json")
    std::printf("%s\n", list.empty() ? "null" : (list + "]").c_str());
  if (!quiet && format == "table") std::fputs(table.ToString().c_str(), stdout);
  return FinishOutput("ufs-oci list");
}

}  // namespace ufs
