// Fuzzes the decompressors and the tar reader: whatever comes, it is read or
// refused, in bounded memory; and what was read, the writer can write.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "layerdb/compress.h"
#include "layerdb/tar_header.h"
#include "layerdb/tar_reader.h"
#include "layerdb/tar_writer.h"

namespace {

// Mutations rarely hit a checksum: every block that looks like a header gets a
// right one, unless its last byte says to leave it.
void MendChecksums(std::string& bytes) {
  using ufs::tar::Block;
  for (size_t at = 0; at + sizeof(Block) <= bytes.size(); at += sizeof(Block)) {
    Block block;
    std::memcpy(block.data(), bytes.data() + at, block.size());
    if (std::string_view(block.data() + 257, 5) != "ustar" ||
        block.back() == 'k')
      continue;
    ufs::tar::PutChecksum(block);
    std::memcpy(bytes.data() + at, block.data(), block.size());
  }
}

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ufs;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  MendChecksums(bytes);
  MemorySource below(bytes);
  DecompressLimits limits;
  limits.max_bytes = 1 << 20;
  const auto source = Decompress(below, limits);
  if (!source.ok()) return 0;
  TarReader reader(**source);
  TarEntry entry;
  while (true) {
    const auto more = reader.Next(entry);
    if (!more.ok() || !*more) break;
    Check(!entry.path.empty() && entry.path.find('\0') == entry.path.npos);
    uint64_t end = 0;
    while (true) {
      const auto run = reader.ReadRun();
      if (!run.ok() || run->bytes.empty()) break;
      Check(run->offset >= end);
      end = run->offset + run->bytes.size();
      Check(end <= entry.size_bytes);
    }
    // The canonical form of what was read is read as the same.
    const std::string header = EncodeTarHeader(entry);
    MemorySource again_source(header);
    TarReader again(again_source);
    TarEntry second;
    const auto read = again.Next(second);
    Check(read.ok() && *read);
    Check(EncodeTarHeader(second) == header);
  }
  return 0;
}
