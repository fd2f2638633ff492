#include "fs/joined_contents.h"

#include <algorithm>
#include <cerrno>
#include <optional>

#include "layerdb/base/file_data.h"
#include "layerdb/base/syscall.h"

namespace ufs {

Status ReadJoined(BorrowedFd part, uint64_t size, const ChunkMap& map,
                  const NodeRef& rest,
                  const std::function<Status(std::string_view)>& on_data,
                  const std::function<Status(uint64_t)>& on_hole) {
  UniqueFd layer;
  std::optional<std::string_view> bytes;
  if (!map.Whole()) {
    bytes = rest.layer().InMemory(rest);
    if (!bytes) layer = TRY(rest.layer().Open(rest));
    const uint64_t there =
        bytes ? bytes->size() : TRY(sys::Statx({layer})).stx_size;
    if (there < map.limit())
      return Error(EIO, "only part of it was copied up, and not from " +
                            rest.layer().label() + ": " +
                            rest.layer().PathOf(rest) +
                            ", which is shorter; name the layers it lay over");
  }
  for (uint64_t at = 0; at < size;) {
    const ChunkMap::Run run = map.RunAt(at);
    const uint64_t end = std::min(run.end, size);
    if (run.in_upper)
      TRY(ForEachExtentIn(part, at, end, on_data, on_hole));
    else if (bytes)
      TRY(on_data(bytes->substr(at, end - at)));
    else
      TRY(ForEachExtentIn(layer, at, end, on_data, on_hole));
    at = end;
  }
  return Ok();
}

}  // namespace ufs
