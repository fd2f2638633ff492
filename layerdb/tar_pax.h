// The records of pax extended headers: "LENGTH KEYWORD=VALUE\n".
// POSIX.1-2017 pax(1), "pax Extended Header"; star(5) for SCHILY.xattr.* and
// SCHILY.acl.*; libarchive's tar(5) for LIBARCHIVE.xattr.*; GNU tar's manual,
// "PAX 0" and "PAX 1", for GNU.sparse.*.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/tar_entry.h"

namespace ufs::tar {

// What extended headers say; what they do not is not set.
struct PaxRecords {
  std::optional<std::string> path, link_target;
  std::optional<uint64_t> size, uid, gid;
  std::optional<std::pair<int64_t, uint32_t>> mtime;  // seconds, nanoseconds
  std::optional<mode_t> acl_mode;  // what an access ACL makes of the mode
  // std::less<> so that a string_view finds its string.
  std::map<std::string, std::string, std::less<>> xattrs;
  // Of attributes that a record gives as text which cannot be read. It counts
  // for nothing where another gives the attribute itself.
  std::map<std::string, Error, std::less<>> unreadable;

  struct Sparse {
    bool present = false;
    std::optional<uint64_t> major, minor, real_size;
    std::optional<std::string> name;
    std::vector<TarExtent> extents;          // formats 0.0 and 0.1
    std::optional<uint64_t> pending_offset;  // 0.0: its size comes next
  } sparse;
};

// Adds the records of one header. A later record of a keyword wins; an empty
// value takes the keyword back. Unknown keywords are passed over. EBADMSG names
// what is wrong.
Status ParsePax(std::string_view text, PaxRecords& records);

// One record.
std::string FormatPax(std::string_view keyword, std::string_view value);

// "123.456" with a sign and up to nine digits kept after the point.
Result<std::pair<int64_t, uint32_t>> ParsePaxTime(std::string_view text);
std::string FormatPaxTime(int64_t seconds, uint32_t nanoseconds);

// Decimal digits, all of `text`.
Result<uint64_t> ParseDecimal(std::string_view text);

inline constexpr std::string_view kPaxXattr = "SCHILY.xattr.";
// The keyword of an attribute: as GNU tar's, with %3D for '=' and %25 for '%'.
std::string PaxXattrKeyword(std::string_view name);
// No file system of Linux holds extents of a file by the million.
inline constexpr size_t kMaxExtents = 1 << 20;

}  // namespace ufs::tar
