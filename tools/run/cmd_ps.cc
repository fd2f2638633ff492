// ufs ps and ufs inspect: which containers there are, and all about one.
#include <time.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/command.h"
#include "tools/output.h"
#include "tools/run/commands.h"
#include "tools/run/exit_code.h"
#include "tools/run/find.h"

namespace ufs {
namespace {

using Json = nlohmann::ordered_json;
using Align = Table::Align;

struct Life {
  std::string status;  // as the manual page has them
  pid_t pid = 0;
};

Life LifeOf(const FoundContainer& found) {
  if (found.record.ended) return {"exited", 0};
  if (found.record.restarting) return {"restarting", 0};
  const auto container = found.Open();
  if (!container.ok()) return {"creating", 0};
  const auto now = container->Status();
  if (!now.ok() || *now == runtime::RunState::kStopped) return {"exited", 0};
  return {runtime::NameOf(*now), container->state().pid};
}

// How long ago; nothing for what is no time.
std::string Ago(const std::string& rfc3339) {
  tm parts{};
  if (strptime(rfc3339.c_str(), "%Y-%m-%dT%H:%M:%S", &parts) == nullptr)
    return "";
  const time_t then = timegm(&parts);
  const time_t now = time(nullptr);
  return FormatSeconds(now > then ? static_cast<uint64_t>(now - then) : 0);
}

std::string Describe(const RunRecord& record, const Life& life) {
  if (life.status == "exited" || life.status == "restarting") {
    std::string text =
        life.status + " (" + std::to_string(record.exit_code) + ")";
    if (record.out_of_memory) text += ", out of memory";
    if (const std::string ago = Ago(record.finished); !ago.empty())
      text += " " + ago + " ago";
    return text;
  }
  if (life.status == "creating") return life.status;
  std::string text = "up " + Ago(record.started);
  if (record.restarts > 0)
    text += ", restarted " + std::to_string(record.restarts) +
            (record.restarts == 1 ? " time" : " times");
  return life.status == "running" ? text : text + ", " + life.status;
}

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words)
    text += (text.empty() ? "" : " ") + word;
  return text;
}

Json ToJson(const FoundContainer& found) {
  const Life life = LifeOf(found);
  Json json = Json::parse(found.record.ToJson(), nullptr, false);
  json["status"] = life.status;
  json["pid"] = life.pid;
  json["directory"] = found.directory();
  return json;
}

void Print(const Json& json) {
  std::printf("%s\n",
              json.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
}

Result<std::vector<FoundContainer>> ListContainers(bool all) {
  const std::string root = TRY(ContainersDirectory());
  Sweep(root);
  std::vector<FoundContainer> containers;
  for (RunRecord& record : TRY(ListRecords(root)))
    if (all || !record.ended) containers.push_back({root, std::move(record)});
  return containers;
}

}  // namespace

int RunPs(int argc, char** argv) {
  constexpr char kWho[] = "ufs ps";
  bool all = false, quiet = false, json = false;
  ArgumentParser parser(kWho, "ufs ps [--all] [--quiet | --json]",
                        "Lists the containers of this user.", "");
  parser.add_flag("-a,--all", all, "Those too that have ended");
  parser.add_flag("-q,--quiet", quiet, "Names alone");
  parser.add_flag("--json", json, "For programs");
  if (auto done = parser.Parse(argc, argv)) return *done;
  const auto containers = ListContainers(all);
  if (!containers.ok())
    return Complain(kWho, Explain(containers.error()), kExitFailure);
  if (json) {
    Json list = Json::array();
    for (const FoundContainer& found : *containers)
      list.push_back(ToJson(found));
    Print(list);
  } else if (quiet) {
    for (const FoundContainer& found : *containers)
      std::printf("%s\n", found.record.name.c_str());
  } else {
    Table table({Align::kLeft, Align::kLeft, Align::kRight, Align::kLeft,
                 Align::kLeft, Align::kLeft});
    table.AddRow({"NAME", "STATUS", "PID", "PORTS", "LAYERS", "COMMAND"});
    for (const FoundContainer& found : *containers) {
      const Life life = LifeOf(found);
      table.AddRow({found.record.name, Describe(found.record, life),
                    life.pid == 0 ? "" : std::to_string(life.pid),
                    Join(found.record.ports),
                    EscapePath(Join(found.record.layers)),
                    EscapePath(Join(found.record.command))});
    }
    std::fputs(table.ToString().c_str(), stdout);
  }
  return FinishOutput(kWho);
}

int RunInspect(int argc, char** argv) {
  constexpr char kWho[] = "ufs inspect";
  std::vector<std::string> names;
  ArgumentParser parser(kWho, "ufs inspect CONTAINER...",
                        "Prints all that is known of containers, as JSON.\n"
                        "The configuration the runtime was given is "
                        "DIRECTORY/oci/NAME/config.json.",
                        "");
  parser.add_option("containers", names);
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (names.empty())
    return Complain(kWho, "no container given; see 'ufs inspect --help'",
                    kExitUsage);
  Json list = Json::array();
  int code = kExitOk;
  for (const std::string& name : names) {
    const auto found = FindContainer(name);
    if (found.ok())
      list.push_back(ToJson(*found));
    else
      code = Complain(kWho, Explain(found.error()), kExitFailure);
  }
  Print(list);
  const int finished = FinishOutput(kWho);
  return code == 0 ? finished : code;
}

}  // namespace ufs
