#include "fs/find_objects.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <string_view>

#include "fs/open_chain.h"
#include "layerdb/base/log.h"
#include "layerdb/base/syscall.h"

namespace ufs {
namespace {

// Reads the tree for those of `wanted` that are left. A listing's numbers cost
// nothing, but may not be those that stat tells, as on the host's overlayfs
// over several file systems: `trust_listing` asks stat of those alone that it
// would find.
void Search(BorrowedFd tree, bool trust_listing, const OpenAnyDir& open,
            std::unordered_set<uint64_t>& wanted,
            std::vector<FoundObject>& found) {
  // A list, not recursion: trees may be deeper than our stack.
  std::vector<std::string> waiting = {""};
  while (!waiting.empty() && !wanted.empty()) {
    const std::string above = std::move(waiting.back());
    waiting.pop_back();
    const auto list = [&]() -> Status {
      const UniqueFd dir = TRY(open(TRY(OpenChain(tree, NamesIn(above)))));
      return sys::ForEachEntry(
          dir, [&](const char* name, uint8_t type, uint64_t ino) {
            const std::string path = above.empty() ? name : above + "/" + name;
            if (type == DT_DIR) waiting.push_back(path);
            if (trust_listing && !wanted.contains(ino)) return true;
            const auto stat = sys::Statx({dir, name});
            if (stat.ok() && wanted.erase(stat->stx_ino) != 0)
              found.push_back({stat->stx_ino, path});
            return !wanted.empty();
          });
    };
    if (const auto listed = list(); !listed.ok() && trust_listing)
      log::Warn("upper: " + above + ": " + listed.error().ToString());
  }
}

}  // namespace

Result<std::vector<FoundObject>> FindObjects(
    BorrowedFd tree, std::unordered_set<uint64_t> wanted,
    const OpenAnyDir& open) {
  std::vector<FoundObject> found;
  const uint64_t root = TRY(sys::Statx({tree})).stx_ino;
  if (wanted.erase(root) != 0) found.push_back({root, ""});
  for (const bool trust_listing : {true, false})
    Search(tree, trust_listing, open, wanted, found);
  // A path comes after those it begins with.
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  return found;
}

Result<UniqueFd> OpenFound(BorrowedFd tree, const FoundObject& found) {
  std::vector<std::string_view> names = NamesIn(found.path);
  std::string name;
  if (!names.empty()) {
    name = names.back();
    names.pop_back();
  }
  UniqueFd dir = TRY(OpenChain(tree, names));
  if (name.empty()) return dir;
  return sys::OpenAt({dir, name.c_str()}, O_PATH | O_NOFOLLOW);
}

}  // namespace ufs
