// What the commands about layers share: which store, and what they say when it
// fails.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "layerdb/layer_store.h"
#include "tools/command.h"

namespace ufs {

// Of the option --store, which may be empty: then $UFS_STORE, else the state
// directory (state_dir.h). Arms $UFS_FAULT.
Result<std::shared_ptr<LayerStore>> OpenStore(const std::string& option,
                                              LayerStore::Access access);

class StoreOption {
 public:
  // Adds --store DIR.
  explicit StoreOption(ArgumentParser& parser);

  Result<std::shared_ptr<LayerStore>> Open(LayerStore::Access access) const {
    return OpenStore(path_, access);
  }

 private:
  std::string path_;
};

// The error of a verb that writes to a store, for a person; where there is no
// room, also what gives some.
std::string ExplainWriting(const Error& error);

// "3f2a0c91d2e4": enough of a digest for people, and for Resolve.
std::string ShortDigest(const Digest& digest);
// Local time, to the minute.
std::string FormatTime(int64_t seconds);
// "NAME" or, for a layer without one, its short digest.
std::string Title(const LayerInfo& info);

}  // namespace ufs
