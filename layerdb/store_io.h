// Small helpers for files of a store.
#pragma once

#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/file_data.h"
#include "layerdb/base/result.h"
#include "layerdb/base/syscall.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

// Nothing in a store is written twice; the store's folder decides who may read.
inline constexpr mode_t kStoreFileMode = 0444;

// No honest description of a layer, and no list of what a view merges, is
// larger.
inline constexpr size_t kMaxInfoBytes = 64 << 10;
inline constexpr size_t kMaxRunBytes = 1 << 20;

// Whether an errno says that there is no room.
inline bool IsFull(int code) { return code == ENOSPC || code == EDQUOT; }

// All of a small file. EFBIG when it has more than `limit` bytes.
Result<std::string> ReadSmallFile(sys::At at, size_t limit);

// Makes `name` in `dir` hold `data`, durably and all at once: a temporary file
// beside it, fsync, rename, fsync of `dir`.
Status ReplaceFile(BorrowedFd dir, const std::string& name,
                   std::string_view data);

// What ReplaceFile calls its temporary files; left behind by a crash.
bool IsTemporaryName(std::string_view name);
std::string TemporaryNameFor(std::string_view name);

// The names in a directory, sorted, read before any is acted upon.
Result<std::vector<std::string>> ListNames(sys::At dir);

// Opens the directory `name`, making it first where it is missing.
Result<UniqueFd> MakeDir(sys::At at, mode_t mode);

}  // namespace ufs
