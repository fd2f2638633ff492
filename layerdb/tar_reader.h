// TarReader: reads a tar archive from a stream, strictly: what two readers
// could take for two things, and what is damaged, is refused with EBADMSG and
// the offset or entry named.
//
// Understood: v7, ustar, pax (local and global), GNU long names and links,
// sparse files (old GNU and pax 0.0, 0.1, 1.0), base-256 numbers, star's
// prefix; xattrs as SCHILY, LIBARCHIVE and RHT keywords. Refused: other types
// of entries (multi-volume, incremental), ids that do not fit 32 bits, an
// archive without its end mark.
// Names are bytes, as they are. What a path means is not its concern: it may be
// absolute or lead out.
//
// Memory: a buffer of 256 KiB, one entry, its headers (TarLimits).
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "layerdb/base/result.h"
#include "layerdb/byte_stream.h"
#include "layerdb/tar_entry.h"
#include "layerdb/tar_header.h"
#include "layerdb/tar_pax.h"

namespace ufs {

struct TarLimits {
  // Extended headers of one entry together, and those of the whole archive.
  uint64_t header_bytes = 4 << 20;
  // Some writers leave it out. Without it, who knows no digest cannot know that
  // there is no more.
  bool needs_end_mark = true;
};

// Hears of every byte of the archive that is not handed out as file contents,
// in order: headers, padding, end mark.
class TarObserver {
 public:
  virtual ~TarObserver() = default;
  virtual Status OnRaw(std::string_view bytes) = 0;
};

class TarReader {
 public:
  // Borrows both; `observer` may be null.
  explicit TarReader(ByteSource& source, TarObserver* observer = nullptr,
                     const TarLimits& limits = {});
  TarReader(const TarReader&) = delete;
  TarReader& operator=(const TarReader&) = delete;

  // The next entry, or false at the end, after the whole stream has been read.
  // Contents that were not asked for are skipped.
  Result<bool> Next(TarEntry& entry);

  // A run of the entry's contents, from `offset` in the file on. Runs come in
  // order; between them are holes. Empty at the end. Valid until the next call.
  struct Run {
    uint64_t offset = 0;
    std::string_view bytes;
  };
  Result<Run> ReadRun();

  // Contents of the entry that the archive holds, holes not counted.
  uint64_t stored_bytes() const { return stored_bytes_; }
  // Of the stream, that were used so far.
  uint64_t offset() const { return offset_; }

 private:
  struct Header;

  Result<std::string_view> Peek(size_t count);
  Status Use(size_t count, bool raw);
  Result<bool> ReadBlock(tar::Block& block);
  Result<std::string> ReadExtended(uint64_t size, std::string_view what);
  Status SkipRaw(uint64_t count);
  Status FinishContents();
  Status ReadEnd();
  Result<bool> ReadHeader(Header& header);
  Status ReadMeta(char type, uint64_t size, Header& header);
  Status Decode(const Header& header, TarEntry& entry);
  Status DecodeNames(const Header& header, TarEntry& entry);
  Status DecodeType(const Header& header, TarEntry& entry);
  Status DecodeSparse(const Header& header, TarEntry& entry);
  Status ReadGnuMap(const Header& header, TarEntry& entry);
  Status ReadPaxMap(TarEntry& entry);
  Status CheckSparse(const TarEntry& entry) const;
  Error Bad(std::string_view why) const;

  ByteSource& source_;
  TarObserver* const observer_;
  const TarLimits limits_;
  const std::unique_ptr<char[]> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t offset_ = 0;
  uint64_t header_offset_ = 0;
  tar::PaxRecords global_;
  uint64_t global_bytes_ = 0;

  // Of the present entry.
  uint64_t stored_bytes_ = 0;
  uint64_t left_ = 0;     // contents not read yet
  uint64_t padding_ = 0;  // after them
  std::vector<TarExtent> extents_;
  size_t extent_ = 0;         // which one the next bytes belong to
  uint64_t extent_used_ = 0;  // and how many of its were read
};

}  // namespace ufs
