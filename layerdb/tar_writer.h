// TarWriter: writes tar archives in one canonical form, so that the same
// entries are the same bytes wherever and whenever they are written.
//
// The form: ustar headers with zero-padded octal numbers and no user or group
// names; what does not fit there (long names, nanoseconds, big numbers, xattrs)
// in a pax header before it, its records sorted by keyword; sparse files
// written out; two blocks of zeros at the end and no more. Every reader of pax
// archives takes it.
//
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "layerdb/base/result.h"
#include "layerdb/byte_stream.h"
#include "layerdb/tar_entry.h"

namespace ufs {

// The blocks before an entry's contents. The entry is taken as not sparse.
// A directory's path should end in '/'. REQUIRES: no NUL in its names.
std::string EncodeTarHeader(const TarEntry& entry);

class TarWriter {
 public:
  // Borrows `sink`.
  explicit TarWriter(ByteSink& sink) : sink_(sink) {}
  TarWriter(const TarWriter&) = delete;
  TarWriter& operator=(const TarWriter&) = delete;

  // Begins an entry. EINVAL when contents of the one before are missing.
  Status Begin(const TarEntry& entry);
  // Contents of a file: size_bytes in all. EINVAL for more.
  Status Write(std::string_view bytes);
  Status WriteZeros(uint64_t count);
  // The end mark. Once.
  Status Finish();

 private:
  Status EndEntry();

  ByteSink& sink_;
  uint64_t left_ = 0;
  uint64_t padding_ = 0;
};

}  // namespace ufs
