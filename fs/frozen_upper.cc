#include "fs/frozen_upper.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "fs/marks.h"
#include "layerdb/base/syscall.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

constexpr size_t kMaxDigestBytes = 256;

}  // namespace

Result<uint64_t> UpperTag(const std::string& ufs) {
  const auto stat = TRY(sys::Statx({AT_FDCWD, ufs.c_str()}).With(ufs));
  return LayerTag(stat);
}

Result<std::vector<unsigned>> FrozenNumbers(BorrowedFd ufs) {
  std::vector<unsigned> numbers;
  auto dir = sys::OpenAt({ufs, kFrozenDir}, O_RDONLY | O_DIRECTORY);
  if (dir.code() == ENOENT) return numbers;
  const UniqueFd fd = TRY(std::move(dir));
  TRY(sys::ForEachEntry(fd, [&](const char* name, uint8_t, uint64_t) {
    unsigned number = 0;
    const char* const end = name + strlen(name);
    const auto parsed = std::from_chars(name, end, number);
    if (parsed.ec == std::errc() && parsed.ptr == end)
      numbers.push_back(number);
    return true;
  }));
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

Result<std::vector<std::string>> FrozenNames(const std::string& work) {
  std::vector<std::string> names;
  const std::string path = work + "/ufs";
  auto opened = sys::Open(path.c_str(), O_PATH | O_DIRECTORY);
  if (opened.code() == ENOENT || opened.code() == ENOTDIR) return names;
  const UniqueFd ufs = TRY(std::move(opened).With("work directory " + work));
  for (const unsigned number :
       TRY(FrozenNumbers(ufs).With("work directory " + work)))
    names.push_back(std::string(kFrozenPrefix) + path + "/" + kFrozenDir + "/" +
                    std::to_string(number));
  return names;
}

Status NoteLayerOf(std::string_view frozen_name, std::string_view digest) {
  const std::string path(frozen_name.substr(kFrozenPrefix.size()));
  const UniqueFd dir =
      TRY(sys::Open(path.c_str(), O_RDONLY | O_DIRECTORY).With(path));
  return ReplaceFile(dir, kFrozenLayer, digest).With(path);
}

Result<std::vector<std::string>> LayersOfFrozen(BorrowedFd ufs) {
  std::vector<std::string> layers;
  for (const unsigned number : TRY(FrozenNumbers(ufs))) {
    const std::string file = std::string(kFrozenDir) + "/" +
                             std::to_string(number) + "/" + kFrozenLayer;
    auto layer = ReadSmallFile({ufs, file.c_str()}, kMaxDigestBytes);
    if (layer.code() == ENOENT) return std::vector<std::string>();
    layers.push_back(TRY(std::move(layer).With(file)));
  }
  return layers;
}

}  // namespace ufs
