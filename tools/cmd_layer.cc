// ufs layer: what is in the store of layers.
#include "tools/layer_commands.h"
#include "tools/subcommand.h"

namespace ufs {

int RunLayer(int argc, char** argv) {
  static constexpr Command kVerbs[] = {
      {"import", "Make a layer of a directory or a tar", RunLayerImport},
      {"export", "Write a layer as a tar", RunLayerExport},
      {"ls", "List layers", RunLayerLs},
      {"show", "Tell about one layer", RunLayerShow},
      {"tree", "List the files of a layer", RunLayerTree},
      {"tag", "Give a layer a name", RunLayerTag},
      {"untag", "Take a name away", RunLayerUntag},
      {"verify", "Read layers and compare every hash", RunLayerVerify},
      {"rm", "Remove layers", RunLayerRm},
  };
  return RunSubcommand(
      "ufs layer",
      "Layers are named by a name ('base', 'base:v2'), a digest, or the first\n"
      "digits of one.\n",
      kVerbs, argc, argv);
}

}  // namespace ufs
