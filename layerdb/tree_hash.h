// The hashes of tree files.
#pragma once

#include <xxhash.h>

#include <cstdint>
#include <string_view>

namespace ufs {

// Where a name is looked for in memory; who chose the name does not know
// `seed`.
inline uint64_t SeededNameHash(uint64_t seed, std::string_view name) {
  return XXH3_64bits_withSeed(name.data(), name.size(), seed);
}

// Where a name of a directory is looked for.
inline uint64_t TreeNameHash(uint32_t dir, std::string_view name) {
  return SeededNameHash(dir, name);
}

// Resists accidents, not attackers.
inline uint64_t TreeBytesHash(std::string_view bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace ufs
