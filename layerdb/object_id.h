// ObjectId names the contents of a regular file in the object store.
#pragma once

#include <compare>
#include <cstdint>

namespace ufs {

// The XXH3-128 hash of the contents. It resists accidents, not attackers, so
// `variant` tells apart different contents with one hash; nearly always 0.
struct ObjectId {
  uint64_t hi = 0;
  uint64_t lo = 0;
  uint32_t variant = 0;

  friend auto operator<=>(const ObjectId&, const ObjectId&) = default;
};

}  // namespace ufs
