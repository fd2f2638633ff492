// ufs store: the keeping of the store of layers.
#include "tools/layer_commands.h"
#include "tools/subcommand.h"

namespace ufs {

int RunStore(int argc, char** argv) {
  static constexpr Command kVerbs[] = {
      {"df", "Show how much room it takes", RunStoreDf},
      {"gc", "Free what no layer needs", RunStoreGc},
      {"check", "Prove that it is sound", RunStoreCheck},
      {"repair", "Mend what is broken", RunStoreRepair},
  };
  return RunSubcommand("ufs store",
                       "The store keeps layers, and each file's contents once "
                       "for all of them.\n",
                       kVerbs, argc, argv);
}

}  // namespace ufs
