// The configuration that `spec` writes and `run` begins with: a shell in every
// namespace, with the file systems, capabilities and masks that runc gives.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "runtime/id_map.h"

namespace ufs::runtime {

// For root: without a user namespace. With `rootless`, a user namespace with
// these maps, and only what an ordinary user can mount.
nlohmann::ordered_json DefaultConfig(const IdMaps* rootless);

}  // namespace ufs::runtime
