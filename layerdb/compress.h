// Compressed streams: gzip (RFC 1952), zstd (RFC 8878), xz, or none, told apart
// by their first bytes. Multi-member and multi-frame streams are read to their
// end; a stream that is cut, damaged or followed by something else is EBADMSG.
//
// Bombs: what comes out is limited in size and in proportion to what went in
// (EFBIG), and the memory a stream may ask for is (xz: 256 MiB, zstd: windows
// of 128 MiB).
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "layerdb/byte_stream.h"

namespace ufs {

enum class Compression { kNone, kGzip, kZstd, kXz };

// "gzip", "zstd", "xz", "none".
const char* ToString(Compression compression);

struct DecompressLimits {
  // Never more than this.
  uint64_t max_bytes = uint64_t{1} << 40;
  // Beyond `free_bytes`, no more than `max_ratio` times the compressed size.
  uint64_t max_ratio = 250;
  uint64_t free_bytes = uint64_t{1} << 30;
};

// A source that decompresses another. Reads ahead of what it gives.
class DecompressedSource : public ByteSource {
 public:
  virtual Compression compression() const = 0;
  // Bytes taken from the source below, so far.
  virtual uint64_t compressed_bytes() const = 0;
};

// What a stream that begins with `head` (8 bytes, fewer if there are no more)
// is compressed with. ENOTSUP for what is known but not read (bzip2, lz4).
Result<Compression> SniffCompression(std::string_view head);

// Which inflater reads gzip. kFast is isa-l's, if we are linked with it.
enum class GzipEngine { kFast, kZlib };

// Borrows `below`. Reads its first bytes to see what it is (SniffCompression).
Result<std::unique_ptr<DecompressedSource>> Decompress(
    ByteSource& below, const DecompressLimits& limits,
    GzipEngine engine = GzipEngine::kFast);

// A sink that compresses into another. The same bytes in give the same bytes
// out, with the same version of the library. Finish() must be called once.
class CompressedSink : public ByteSink {
 public:
  virtual Status Finish() = 0;
};

// Borrows `below`. ENOTSUP for kXz, which is only read.
Result<std::unique_ptr<CompressedSink>> Compress(ByteSink& below,
                                                 Compression compression);

}  // namespace ufs
