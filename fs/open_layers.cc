#include "fs/open_layers.h"

#include <cerrno>

#include "fs/frozen_upper.h"
#include "fs/host_layer.h"

namespace ufs {

Result<OpenedLayers> OpenLayers(std::span<const std::string> names,
                                const OpenSealedFn& open_sealed, FdCache& fds,
                                const MarkNames& marks) {
  OpenedLayers opened;
  for (size_t i = 0; i < names.size();) {
    if (IsFrozenName(names[i])) {
      const std::string path = names[i++].substr(kFrozenPrefix.size());
      opened.top_directory = path;
      opened.layers.push_back(TRY(HostLayer::OpenFrozen(path, fds, marks)));
      continue;
    }
    if (names[i].starts_with(kUpperPrefix)) {
      const std::string path = names[i++].substr(kUpperPrefix.size());
      opened.top_directory = path;
      opened.layers.push_back(TRY(HostLayer::OpenUpper(path, fds, marks)));
      continue;
    }
    if (!IsSealedName(names[i])) {
      opened.top_directory = names[i];
      opened.layers.push_back(TRY(HostLayer::Open(names[i++], fds, marks)));
      continue;
    }
    std::vector<Digest> run;
    for (; i < names.size() && IsSealedName(names[i]); ++i)
      run.push_back(TRY(Digest::Parse(names[i]).With("layer " + names[i])));
    if (!open_sealed)
      return Error(EINVAL, "layer " + run[0].ToString() + ": in no store");
    SealedRun sealed = TRY(open_sealed(run));
    opened.top_directory = opened.store = sealed.store;
    opened.layers.push_back(TRY(SealedLayer::Open(std::move(sealed))));
  }
  return opened;
}

}  // namespace ufs
