#include "tools/subcommand.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "fs/option_text.h"
#include "tools/output.h"

namespace ufs {
namespace {

void PrintHelp(FILE* out, const char* who, const char* intro,
               std::span<const Command> commands) {
  std::fprintf(out, "Usage: %s VERB [arguments]\n\n%s\nVerbs:\n", who, intro);
  for (const Command& command : commands)
    std::fprintf(out, "  %-10s%s\n", command.name, command.summary);
  std::fprintf(out, "\n'%s VERB --help' tells its options.\n", who);
}

}  // namespace

int UnknownVerb(const char* who, std::string_view verb,
                std::span<const Command> commands) {
  std::vector<std::string_view> names;
  for (const Command& command : commands) names.push_back(command.name);
  const std::string_view nearest = NearestName(verb, names);
  const std::string hint = nearest.empty()
                               ? "see '" + std::string(who) + " --help'"
                               : "did you mean '" + std::string(nearest) + "'?";
  return Complain(who, "unknown verb '" + std::string(verb) + "'; " + hint,
                  kExitUsage);
}

int RunSubcommand(const char* who, const char* intro,
                  std::span<const Command> commands, int argc, char** argv) {
  const std::string_view verb = argc > 1 ? argv[1] : "";
  if (verb == "--help" || verb == "-h" || verb == "help") {
    PrintHelp(stdout, who, intro, commands);
    return FinishOutput(who);
  }
  if (verb.empty()) {
    PrintHelp(stderr, who, intro, commands);
    return kExitUsage;
  }
  const auto command =
      std::find_if(commands.begin(), commands.end(),
                   [&](const Command& c) { return c.name == verb; });
  if (command == commands.end()) return UnknownVerb(who, verb, commands);
  return command->run(argc - 1, argv + 1);
}

}  // namespace ufs
