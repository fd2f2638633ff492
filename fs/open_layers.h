// Opens the layers that a union is made of.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fs/layer.h"
#include "fs/sealed_layer.h"

namespace ufs {

class FdCache;
class MarkNames;

// What is behind a run of sealed layers, bottom to top.
using OpenSealedFn = std::function<Result<SealedRun>(std::span<const Digest>)>;

struct OpenedLayers {
  // Bottom to top. A run of consecutive sealed layers has become one.
  std::vector<std::unique_ptr<Layer>> layers;
  // The host's directory that the topmost is kept in; empty without layers.
  std::string top_directory;
  std::string store;  // of the sealed ones, if there are any
};

// `names`, bottom to top: the path of a directory, an upper's name, a frozen
// upper's (frozen_upper.h), or a digest of a sealed layer, for which
// `open_sealed` is called. `fds` and `marks` are borrowed and outlive the
// layers. EINVAL for what is none of these; else as HostLayer::Open and
// `open_sealed`.
Result<OpenedLayers> OpenLayers(std::span<const std::string> names,
                                const OpenSealedFn& open_sealed, FdCache& fds,
                                const MarkNames& marks);

// As a layer's name among others: this, and the path of an upper, which is read
// as such.
inline constexpr std::string_view kUpperPrefix = "upper:";

// Whether a name of a layer is that of a sealed one.
inline bool IsSealedName(std::string_view name) {
  return name.starts_with("sha256:");
}

}  // namespace ufs
