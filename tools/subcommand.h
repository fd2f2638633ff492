// Verbs that have verbs of their own: `ufs layer ls`, `ufs store gc`.
#pragma once

#include <span>
#include <string_view>

#include "tools/command.h"

namespace ufs {

// Runs the one that argv[1] names. `who` is "ufs layer"; `intro` stands above
// the list in its help.
int RunSubcommand(const char* who, const char* intro,
                  std::span<const Command> commands, int argc, char** argv);

// Says so, with the nearest one there is. Returns the exit code.
int UnknownVerb(const char* who, std::string_view verb,
                std::span<const Command> commands);

}  // namespace ufs
