// The bytes of a tree file, as FORMAT.md describes them. Both the writer and
// the reader see them through these structs; every field is little-endian and
// every struct has no padding, so on the machines we run on they are the file.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace ufs::tree_format {

static_assert(std::endian::native == std::endian::little,
              "the reader maps little-endian records as they are");

inline constexpr std::array<char, 8> kMagic = {'U', 'F', 'S', 't',
                                               'r', 'e', 'e', '\n'};
inline constexpr uint32_t kVersion = 1;
inline constexpr uint32_t kNone = 0xffffffff;
inline constexpr size_t kSectionAlignment = 64;

enum Section : uint32_t {
  kNodes,
  kEntries,
  kSlots,
  kNames,
  kBytes,
  kXattrs,
  kObjects,
  kSectionCount,
};

struct SectionRecord {
  uint64_t offset;
  uint64_t bytes;
  uint64_t hash;  // XXH3-64 of the bytes
};

struct Header {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t header_bytes;
  uint64_t file_bytes;
  std::array<uint8_t, 32> identity;  // of the layer or chain; 0: not said
  uint32_t source_count;             // layers it was merged from; 1: a layer
  uint32_t max_probes;               // slots a lookup has to look at, at most
  std::array<SectionRecord, kSectionCount> sections;
  uint64_t hash;  // XXH3-64 of all that is before it
};
static_assert(sizeof(Header) == 72 + kSectionCount * 24);

// Flags of a node.
inline constexpr uint32_t kOpaque = 1;
inline constexpr uint32_t kImplied = 2;
inline constexpr uint32_t kInline = 4;  // contents are in kBytes
inline constexpr uint32_t kObject = 8;  // contents are in the object store
inline constexpr uint32_t kAllFlags = kOpaque | kImplied | kInline | kObject;

struct Node {
  uint32_t mode;
  uint32_t uid;
  uint32_t gid;
  uint32_t nlink;
  int64_t mtime_sec;
  uint32_t mtime_nsec;
  uint32_t flags;
  uint64_t size;     // file: bytes; link: of the target; device: st_rdev;
                     // directory: how many entries
  uint64_t content;  // directory: its first entry; link and kInline: offset in
                     // kBytes; kObject: number in kObjects
  uint32_t xattrs;   // offset in kXattrs / 4; kNone: it has none
  uint32_t first_name;   // the first entry that names it; kNone: the root
  uint32_t source;       // of a view: which layer it came from, 0 the lowest
  uint32_t source_node;  // and its number there
};
static_assert(sizeof(Node) == 64);

struct Entry {
  uint32_t parent;  // a directory
  uint32_t node;    // kNone: a whiteout
  uint32_t name;    // offset in kNames
  uint32_t name_bytes;
};
static_assert(sizeof(Entry) == 16);

// Open addressing, linear probing; the number of slots is a power of two.
struct Slot {
  uint32_t check;  // the high half of the hash
  uint32_t entry;  // number + 1; 0: free
};
static_assert(sizeof(Slot) == 8);

// A block of extended attributes: this, then for each XattrRecord, its name and
// its value; the block is padded with zeros to a multiple of 4.
struct XattrBlock {
  uint32_t count;
  uint32_t bytes;  // of what follows, without padding
};
struct XattrRecord {
  uint16_t name_bytes;
  uint16_t zero;
  uint32_t value_bytes;
};

struct Object {
  uint64_t hi;
  uint64_t lo;
  uint32_t variant;
  uint32_t zero;
};
static_assert(sizeof(Object) == 24);

}  // namespace ufs::tree_format
