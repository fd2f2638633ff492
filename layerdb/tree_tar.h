// The canonical tar of a layer: what its diffID is the SHA-256 of, when the
// layer did not come as a tar. The same tree gives the same bytes, anywhere.
//
// Entries come as `find` visits them, names in the order of their bytes;
// whiteouts and opaque directories as the OCI image specification writes them
// (empty ".wh.NAME", ".wh..wh..opq" first in its directory), with no owner,
// mode or time; hard links to the name that came first. Implied directories are
// left out, as nothing is known of them.
#pragma once

#include <string>
#include <string_view>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "layerdb/byte_stream.h"
#include "layerdb/digest.h"
#include "layerdb/object_store.h"
#include "layerdb/tree_file.h"

namespace ufs {

// EINVAL, with the path, for a name that is a whiteout where layers are written
// as files: no file of a layer can have it.
Status CheckLayerName(std::string_view name, const std::string& path);

// EINVAL, naming it, for what no layer's tar can hold: a file called ".wh.*",
// or the whiteout of one; a socket. EUCLEAN for contents that do not have the
// hash they are named by.
Status WriteTreeTar(const TreeFile& tree, const OpenObjectFn& open_object,
                    ByteSink& sink);

// The SHA-256 of that.
Result<Digest> TreeTarDigest(const TreeFile& tree,
                             const OpenObjectFn& open_object);

}  // namespace ufs
