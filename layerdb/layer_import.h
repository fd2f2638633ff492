// Importing: a tar becomes the tree and objects of an Ingest.
//
// A tar is streamed once: one thread decompresses and reads it, one hashes the
// stream, two write objects. No file is held in memory that is larger than
// 256 KiB; what waits is bounded by 32 MiB.
//
// Paths: "./" and leading slashes are taken off, as tar does; ".." is refused,
// and so is what would lie under something that is no directory, a symbolic
// link included: nothing is ever followed. Whiteouts are OCI's: ".wh.NAME" and
// ".wh..wh..opq", in any order with what they stand beside.
//
// Errors name the entry: EBADMSG, EINVAL, ENOTDIR, EFBIG for what is in the
// archive; others are the store's. Nothing is visible after an error: the
// Ingest is to be dropped.
#pragma once

#include <functional>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "layerdb/byte_stream.h"
#include "layerdb/compress.h"
#include "layerdb/digest.h"
#include "layerdb/layer_store.h"
#include "layerdb/tar_reader.h"

namespace ufs {

struct ImportOptions {
  DecompressLimits limits;
  TarLimits tar;
  // Names, those of directories that are only implied among them: each takes
  // some 160 bytes of memory.
  uint64_t max_entries = 10'000'000;
  // The compressed form is kept, so that it can be pushed as it came.
  bool keep_blob = true;
  // Hears now and then how much of the input was read.
  std::function<void(uint64_t input_bytes)> on_progress;
};

struct Imported {
  Digest diff_id;          // to be sealed under
  Digest input_digest;     // of the input as it came
  uint64_t tar_bytes = 0;  // uncompressed
  Compression compression = Compression::kNone;
};

// What OCI calls a tar compressed so.
const char* MediaTypeOf(Compression compression);

// A tar, compressed or not.
Result<Imported> ImportTar(ByteSource& input, Ingest& ingest,
                           const ImportOptions& options = {});

}  // namespace ufs
