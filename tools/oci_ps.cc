// ufs oci ps: the processes of a container, by ourselves or by ps(1).
#include <spawn.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "runtime/kernel.h"
#include "runtime/programs.h"
#include "tools/cmd_oci.h"
#include "tools/output.h"

namespace ufs {
namespace {

// What the host's ps(1) prints when it is given these options.
Result<std::string> RunPs(const std::vector<std::string>& options) {
  constexpr size_t kPsBytesMax = 64 << 20;
  const std::string path = runtime::FindProgram("ps");
  if (path.empty())
    return Error(ENOENT,
                 "ps options are for ps(1), which is not installed; install "
                 "procps, or give none");
  std::vector<std::string> words = {"ps"};
  words.insert(words.end(), options.begin(), options.end());
  const auto argv = runtime::kernel::PointersTo(words);
  auto output = TRY(runtime::kernel::MakePipe());
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, output.write.get(), STDOUT_FILENO);
  pid_t pid = 0;
  const int error =
      posix_spawn(&pid, path.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return Error(error, path);
  output.write.reset();
  auto text = runtime::kernel::ReadAll(output.read, kPsBytesMax);
  output.read.reset();
  const int code =
      runtime::kernel::ExitCodeOf(TRY(runtime::kernel::WaitPid(pid)));
  if (!text.ok()) return std::move(text).error().With(path);
  // Why, it has said itself.
  if (code != 0)
    return Error(EINVAL, path + " exited with code " + std::to_string(code));
  return text;
}

std::vector<std::string> FieldsOf(const std::string& line) {
  std::istringstream rest(line);
  std::vector<std::string> fields;
  for (std::string field; rest >> field;) fields.push_back(field);
  return fields;
}

// Of what ps(1) prints the title and the lines of these processes.
Result<std::string> OnlyLinesOf(const std::vector<pid_t>& pids,
                                const std::string& text) {
  std::istringstream lines(text);
  std::string line;
  std::getline(lines, line);
  const auto titles = FieldsOf(line);
  const auto column = static_cast<size_t>(
      std::find(titles.begin(), titles.end(), "PID") - titles.begin());
  if (column == titles.size())
    return Error(EINVAL,
                 "couldn't find PID field in ps output; have ps print it, as "
                 "-ef and -o pid do");
  std::string kept = line + "\n";
  while (std::getline(lines, line)) {
    const auto fields = FieldsOf(line);
    if (column >= fields.size()) continue;
    const pid_t pid = std::atoi(fields[column].c_str());
    if (std::find(pids.begin(), pids.end(), pid) != pids.end())
      kept += line + "\n";
  }
  return kept;
}

std::string JsonOf(const std::vector<pid_t>& pids) {
  std::string list;
  for (pid_t pid : pids)
    list += (list.empty() ? "" : ",") + std::to_string(pid);
  return "[" + list + "]\n";
}

std::string TableOf(const std::vector<pid_t>& pids) {
  using enum Table::Align;
  Table table({kRight, kLeft});
  table.AddRow({"PID", "COMMAND"});
  for (pid_t pid : pids) {
    const std::string path = "/proc/" + std::to_string(pid) + "/cmdline";
    auto text = runtime::kernel::ReadFile(path);
    if (!text.ok()) continue;  // has ended
    std::replace(text->begin(), text->end(), '\0', ' ');
    table.AddRow({std::to_string(pid), EscapePath(*text)});
  }
  return table.ToString();
}

}  // namespace

Result<int> OciPs(const OciGlobals& globals,
                  const std::vector<std::string>& words) {
  std::string format = "table";
  OciArguments arguments;
  arguments.Value({"format", "f"}, format);
  // What stands behind the id is for ps(1), as with runc.
  auto plain = TRY(arguments.Parse(words, /*words_end_options=*/true));
  if (plain.empty()) return Error(EINVAL, "no container id given");
  const std::string id = plain.front();
  plain.erase(plain.begin());
  if (!plain.empty() && plain.front() == "--") plain.erase(plain.begin());
  TRY(CheckFormat(format));
  auto container = TRY(runtime::Container::Open(globals.root, id));
  if (container.cgroup().empty())
    return Error(ENOTSUP,
                 "ps needs a cgroup, and the container has none; as an "
                 "ordinary user have one delegated");
  const auto pids = TRY(container.cgroup().Pids());
  std::string text;
  if (format == "json") {
    text = JsonOf(pids);
  } else if (plain.empty()) {
    text = TableOf(pids);
  } else {
    text = TRY(OnlyLinesOf(pids, TRY(RunPs(plain))));
  }
  std::fputs(text.c_str(), stdout);
  return FinishOutput("ufs-oci ps");
}

}  // namespace ufs
