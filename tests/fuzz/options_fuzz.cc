// Mount options: what stands behind -o, in all its grammars.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "fs/id_map.h"
#include "fs/mount_options.h"
#include "fs/option_text.h"

namespace {

void Require(bool condition) {
  if (!condition) abort();
}

// Ids come back, but for those no range has.
void CheckIdMap(std::string_view text) {
  const auto map = ufs::IdMap::Parse(text);
  if (!map.ok()) return;
  for (const uint32_t id : {0u, 1u, 999u, 65534u, 100000u, UINT32_MAX}) {
    if (const auto host = map->ToHost(id)) Require(map->ToShown(*host) == id);
  }
}

void CheckOptions(std::string_view text) {
  for (const auto unknown :
       {ufs::UnknownOption::kRefuse, ufs::UnknownOption::kIgnore}) {
    ufs::MountOptionParser parser(unknown);
    const auto added = parser.Add(text);
    if (!added.ok()) {
      // The context is the whole message for the user.
      Require(!added.error().context().empty());
      continue;
    }
    const auto options = std::move(parser).Finish();
    if (!options.ok()) Require(!options.error().context().empty());
  }
}

// A directory list survives being written down.
void CheckLowerdir(std::string_view text) {
  for (const auto& directory : ufs::SplitLowerdir(text)) {
    const std::string escaped = ufs::EscapeLowerdir(directory);
    const auto again = ufs::SplitLowerdir(escaped);
    Require(again.size() == 1 && again[0] == directory);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  CheckOptions(text);
  CheckIdMap(text);
  CheckLowerdir(text);
  return 0;
}
