// Exporting: a layer of a store becomes a tar again, the very one its digest is
// of.
#pragma once

#include "layerdb/base/result.h"
#include "layerdb/byte_stream.h"
#include "layerdb/digest.h"
#include "layerdb/layer_store.h"

namespace ufs {

// The layer's uncompressed tar, by its recipe, or else in the canonical form,
// or else unpacked from the blob that was kept. EUCLEAN when what came out has
// another digest: it must not be used then.
Status ExportTar(const LayerStore& store, const Digest& diff_id, ByteSink& out);

}  // namespace ufs
