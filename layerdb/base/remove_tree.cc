#include "layerdb/base/remove_tree.h"

#include <fcntl.h>

#include <cerrno>
#include <optional>
#include <string>
#include <vector>

namespace ufs {
namespace {

constexpr mode_t kModeBits = 07777;
// Each level on the way down keeps a descriptor.
constexpr size_t kMostLevels = 64;

// The entries of one directory on the way down.
struct Level {
  UniqueFd fd;
  std::string name;  // in the level above
  std::vector<std::string> entries;
  // Its own, where that kept us out, who are not root: who has it open shall
  // see it again.
  std::optional<mode_t> mode;
};

Status LetIn(Level& level, sys::At at) {
  const mode_t mode = TRY(sys::Statx(at)).stx_mode & kModeBits;
  TRY(sys::ChmodAt(at, mode | 0700));
  level.mode = mode;
  return Ok();
}

Result<std::vector<std::string>> EntriesOf(BorrowedFd dir) {
  std::vector<std::string> entries;
  TRY(sys::ForEachEntry(dir, [&](const char* entry, uint8_t, uint64_t) {
    entries.emplace_back(entry);
    return true;
  }));
  return entries;
}

Result<Level> Descend(BorrowedFd dir, std::string name) {
  Level level{{}, std::move(name), {}, {}};
  const sys::At at{dir, level.name.c_str()};
  auto fd = sys::OpenAt(at, O_RDONLY | O_DIRECTORY);
  if (fd.code() == EACCES && LetIn(level, at).ok())
    fd = sys::OpenAt(at, O_RDONLY | O_DIRECTORY);
  level.fd = TRY(fd);
  level.entries = TRY(EntriesOf(level.fd));
  return level;
}

// Moves a directory from far down to the topmost level, to go from there.
Status Raise(Level& top, sys::At from) {
  for (unsigned number = 0;; ++number) {
    std::string name = ".raised." + std::to_string(number);
    const sys::At to{top.fd, name.c_str()};
    auto moved = sys::RenameAt2(from, to, RENAME_NOREPLACE);
    if (moved.code() == EEXIST) continue;
    // A directory that moves must be writable itself.
    if (moved.code() == EACCES) {
      TRY(sys::ChmodAt(from, 0700));
      moved = sys::RenameAt2(from, to, RENAME_NOREPLACE);
    }
    TRY(moved);
    top.entries.push_back(std::move(name));
    return Ok();
  }
}

// Somebody else may be removing the same.
Status OrGone(const Status& removed) {
  return removed.code() == ENOENT ? Ok() : removed;
}

bool IsDirectory(const Status& unlinked) { return unlinked.code() == EISDIR; }

}  // namespace

Status RemoveTree(sys::At at) {
  auto removed = sys::UnlinkAt(at);
  if (!IsDirectory(removed)) return OrGone(removed);
  removed = sys::UnlinkAt(at, AT_REMOVEDIR);
  if (removed.code() != ENOTEMPTY && removed.code() != EEXIST)
    return OrGone(removed);

  std::vector<Level> levels;
  levels.push_back(TRY(Descend(at.dir, at.name)));
  while (!levels.empty()) {
    Level& level = levels.back();
    if (level.entries.empty()) {
      const BorrowedFd above =
          levels.size() > 1 ? BorrowedFd(levels[levels.size() - 2].fd) : at.dir;
      TRY(OrGone(sys::UnlinkAt({above, level.name.c_str()}, AT_REMOVEDIR)));
      if (level.mode) (void)sys::ChmodAt({level.fd}, *level.mode);
      levels.pop_back();
      continue;
    }
    const std::string entry = std::move(level.entries.back());
    level.entries.pop_back();
    const sys::At below{level.fd, entry.c_str()};
    auto gone = sys::UnlinkAt(below);
    if (gone.code() == EACCES && !level.mode && LetIn(level, {level.fd}).ok())
      gone = sys::UnlinkAt(below);
    if (!IsDirectory(gone))
      TRY(OrGone(gone));
    else if (levels.size() < kMostLevels)
      levels.push_back(TRY(Descend(level.fd, entry)));
    else
      TRY(Raise(levels.front(), below));
  }
  return Ok();
}

Status RemoveContents(BorrowedFd dir) {
  for (const std::string& entry : TRY(EntriesOf(dir)))
    TRY(RemoveTree({dir, entry.c_str()}));
  return Ok();
}

}  // namespace ufs
