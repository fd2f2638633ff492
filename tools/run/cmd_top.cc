// ufs top and ufs stats: what runs in containers, and what they use.
#include <cstdio>

#include "tools/command.h"
#include "tools/output.h"
#include "tools/print_json.h"
#include "tools/run/commands.h"
#include "tools/run/find.h"
#include "tools/run/format_option.h"
#include "tools/run/processes.h"

namespace ufs {
namespace {

using Align = Table::Align;

void PrintProcesses(const std::vector<ProcessInfo>& processes) {
  Table table({Align::kRight, Align::kRight, Align::kRight, Align::kLeft,
               Align::kRight, Align::kRight, Align::kLeft});
  table.AddRow({"PID", "PARENT", "UID", "STATE", "CPU", "MEMORY", "COMMAND"});
  for (const ProcessInfo& process : processes)
    table.AddRow({std::to_string(process.pid), std::to_string(process.parent),
                  std::to_string(process.uid), process.state,
                  FormatMicros(process.cpu_s * 1e6),
                  FormatBytes(process.memory), EscapePath(process.command)});
  std::fputs(table.ToString().c_str(), stdout);
}

Json ToJson(const std::vector<ProcessInfo>& processes) {
  Json list = Json::array();
  for (const ProcessInfo& process : processes)
    list.push_back({{"pid", process.pid},
                    {"parent", process.parent},
                    {"uid", process.uid},
                    {"state", process.state},
                    {"cpu_seconds", process.cpu_s},
                    {"memory_bytes", process.memory},
                    {"command", process.command}});
  return list;
}

struct Usage {
  std::string name;
  size_t processes = 0;
  double cpu_s = 0;
  uint64_t memory = 0;
  Json cgroup;  // null without one
};

// A number of the cgroup's statistics, where the path leads to one.
std::optional<uint64_t> NumberAt(const Json& json, const char* path) {
  const Json::json_pointer pointer(path);
  if (!json.contains(pointer) || !json[pointer].is_number_unsigned())
    return std::nullopt;
  return json[pointer].get<uint64_t>();
}

Result<Usage> UsageOf(const FoundContainer& found) {
  auto container = TRY(found.Open());
  Usage usage;
  usage.name = found.record.name;
  for (const ProcessInfo& process : TRY(ProcessesOf(container))) {
    ++usage.processes;
    usage.cpu_s += process.cpu_s;
    usage.memory += process.memory;
  }
  if (container.cgroup().empty()) return usage;
  // What the kernel counts includes processes that have ended, and caches.
  usage.cgroup = Json::parse(container.cgroup().Stats(), nullptr, false);
  if (const auto ns = NumberAt(usage.cgroup, "/cpu/usage/total"))
    usage.cpu_s = static_cast<double>(*ns) / 1e9;
  if (const auto bytes = NumberAt(usage.cgroup, "/memory/usage/usage"))
    usage.memory = *bytes;
  return usage;
}

Result<std::vector<FoundContainer>> Choose(
    const std::vector<std::string>& names) {
  std::vector<FoundContainer> chosen;
  for (const std::string& name : names)
    chosen.push_back(TRY(FindContainer(name)));
  if (!names.empty()) return chosen;
  const std::string root = TRY(ContainersDirectory());
  Sweep(root);
  for (RunRecord& record : TRY(ListRecords(root)))
    if (!record.ended) chosen.push_back({root, std::move(record)});
  return chosen;
}

}  // namespace

int RunTop(int argc, char** argv) {
  constexpr char kWho[] = "ufs top";
  std::string name;
  bool json = false;
  ArgumentParser parser(kWho, "ufs top [--json] CONTAINER",
                        "Lists the processes of a container, by the host's "
                        "ids.",
                        "");
  parser.add_option("container", name);
  parser.add_flag("--json", json, "For programs");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (name.empty())
    return Complain(kWho, "no container given; see 'ufs top --help'",
                    kExitUsage);
  const auto look = [&]() -> Result<std::vector<ProcessInfo>> {
    auto container = TRY(TRY(FindContainer(name)).Open());
    return ProcessesOf(container);
  };
  const auto processes = look();
  if (!processes.ok())
    return Complain(kWho, Explain(processes.error()), kExitFailure);
  if (json)
    PrintJson(ToJson(*processes));
  else
    PrintProcesses(*processes);
  return FinishOutput(kWho);
}

int RunStats(int argc, char** argv) {
  constexpr char kWho[] = "ufs stats";
  std::vector<std::string> names;
  bool json = false;
  ArgumentParser parser(
      kWho, "ufs stats [--json] [CONTAINER...]",
      "Shows what containers use, those that run unless some are named: by "
      "their\ncgroups, else the sum of their processes.",
      "");
  parser.add_option("containers", names);
  parser.add_flag("--json", json, "For programs, with all that is counted");
  FormatOption format;
  format.Declare(parser);
  bool as_it_is = false;
  parser.add_flag("--no-stream,--no-trunc", as_it_is, "As it is anyway");
  if (auto done = parser.Parse(argc, argv)) return *done;
  json |= format.json();
  const auto chosen = Choose(names);
  if (!chosen.ok())
    return Complain(kWho, Explain(chosen.error()), kExitFailure);
  Json list = Json::array();
  Table table({Align::kLeft, Align::kRight, Align::kRight, Align::kRight});
  table.AddRow({"NAME", "PROCESSES", "CPU", "MEMORY"});
  for (const FoundContainer& found : *chosen) {
    const auto usage = UsageOf(found);
    // One that has ended meanwhile was not asked for by name.
    if (!usage.ok() && names.empty()) continue;
    if (!usage.ok())
      return Complain(kWho, Explain(usage.error()), kExitFailure);
    list.push_back({{"name", usage->name},
                    {"processes", usage->processes},
                    {"cpu_seconds", usage->cpu_s},
                    {"memory_bytes", usage->memory},
                    {"cgroup", usage->cgroup}});
    table.AddRow({usage->name, FormatCount(usage->processes),
                  FormatMicros(usage->cpu_s * 1e6),
                  FormatBytes(usage->memory)});
  }
  if (json)
    PrintJson(list);
  else
    std::fputs(table.ToString().c_str(), stdout);
  return FinishOutput(kWho);
}

}  // namespace ufs
