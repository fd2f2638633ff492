// The 512-byte header block of tar: where its fields are and how its numbers
// are written. POSIX.1-2017 pax(1) "ustar Interchange Format"; GNU tar's
// manual, "Basic Tar Format"; star(5) for the "tar\0" variant.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "layerdb/base/result.h"

namespace ufs::tar {

inline constexpr size_t kBlockBytes = 512;
using Block = std::array<char, kBlockBytes>;

struct Field {
  size_t offset;
  size_t size;
};
inline constexpr Field kName{0, 100};
inline constexpr Field kMode{100, 8};
inline constexpr Field kUid{108, 8};
inline constexpr Field kGid{116, 8};
inline constexpr Field kSize{124, 12};
inline constexpr Field kMtime{136, 12};
inline constexpr Field kChecksum{148, 8};
inline constexpr Field kType{156, 1};
inline constexpr Field kLinkName{157, 100};
inline constexpr Field kMagic{257, 8};
inline constexpr Field kDevMajor{329, 8};
inline constexpr Field kDevMinor{337, 8};
inline constexpr Field kPrefix{345, 155};
inline constexpr Field kStarPrefix{345, 131};
inline constexpr Field kStarTrailer{508, 4};
// Old GNU sparse headers: four extents, "there are more", the real size; a
// block of more extents has 21 of them.
inline constexpr Field kGnuSparse{386, 96};
inline constexpr Field kGnuMore{482, 1};
inline constexpr Field kGnuRealSize{483, 12};
inline constexpr Field kGnuMoreSparse{0, 504};
inline constexpr Field kGnuMoreMore{504, 1};

inline std::string_view Get(const Block& block, Field field) {
  return {block.data() + field.offset, field.size};
}
// Up to the first NUL.
std::string_view GetText(const Block& block, Field field);

// Octal, blanks before and a NUL or blank after, or base-256 where the first
// bit is set. Nothing at all is 0. EBADMSG for what is no number, or does not
// fit; negative numbers only as base-256.
Result<int64_t> ParseNumber(std::string_view field);

// Who wrote a header, by its magic.
enum class Dialect { kV7, kUstar, kGnu, kStar };

// Zero-padded octal with a NUL after. REQUIRES: it fits.
void PutOctal(Block& block, Field field, uint64_t value);
bool FitsOctal(Field field, uint64_t value);
void PutText(Block& block, Field field, std::string_view text);

// The sum of the block with its checksum field blank: unsigned, as POSIX says,
// or of signed bytes, as some wrote it.
bool HasValidChecksum(const Block& block);
void PutChecksum(Block& block);

// Bytes up to the end of the last block of `size`.
inline uint64_t PaddingOf(uint64_t size) {
  return (kBlockBytes - size % kBlockBytes) % kBlockBytes;
}

}  // namespace ufs::tar
