// ufs update: other limits for containers that run.
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "runtime/config.h"
#include "tools/command.h"
#include "tools/run/commands.h"
#include "tools/run/for_each.h"
#include "tools/run/limit_options.h"
#include "tools/run/option_words.h"
#include "tools/run/saved_config.h"

namespace ufs {
namespace {

constexpr char kUfsUpdate[] = "ufs update";

// The container first: what cannot be set there is not kept either.
Status Update(const FoundContainer& found, Json resources) {
  // Two at once would each keep what the other has not.
  const UniqueFd lock = TRY(LockRecord(found.root, found.record.name));
  runtime::Container container = TRY(found.Open());
  Json config = Json::object();
  // An older ufs has left none; then what was said has to be enough.
  if (auto saved = LoadConfig(found.directory()); saved.ok())
    config = std::move(saved).value();
  TRY(CompleteMemory(config["linux"]["resources"], resources)
          .With(found.record.name));
  runtime::Resources wanted = TRY(runtime::ParseResources(resources.dump()));
  if (wanted.memory_limit_bytes == -1 && !wanted.memory_swap_bytes) {
    wanted.memory_swap_bytes = -1;
    wanted.swap_if_counted = true;
  }
  const Status updated =
      container.Update(std::move(wanted), /*limit_swap=*/true)
          .With(found.record.name);
  if (!updated.ok()) return InOptionWords(updated.error());
  return SaveUpdates(found.directory(), resources);
}

}  // namespace

int RunUpdate(int argc, char** argv) {
  std::vector<std::string> names;
  LimitWords words;
  words.can_lift = true;
  ArgumentParser parser(
      kUfsUpdate, "ufs update [limits] CONTAINER...",
      "Changes the limits of containers that run, also for when they are "
      "restarted. What\nis not named stays as it is.",
      "Examples:\n"
      "  ufs update --memory 512m --cpus 1.5 web\n"
      "  ufs update --pids-limit 200 web db\n");
  parser.add_option("containers", names);
  DeclareLimits(parser, words);
  if (auto done = parser.Parse(argc, argv)) return *done;
  Json resources = Json::object();
  if (const Status said = CombineLimits(words, resources); !said.ok())
    return Complain(kUfsUpdate, Explain(said.error()), kExitUsage);
  if (resources.empty())
    return Complain(kUfsUpdate,
                    "no limits given, as --memory 512m; see 'ufs update "
                    "--help'",
                    kExitUsage);
  return ForEachContainer(kUfsUpdate, names, [&](const FoundContainer& found) {
    return Update(found, resources);
  });
}

}  // namespace ufs
