// ufs ps and ufs inspect: which containers there are, and all about one.
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <span>

#include "tools/command.h"
#include "tools/output.h"
#include "tools/print_json.h"
#include "tools/run/commands.h"
#include "tools/run/find.h"
#include "tools/run/for_each.h"
#include "tools/run/format_option.h"
#include "tools/run/saved_config.h"

namespace ufs {
namespace {

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
  if (life.status == "creating" || life.status == "created") return life.status;
  std::string text = "up " + Ago(record.started);
  if (record.restarts > 0)
    text += ", restarted " + std::to_string(record.restarts) +
            (record.restarts == 1 ? " time" : " times");
  if (life.status != "running") text += ", " + life.status;
  // In docker's words.
  if (record.health) {
    const std::string& health = record.health->status();
    text += health == "starting" ? " (health: starting)" : " (" + health + ")";
  }
  return text;
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

// What --filter asks for. Of names and states one of those given will do, of
// labels all are meant.
struct Filters {
  std::vector<std::string> labels;  // "KEY" or "KEY=VALUE"
  std::vector<std::string> names;   // a part
  std::vector<std::string> states;
  std::vector<std::string> healths;  // "none" without a check
};

// As in the manual page.
constexpr const char* kStatuses[] = {"creating", "created",    "running",
                                     "paused",   "restarting", "exited"};
constexpr const char* kHealths[] = {"starting", "healthy", "unhealthy", "none"};

Status CheckKnown(const std::string& text, const std::string& value,
                  std::span<const char* const> known) {
  std::string all;
  for (const char* word : known) {
    if (value == word) return Ok();
    all += std::string(all.empty() ? "" : ", ") + word;
  }
  return Error(EINVAL, "--filter '" + text + "': there are " + all);
}

Result<Filters> ParseFilters(const std::vector<std::string>& texts) {
  Filters filters;
  for (const std::string& text : texts) {
    const size_t equals = std::min(text.find('='), text.size());
    const std::string key = text.substr(0, equals);
    const std::string value = text.substr(std::min(equals + 1, text.size()));
    std::vector<std::string>* const list = key == "label"    ? &filters.labels
                                           : key == "name"   ? &filters.names
                                           : key == "status" ? &filters.states
                                           : key == "health" ? &filters.healths
                                                             : nullptr;
    if (value.empty() || list == nullptr)
      return Error(EINVAL, "--filter '" + text +
                               "': label=KEY, label=KEY=VALUE, name=PART, "
                               "status=STATUS or health=HEALTH");
    if (list == &filters.states) TRY(CheckKnown(text, value, kStatuses));
    if (list == &filters.healths) TRY(CheckKnown(text, value, kHealths));
    list->push_back(value);
  }
  return filters;
}

bool HasLabel(const RunRecord& record, const std::string& wanted) {
  const size_t equals = wanted.find('=');
  const auto label = record.labels.find(wanted.substr(0, equals));
  return label != record.labels.end() &&
         (equals == wanted.npos || label->second == wanted.substr(equals + 1));
}

bool Matches(const FoundContainer& found, const Filters& filters) {
  const RunRecord& record = found.record;
  const auto has_label = [&](const std::string& label) {
    return HasLabel(record, label);
  };
  const auto has_name = [&](const std::string& part) {
    return record.name.find(part) != part.npos;
  };
  const auto has_state = [&](const std::string& state) {
    return LifeOf(found).status == state;
  };
  const auto has_health = [&](const std::string& health) {
    return health == (record.health ? record.health->status() : "none");
  };
  const auto& [labels, names, states, healths] = filters;
  return std::all_of(labels.begin(), labels.end(), has_label) &&
         (names.empty() || std::any_of(names.begin(), names.end(), has_name)) &&
         (states.empty() ||
          std::any_of(states.begin(), states.end(), has_state)) &&
         (healths.empty() ||
          std::any_of(healths.begin(), healths.end(), has_health));
}

// Those that have ended as well if `all`, or if a state is asked for.
Result<std::vector<FoundContainer>> ListContainers(bool all,
                                                   const Filters& filters) {
  const std::string root = TRY(ContainersDirectory());
  Sweep(root);
  all = all || !filters.states.empty();
  std::vector<FoundContainer> containers;
  for (RunRecord& record : TRY(ListRecords(root))) {
    FoundContainer found{root, std::move(record)};
    if ((all || !found.record.ended) && Matches(found, filters))
      containers.push_back(std::move(found));
  }
  return containers;
}

// Those made last alone, the newest first.
void KeepNewest(size_t count, std::vector<FoundContainer>& containers) {
  std::sort(containers.begin(), containers.end(),
            [](const FoundContainer& a, const FoundContainer& b) {
              return a.record.created > b.record.created;
            });
  if (containers.size() > count) containers.resize(count);
}

}  // namespace

int RunPs(int argc, char** argv) {
  constexpr char kWho[] = "ufs ps";
  bool all = false, quiet = false, json = false, latest = false,
       as_it_is = false;
  std::optional<int> last;
  std::vector<std::string> texts;
  ArgumentParser parser(kWho,
                        "ufs ps [--all] [--filter FILTER]... [--quiet | "
                        "--json]",
                        "Lists the containers of this user.", "");
  parser.add_flag("-a,--all", all, "Those too that have ended");
  parser
      .add_option("-f,--filter", texts,
                  "label=KEY[=VALUE], name=PART, status=STATUS, "
                  "health=HEALTH")
      ->type_name("FILTER")
      ->repeatable();
  parser.add_flag("-q,--quiet", quiet, "Names alone");
  parser.add_flag("--json", json, "For programs");
  FormatOption format;
  format.Declare(parser);
  parser.add_option("-n,--last", last, "Those made last, ended or not")
      ->type_name("N")
      ->range(1, 1 << 30);
  parser.add_flag("-l,--latest", latest, "The last alone: -n 1");
  parser.add_flag("--no-trunc", as_it_is, "As it is anyway");
  if (auto done = parser.Parse(argc, argv)) return *done;
  json |= format.json();
  if (latest) last = 1;
  const auto filters = ParseFilters(texts);
  if (!filters.ok())
    return Complain(kWho, Explain(filters.error()), kExitUsage);
  auto containers = ListContainers(all || last, *filters);
  if (!containers.ok())
    return Complain(kWho, Explain(containers.error()), kExitFailure);
  if (last) KeepNewest(static_cast<size_t>(*last), *containers);
  if (json) {
    Json list = Json::array();
    for (const FoundContainer& found : *containers)
      list.push_back(ToJson(found));
    PrintJson(list);
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
                        "DIRECTORY/config.json.",
                        "");
  parser.add_option("containers", names);
  FormatOption format;
  format.Declare(parser, "-f,--format");
  if (auto done = parser.Parse(argc, argv)) return *done;
  Json list = Json::array();
  const auto add = [&](const std::string& name) -> Status {
    const FoundContainer found = TRY(FindContainer(name));
    Json json = ToJson(found);
    // One that is being made has none yet.
    if (const auto config = LoadConfig(found.directory()); config.ok())
      json.update(DescribeConfig(*config));
    list.push_back(std::move(json));
    return Ok();
  };
  const int code = ForEach(kWho, "container", names, add);
  if (code == kExitUsage) return code;
  PrintIndented(list);
  return FinishWith(kWho, code);
}

}  // namespace ufs
