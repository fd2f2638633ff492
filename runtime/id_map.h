// Maps of user and group ids for a user namespace: which ones an ordinary user
// may have, and how they are written.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/spec.h"

namespace ufs::runtime {

struct IdMaps {
  std::vector<IdMapping> uids;
  std::vector<IdMapping> gids;
  // Why only one id is mapped, when newuidmap could not be used; else empty.
  std::string fallback_reason;
};

// Root of the namespace is the caller; the ranges of /etc/subuid and
// /etc/subgid follow from 1. With no ranges or no newuidmap: the caller alone.
IdMaps RootlessMaps();

// The first range of `owner`, by name or number, in the text of /etc/subuid.
// Lines that make no sense are skipped, as newuidmap does.
struct IdRange {
  uint32_t first = 0;
  uint32_t count = 0;
};
std::vector<IdRange> ParseSubIds(std::string_view text, std::string_view name,
                                 std::string_view number);

// "0 1000 1\n1 100000 65536\n".
std::string FormatIdMap(const std::vector<IdMapping>& mappings);

// Whether `id` of the container has a counterpart outside.
bool IsMapped(const std::vector<IdMapping>& mappings, uint32_t id);

// Gives process `pid`, the first in its user namespace, its maps: itself where
// the kernel lets this process, else by newuidmap and newgidmap.
Status WriteIdMaps(pid_t pid, const std::vector<IdMapping>& uids,
                   const std::vector<IdMapping>& gids);

}  // namespace ufs::runtime
