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

std::vector<std::string_view> NamesIn(std::string_view path) {
  std::vector<std::string_view> names;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    names.push_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return names;
}

}  // namespace

Result<std::vector<FoundObject>> FindObjects(
    BorrowedFd tree, std::unordered_set<uint64_t> wanted,
    const OpenAnyDir& open) {
  std::vector<FoundObject> found;
  const auto look = [&](uint64_t ino, const std::string& path) {
    if (wanted.erase(ino) != 0) found.push_back({ino, path});
  };
  look(TRY(sys::Statx({tree})).stx_ino, "");
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
            look(ino, path);
            if (type == DT_DIR) waiting.push_back(path);
            return !wanted.empty();
          });
    };
    if (const auto listed = list(); !listed.ok())
      log::Warn("upper: " + above + ": " + listed.error().ToString());
  }
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
