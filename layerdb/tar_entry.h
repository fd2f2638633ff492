// TarEntry: one member of a tar archive, all its headers taken together.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ufs {

enum class TarType {
  kFile,
  kHardLink,
  kSymlink,
  kCharDevice,
  kBlockDevice,
  kDirectory,
  kFifo,
};

// Bytes of a sparse file that are there; between them are holes.
struct TarExtent {
  uint64_t offset = 0;
  uint64_t size = 0;
};

struct TarEntry {
  TarType type = TarType::kFile;
  // As the archive has it: any bytes but NUL; absolute, "./" or "../" too.
  // A directory's trailing slashes are kept.
  std::string path;
  std::string link_target;  // of kHardLink (a path in the archive), kSymlink
  mode_t mode = 0;          // permission bits, 07777
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t mtime_sec = 0;
  uint32_t mtime_nsec = 0;
  uint32_t dev_major = 0;
  uint32_t dev_minor = 0;
  uint64_t size_bytes = 0;  // of kFile: once unpacked
  // Sorted by name; no name twice.
  std::vector<std::pair<std::string, std::string>> xattrs;
  // Of a sparse file: in order, not overlapping, within size_bytes. For others
  // empty: all of it is there.
  bool sparse = false;
  std::vector<TarExtent> extents;
};

}  // namespace ufs
