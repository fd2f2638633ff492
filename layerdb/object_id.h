// ObjectId names one content in a store: the XXH3-128 of its bytes, and which
// of the contents with that hash it is. Two contents with one hash do not
// happen by accident; an attacker can make them, and gets two objects. The name
// of its file is FORMAT.md's: objects/ab/HEX[-VARIANT].
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "layerdb/digest.h"

namespace ufs {

struct ObjectId {
  uint64_t hi = 0;
  uint64_t lo = 0;
  uint32_t variant = 0;

  Hash128 hash() const { return {hi, lo}; }
  // "ab.../HEX" less the folder: 32 hexadecimal digits, "-N" when N > 0.
  std::string FileName() const;
  // FileName() in its folder, the first two digits: "ab/ab01...".
  std::string Path() const;
  // Nullopt for what FileName does not write.
  static std::optional<ObjectId> FromFileName(std::string_view name);

  friend auto operator<=>(const ObjectId&, const ObjectId&) = default;
};

}  // namespace ufs

template <>
struct std::hash<ufs::ObjectId> {
  size_t operator()(const ufs::ObjectId& id) const noexcept {
    return static_cast<size_t>(id.lo) ^ id.variant;
  }
};
