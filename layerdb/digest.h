// Hashes. SHA-256 names what crosses a trust boundary: layers (diffID), runs of
// layers (chainID) and blobs. XXH3 names and checks what stays on this machine;
// it resists accidents, not attackers, so that whoever shares contents by it
// compares them first.
// Threads: values; a hasher belongs to one thread at a time.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "layerdb/base/result.h"

namespace ufs {

struct Digest {
  std::array<uint8_t, 32> bytes{};

  // "sha256:" and 64 hexadecimal digits, or the digits alone; lower case.
  // EINVAL for anything else.
  static Result<Digest> Parse(std::string_view text);

  std::string ToString() const;  // "sha256:..."
  std::string Hex() const;
  friend auto operator<=>(const Digest&, const Digest&) = default;
};

class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  void Update(const void* data, size_t size);
  void Update(std::string_view data) { Update(data.data(), data.size()); }
  // Once; the hasher is spent then.
  Digest Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

Digest Sha256Of(std::string_view data);

// The OCI image specification's chainID of layers, bottom to top: that of one
// layer is its diffID; that of more is SHA-256("CHAINID(all but the last)
// LAST"). REQUIRES: not empty.
Digest ChainId(std::span<const Digest> diff_ids);

// XXH3, 64 bits: a checksum.
uint64_t Checksum64(std::string_view data);

struct Hash128 {
  uint64_t hi = 0;
  uint64_t lo = 0;
  friend auto operator<=>(const Hash128&, const Hash128&) = default;
};

Hash128 HashOf(std::string_view data);

// XXH3, 128 bits, piece by piece.
class Hasher128 {
 public:
  Hasher128();
  Hasher128(Hasher128&&) noexcept;
  Hasher128& operator=(Hasher128&&) noexcept;
  ~Hasher128();

  void Update(const void* data, size_t size);
  // As Update with that many zero bytes.
  void UpdateZeros(uint64_t count);
  // May be called at any time; later updates go on from there.
  Hash128 Finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Lower-case hexadecimal.
std::string ToHex(const uint8_t* bytes, size_t size);
// False when `text` is not exactly 2 * size lower-case digits.
bool FromHex(std::string_view text, uint8_t* bytes, size_t size);

}  // namespace ufs
