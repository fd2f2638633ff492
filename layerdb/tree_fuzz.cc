// The reader of tree files against any bytes: whatever they say, nothing is
// read outside them, and every walk ends. Hashes are put right first, or no
// change would get past the header.
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "layerdb/tree_file.h"
#include "layerdb/tree_hash.h"
#include "layerdb/tree_merge.h"

namespace ufs {
namespace {

using tree_format::Header;

void PutHashesRight(std::string& bytes) {
  if (bytes.size() < sizeof(Header)) return;
  Header header;
  memcpy(&header, bytes.data(), sizeof(header));
  header.magic = tree_format::kMagic;
  header.version = tree_format::kVersion;
  header.header_bytes = sizeof(header);
  header.file_bytes = bytes.size();
  for (auto& section : header.sections)
    if (section.offset <= bytes.size() &&
        section.bytes <= bytes.size() - section.offset)
      section.hash =
          TreeBytesHash({bytes.data() + section.offset, section.bytes});
  header.hash = TreeBytesHash(
      {reinterpret_cast<const char*>(&header), offsetof(Header, hash)});
  memcpy(bytes.data(), &header, sizeof(header));
}

void Use(const TreeFile& file) {
  const bool sound = file.CheckAll().ok();
  const uint32_t nodes = std::min<uint32_t>(file.node_count(), 1000);
  size_t seen = 0;
  for (uint32_t i = 0; i < nodes; ++i) {
    const auto copied = file.Copy(i);
    const auto path = file.PathOf(i);
    // CheckAll promises that nothing later finds damage.
    if (sound && (!copied.ok() || !path.ok())) abort();
    const auto listed =
        file.ForEachChild(i, [&](const TreeFile::Child& child) -> Status {
          const auto found = file.Lookup(i, child.name);
          if (sound &&
              (!found.ok() || found->kind == TreeFile::Found::Kind::kAbsent))
            abort();
          // Directories of a damaged file may share their entries.
          return ++seen < 10'000 ? Ok() : Status(Error(EUCLEAN));
        });
    if (sound && seen < 10'000 && !listed.ok() && listed.code() != ENOTDIR)
      abort();
  }
  TreeLimits limits;
  limits.entries = 10'000;
  TreeBuilder merged(limits);
  const TreeFile* const run[] = {&file, &file};
  const Status done = MergeTrees(run, merged);
  if (sound && !done.ok() && done.code() == EUCLEAN) abort();
}

}  // namespace
}  // namespace ufs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > (1 << 20)) return 0;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  ufs::PutHashesRight(bytes);
  const auto file = ufs::TreeFile::Parse(bytes, ufs::TreeFile::Verify::kAll);
  if (file.ok()) ufs::Use(**file);
  return 0;
}
