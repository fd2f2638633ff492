// What `ufs commit`, `ufs squash` and `ufs layer import` have in common: a tree
// becomes a layer of the store, under the digest of its canonical tar.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "layerdb/base/result.h"
#include "layerdb/layer_store.h"
#include "tools/progress.h"

namespace ufs {

// What takes time of it: publishes the contents that `ingest` has, and tells
// the digest of the layer it would be. `progress` hears of contents that are
// read for it.
Result<Digest> PrepareIngest(LayerStore& store, Ingest& ingest,
                             Progress& progress);
// The rest: the layer is there, under `name`, unless that is empty. One that
// the store has already gets the name alone.
Result<LayerInfo> FinishIngest(LayerStore& store, Ingest& ingest,
                               const Digest& digest, const std::string& name);
// Both.
Result<LayerInfo> SealIngest(LayerStore& store, Ingest& ingest,
                             const std::string& name, Progress& progress);

// Tells on stderr what SealDirectory left out.
void WarnOfSockets(std::string_view who, const std::set<std::string>& sockets);
// And what is mounted below `directory`: a layer is of one file system.
void WarnOfMounts(std::string_view who, const std::string& directory);

// The digest, or an object for a program, on stdout.
void PrintSealed(const LayerInfo& layer, const std::string& name, bool as_json);

}  // namespace ufs
