// LayerNames: the names of layers, each a small file below names/ of a store,
// as git keeps its refs: no database is needed to resolve one or to keep one.
//
// A name is spelled as an image's: parts of letters, digits and "._-" between
// slashes, a host with a port in front if it likes, and a tag after a colon. No
// tag and the tag "latest" are the same. What reads as a whole digest is no
// name.
//
// Threads: reading from any; writers hold the store's lock.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "layerdb/digest.h"

namespace ufs {

// The one spelling of a name; EINVAL, saying why, for what is none.
Result<std::string> NormalizeLayerName(std::string_view name);

class LayerNames {
 public:
  // `dir` is names/, borrowed.
  explicit LayerNames(BorrowedFd dir) : dir_(dir) {}

  // REQUIRES: normalized names.
  // ENOENT when there is none, EUCLEAN when its file holds no digest.
  Result<Digest> Get(const std::string& name) const;
  // Durable on return. Fault points: name.set, name.remove.
  Status Set(const std::string& name, const Digest& digest);
  Status Remove(const std::string& name);

  // All of them; those whose file is damaged into `damaged`, by file name.
  Result<std::map<std::string, Digest>> All(
      std::vector<std::string>* damaged = nullptr) const;

 private:
  const BorrowedFd dir_;
};

}  // namespace ufs
