// What the words that name layers on a command line mean.
//
// A word with a slash is the path of a directory, if there is one. Any other is
// looked up in the store (a name with or without a tag, a digest, the first
// digits of one), then as a directory here; one that is both is refused. An
// image stands for all of its layers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fs/union_config.h"
#include "layerdb/base/result.h"
#include "layerdb/layer_store.h"

namespace ufs {

// Puts digests for the words in `config.layers` that mean layers of the store,
// and `open_sealed` to open them; other words stay. The store is opened for
// reading, if a word asks for it: no database, no lock on it. A store that is
// not there has no layers, unless it was named: by an argument, or, for a word
// that is no directory either, by the environment. The errors are complete
// sentences for a user.
Status ResolveLayers(const std::string& store, UnionConfig& config);

// How a container of the topmost image among the words is to be run; nullopt
// when none of them is an image.
Result<std::optional<ImageConfig>> FindImageConfig(
    const std::string& store, const std::vector<std::string>& words);

// Opens runs of layers out of a store, which keeps them from being removed for
// as long as they are open. `verify`: their contents are checked before they
// are first read. `index`: when what they have of names and attributes is.
OpenSealedFn OpenFrom(std::shared_ptr<LayerStore> store, bool verify,
                      LayerStore::IndexCheck index);

}  // namespace ufs
