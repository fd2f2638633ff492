#include "layerdb/store_io.h"

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "layerdb/base/cleanup.h"

namespace ufs {
namespace {

constexpr std::string_view kTemporaryPrefix = ".tmp.";
constexpr size_t kPageBytes = 4096;

}  // namespace

Result<std::string> ReadSmallFile(sys::At at, size_t limit) {
  const UniqueFd file = TRY(sys::OpenAt(at, O_RDONLY | O_NONBLOCK));
  std::string data(limit + 1, '\0');
  // What fits a page comes in one piece: its end need not be asked for.
  data.resize(data.size() <= kPageBytes
                  ? TRY(sys::Read(file, data.data(), data.size()))
                  : TRY(sys::Pread(file, data.data(), data.size(), 0)));
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
  const UniqueFd dir = TRY(sys::OpenNoAtime(
      at.name[0] != '\0' ? at : sys::At{at.dir, "."}, O_RDONLY | O_DIRECTORY));
  std::vector<std::string> names;
  TRY(sys::ForEachEntry(dir, [&](const char* name, uint8_t, uint64_t) {
    names.emplace_back(name);
    return true;
  }));
  std::sort(names.begin(), names.end());
  return names;
}

Result<UniqueFd> MakeDir(sys::At at, mode_t mode) {
  const auto made = sys::MkDirAt(at, mode);
  if (!made.ok() && made.code() != EEXIST) return Error(made.code());
  return sys::OpenAt(at, O_RDONLY | O_DIRECTORY);
}

}  // namespace ufs
