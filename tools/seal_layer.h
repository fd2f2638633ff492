// What `ufs commit`, `ufs squash` and `ufs layer import` have in common: a tree
// becomes a layer of the store, under the digest of its canonical tar.
#pragma once

#include <memory>
#include <string>

#include "layerdb/base/result.h"
#include "layerdb/layer_store.h"

namespace ufs {

// Publishes what `ingest` has and names it, unless `name` is empty. A layer
// that the store has already gets the name alone.
Result<LayerInfo> SealIngest(LayerStore& store, Ingest& ingest,
                             const std::string& name);

// One line for a person, or an object for a program, on stdout.
void PrintSealed(const LayerInfo& layer, const std::string& name, bool as_json);

}  // namespace ufs
