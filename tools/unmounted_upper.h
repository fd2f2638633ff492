// What `ufs commit` and `ufs diff` make of an upper that is not mounted.
#pragma once

#include <string>
#include <vector>

#include "fs/union_config.h"
#include "layerdb/base/result.h"

namespace ufs {

struct UnmountedUpper {
  std::string path;
  std::string work;                 // empty: the usual one, beside it
  std::vector<std::string> layers;  // words of a command line, bottom to top
  std::string store;                // they are looked up in; empty: the usual
  bool user_xattr = false;          // its marks are user.overlay.*

  std::string WorkPath() const;
  // Whether they are trusted.overlay.*: others than root of the machine can
  // have written none of those, nor read them.
  bool HasTrustedMarks() const;
};

// Its layers, resolved, and what earlier commits have put between them and the
// upper. `verify`: contents of the store are checked as they are read. EBUSY
// where a commit did not come to its end; EINVAL for what looks like an upper
// that changes nothing, but is a mount point whose mount is gone.
Result<UnionConfig> LayersUnder(const UnmountedUpper& upper, bool verify);

}  // namespace ufs
