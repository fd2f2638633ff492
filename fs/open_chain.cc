#include "fs/open_chain.h"

#include <fcntl.h>

#include <algorithm>
#include <climits>
#include <string>

#include "layerdb/base/syscall.h"

namespace ufs {
namespace {

constexpr uint64_t kResolve =
    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

}  // namespace

Result<UniqueFd> OpenChain(BorrowedFd base,
                           const std::vector<std::string_view>& names) {
  UniqueFd at;
  std::string path;
  const auto step = [&]() -> Status {
    at = TRY(sys::OpenAt2(at.valid() ? BorrowedFd(at) : base,
                          path.empty() ? "." : path.c_str(),
                          O_PATH | O_DIRECTORY | O_NOFOLLOW, kResolve));
    path.clear();
    return Ok();
  };
  for (const std::string_view name : names) {
    if (path.size() + name.size() + 2 > PATH_MAX) TRY(step());
    if (!path.empty()) path += '/';
    path += name;
  }
  TRY(step());
  return at;
}

std::vector<std::string_view> NamesIn(std::string_view path) {
  std::vector<std::string_view> names;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    names.push_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return names;
}

}  // namespace ufs
