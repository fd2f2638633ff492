// ufs layer: what is in the store of layers.
#include "tools/layer_commands.h"
#include "tools/subcommand.h"

namespace ufs {

int RunLayer(int argc, char** argv) {
  static constexpr Command kVerbs[] = {
      {"import", "Take in a directory, a tar or images", RunLayerImport},
      {"export", "Write a layer as a tar, or an image", RunLayerExport},
      {"image", "Make an image of layers", RunLayerImage},
      {"ls", "List images and layers", RunLayerLs},
      {"show", "Tell about one layer or image", RunLayerShow},
      {"tree", "List the files of a layer or image", RunLayerTree},
      {"diff", "Compare two layers or images", RunLayerDiff},
      {"tag", "Give a layer or image a name", RunLayerTag},
      {"untag", "Take a name away", RunLayerUntag},
      {"view", "Make what a first mount would", RunLayerView},
      {"verify", "Read layers and compare every hash", RunLayerVerify},
      {"rm", "Remove layers or images", RunLayerRm},
  };
  return RunSubcommand(
      "ufs layer",
      "Layers and images are named by a name ('base', 'base:v2'), a digest, or "
      "the first\ndigits of one.\n",
      kVerbs, argc, argv);
}

}  // namespace ufs
