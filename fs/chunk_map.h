// ChunkMap: which bytes of a file that is partly in the upper are there, and
// which are still those of the layer. Below `limit` a chunk is the upper's once
// it was added; at and past `limit` everything is the upper's, so that a file
// that grows copies nothing.
//
// It is kept in a mark of the upper file (fs/FORMAT.md), in two versions: what
// is there, and what is known to be on disk. After a power cut only the second
// counts, as the first may be ahead of the data; after a killed daemon the
// first does, as the kernel still has the data. The boot id tells them apart.
//
// Threads: a value, guarded by whoever owns it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"

namespace ufs {

// Names one run of this kernel: 16 bytes from the kernel, or, where it tells
// none, bytes nobody else has, so that what is not known to be on disk is not
// trusted.
const std::string& BootId();

class ChunkMap {
 public:
  // The smallest chunk: a smaller one saves room and no time, a larger one
  // costs time (X16 in bench/EXPERIMENTS.md). Large files have larger ones, so
  // that a map fits in an attribute of any host.
  static constexpr uint64_t kMinChunkBytes = 64 << 10;
  static constexpr uint64_t kMaxChunks = 8192;

  // Of a file of which nothing is in the upper yet. REQUIRES: size_bytes > 0.
  explicit ChunkMap(uint64_t size_bytes);

  // EIO, with the cause, for a damaged mark. `boot_id` is that of this boot;
  // `file_bytes` the size of the upper file, past which nothing is the layer's.
  static Result<ChunkMap> Parse(std::string_view mark, std::string_view boot_id,
                                uint64_t file_bytes);
  // Always as long as at first, so that an update needs no space.
  std::string Format(std::string_view boot_id) const;

  uint64_t limit() const { return limit_; }
  // Whether the mark it was parsed from counted past the end of the file: what
  // grows there must not be taken for the layer's again.
  bool was_long() const { return was_long_; }
  uint64_t chunk_bytes() const { return uint64_t{1} << chunk_log2_; }

  // A run of bytes from one place.
  struct Run {
    bool in_upper = false;
    uint64_t end = 0;  // UINT64_MAX: to the end of the file, and on
  };
  Run RunAt(uint64_t offset) const;
  // Whether all of [begin, end) is the upper's.
  bool Covers(uint64_t begin, uint64_t end) const;
  // Whether nothing is the layer's any more.
  bool Whole() const { return Covers(0, limit_); }

  // The first bytes that are still the layer's: whole chunks, of `bytes` in all
  // or one that is larger. Empty: there are none.
  struct Piece {
    uint64_t begin = 0;
    uint64_t end = 0;
  };
  Piece FirstMissing(uint64_t bytes) const;
  // How much is still the layer's.
  uint64_t MissingBytes() const;

  // The whole chunks around `offset`, cut at the limit.
  uint64_t ChunkBegin(uint64_t offset) const;
  uint64_t ChunkEnd(uint64_t offset) const;

  // The chunks that lie in [begin, end) are in the upper now; a chunk that only
  // the limit cuts counts as a whole one.
  void Add(uint64_t begin, uint64_t end);
  // The file is no longer than that now: what grows again is not the layer's.
  void Truncate(uint64_t size_bytes);

  // What was there when `then` was taken is on disk. False: nothing new.
  bool SetDurable(const ChunkMap& then);
  // Whether something is there that is not known to be on disk.
  bool dirty() const { return live_ != durable_; }

 private:
  ChunkMap() = default;
  uint64_t Chunks() const;  // below the limit
  bool Has(uint64_t chunk) const {
    return (live_[chunk / 8] >> (chunk % 8) & 1) != 0;
  }

  uint64_t limit_ = 0;
  bool was_long_ = false;
  unsigned chunk_log2_ = 0;
  std::vector<uint8_t> live_, durable_;  // a bit a chunk, least first
};

}  // namespace ufs
