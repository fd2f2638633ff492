#include "layerdb/store_io.h"

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "layerdb/base/cleanup.h"

namespace ufs {
namespace {

constexpr std::string_view kTemporaryPrefix = ".tmp.";
constexpr size_t kExtentBytes = 256 << 10;
// A store is four folders deep; anything deeper is not ours.
constexpr int kDeepest = 32;

Status RemoveTreeBelow(sys::At at, int depth) {
  const auto removed = sys::UnlinkAt(at);
  if (removed.ok() || removed.code() == ENOENT) return Ok();
  if (removed.code() != EISDIR && removed.code() != EPERM)
    return Error(removed.code());
  if (depth == 0) return Error(ELOOP);
  {
    const UniqueFd dir = TRY(sys::OpenAt(at, O_RDONLY | O_DIRECTORY));
    for (const std::string& name : TRY(ListNames({dir})))
      TRY(RemoveTreeBelow({dir, name.c_str()}, depth - 1));
  }
  return sys::UnlinkAt(at, AT_REMOVEDIR);
}

}  // namespace

Status WriteAll(BorrowedFd file, std::string_view data, uint64_t offset) {
  while (!data.empty()) {
    // What Pwrite leaves over had a reason, which the next call tells.
    const size_t wrote =
        TRY(sys::Pwrite(file, data.data(), data.size(), offset));
    data.remove_prefix(wrote);
    offset += wrote;
  }
  return Ok();
}

Result<std::string> ReadSmallFile(sys::At at, size_t limit) {
  const UniqueFd file = TRY(sys::OpenAt(at, O_RDONLY | O_NONBLOCK));
  std::string data(limit + 1, '\0');
  data.resize(TRY(sys::Pread(file, data.data(), data.size(), 0)));
  if (data.size() > limit) return Error(EFBIG);
  return data;
}

bool IsTemporaryName(std::string_view name) {
  return name.starts_with(kTemporaryPrefix);
}

std::string TemporaryNameFor(std::string_view name) {
  static std::atomic<uint64_t> count{0};
  return std::string(kTemporaryPrefix) + std::to_string(getpid()) + "." +
         std::to_string(count.fetch_add(1)) + "." +
         std::string(name.substr(0, 64));
}

Status ReplaceFile(BorrowedFd dir, const std::string& name,
                   std::string_view data) {
  const std::string temporary = TemporaryNameFor(name);
  Cleanup remove([&] { (void)sys::UnlinkAt({dir, temporary.c_str()}); });
  {
    const UniqueFd file = TRY(sys::OpenAt({dir, temporary.c_str()},
                                          O_WRONLY | O_CREAT | O_EXCL, 0644));
    TRY(WriteAll(file, data, 0));
    TRY(sys::FSync(file));
  }
  TRY(sys::RenameAt2({dir, temporary.c_str()}, {dir, name.c_str()}));
  remove.Dismiss();
  return sys::FSync(dir);
}

Result<std::vector<std::string>> ListNames(sys::At at) {
  const UniqueFd dir = TRY(sys::OpenAt(
      at.name[0] != '\0' ? at : sys::At{at.dir, "."}, O_RDONLY | O_DIRECTORY));
  std::vector<std::string> names;
  TRY(sys::ForEachEntry(dir, [&](const char* name, uint8_t, uint64_t) {
    names.emplace_back(name);
    return true;
  }));
  std::sort(names.begin(), names.end());
  return names;
}

Status ForEachExtent(BorrowedFd file,
                     const std::function<Status(std::string_view)>& on_data,
                     const std::function<Status(uint64_t)>& on_hole) {
  const auto buffer = std::make_unique<char[]>(kExtentBytes);
  uint64_t at = 0;
  while (true) {
    const auto data = sys::LSeek(file, static_cast<int64_t>(at), SEEK_DATA);
    if (data.code() == ENXIO) {  // a hole up to the end, or the end
      const uint64_t end = TRY(sys::LSeek(file, 0, SEEK_END));
      return end > at ? on_hole(end - at) : Ok();
    }
    // EINVAL: a file system that does not know; all of it is data then.
    if (!data.ok() && data.code() != EINVAL) return Error(data.code());
    if (data.ok() && *data > at) {
      TRY(on_hole(*data - at));
      at = *data;
    }
    const auto hole = sys::LSeek(file, static_cast<int64_t>(at), SEEK_HOLE);
    const uint64_t end = hole.ok() ? *hole : UINT64_MAX;
    while (at < end) {
      const size_t got = TRY(sys::Pread(
          file, buffer.get(), std::min<uint64_t>(kExtentBytes, end - at), at));
      if (got == 0) return Ok();
      TRY(on_data({buffer.get(), got}));
      at += got;
    }
  }
}

Status RemoveTree(sys::At at) { return RemoveTreeBelow(at, kDeepest); }

Result<UniqueFd> MakeDir(sys::At at, mode_t mode) {
  const auto made = sys::MkDirAt(at, mode);
  if (!made.ok() && made.code() != EEXIST) return Error(made.code());
  return sys::OpenAt(at, O_RDONLY | O_DIRECTORY);
}

}  // namespace ufs
