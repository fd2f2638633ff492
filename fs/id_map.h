// IdMap: how owner ids on the host are shown in the union, by ranges, as
// fuse-overlayfs's uidmapping= and gidmapping= give them.
// Threads: immutable after construction.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"

namespace ufs {

class IdMap {
 public:
  // The identity.
  IdMap() = default;

  // "HOST:SHOWN:LENGTH[:HOST:SHOWN:LENGTH...]"; a leading colon is allowed.
  // EINVAL for anything else, overlapping ranges included.
  static Result<IdMap> Parse(std::string_view text);

  bool identity() const { return ranges_.empty(); }

  // The id the union shows for a host id; the overflow id when no range has it.
  uint32_t ToShown(uint32_t host) const;
  // The host id for one the union shows; nullopt when no range has it.
  std::optional<uint32_t> ToHost(uint32_t shown) const;

 private:
  struct Range {
    uint32_t host;
    uint32_t shown;
    uint32_t length;
  };
  std::vector<Range> ranges_;
};

}  // namespace ufs
