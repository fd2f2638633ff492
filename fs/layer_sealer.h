// Sealing: a directory, such as an upper, becomes the tree of a hashed layer.
// Put over the same layers in its place, the layer shows what the directory
// did.
//
// Only what is in the directory is walked, so the cost is that of the changes.
// Three marks have no place in a sealed layer and are resolved: a metacopy, or
// a file that is there in part, gets its contents, a renamed directory all that
// it shows, and a hard link of the layers that was changed is written under
// each of its names (for that alone, the names of the layers are walked). A
// socket is left out, as no tar can hold one, and what was beneath it stays
// hidden.
//
// Nobody may change the directory meanwhile; who is not sure of that seals it
// again into the same stage, and then only what was changed is read again.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "fs/open_layers.h"
#include "fs/sealed_contents.h"
#include "layerdb/base/result.h"
#include "layerdb/object_stage.h"
#include "layerdb/tree_builder.h"

namespace ufs {

struct SealSource {
  std::string directory;
  // That it lay over, bottom to top, as UnionConfig's. A directory without
  // marks that lead there needs none.
  std::vector<std::string> layers;
  OpenSealedFn open_sealed;   // needed with sealed ones
  std::string index;          // of an upper: WORK/ufs/index; empty: none
  bool trusted_marks = true;  // trusted.overlay.*, else user.overlay.*
  // Borrowed: what `objects` has of an earlier pass. Null: nothing.
  SealedContents* contents = nullptr;
  // What fails is passed over, to be returned at the end: for a pass over a
  // directory that somebody may be changing.
  bool keep_going = false;
  // Paths ("/dev") that were made to mount something there: left out where the
  // layers have nothing and all there is an empty directory or file of root's,
  // as it was made. A directory may hold others of them.
  std::set<std::string> places;
  // Borrowed: gets the paths of the sockets that were left out.
  std::set<std::string>* sockets = nullptr;
};

// `tree` is empty; contents go to `objects`. ENOENT for a mark that leads
// into layers that are not named; errors name layer and path.
Status SealDirectory(const SealSource& source, TreeBuilder& tree,
                     ObjectStage& objects);

}  // namespace ufs
