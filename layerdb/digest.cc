#include "layerdb/digest.h"

// OpenSSL 3 would rather have EVP called. Behind that are providers, a
// configuration file that is read, and tables of 400 KiB with a pointer in each
// line: each start of a program would relocate them, every mount fill them.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace ufs {
namespace {

constexpr std::string_view kPrefix = "sha256:";

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::string ToHex(const uint8_t* bytes, size_t size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * size);
  for (size_t i = 0; i < size; ++i) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

bool FromHex(std::string_view text, uint8_t* bytes, size_t size) {
  if (text.size() != 2 * size) return false;
  for (size_t i = 0; i < size; ++i) {
    const int high = HexValue(text[2 * i]), low = HexValue(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

Result<Digest> Digest::Parse(std::string_view text) {
  std::string_view hex = text;
  if (hex.starts_with(kPrefix)) hex.remove_prefix(kPrefix.size());
  Digest digest;
  if (!FromHex(hex, digest.bytes.data(), digest.bytes.size()))
    return Error(EINVAL, "'" + std::string(text.substr(0, 100)) +
                             "' is no digest: sha256: and 64 lower-case "
                             "hexadecimal digits");
  return digest;
}

std::string Digest::ToString() const { return std::string(kPrefix) + Hex(); }

std::string Digest::Hex() const { return ToHex(bytes.data(), bytes.size()); }

struct Sha256::Context {
  SHA256_CTX sha;
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  SHA256_Init(&context_->sha);
}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

// None of these fails: they compute in the context they are given.
void Sha256::Update(const void* data, size_t size) {
  SHA256_Update(&context_->sha, data, size);
}

Digest Sha256::Finish() {
  Digest digest;
  SHA256_Final(digest.bytes.data(), &context_->sha);
  return digest;
}

Digest Sha256Of(std::string_view data) {
  Sha256 hasher;
  hasher.Update(data);
  return hasher.Finish();
}

Digest ChainId(std::span<const Digest> diff_ids) {
  Digest chain = diff_ids.front();
  for (const Digest& diff_id : diff_ids.subspan(1))
    chain = Sha256Of(chain.ToString() + " " + diff_id.ToString());
  return chain;
}

uint64_t Checksum64(std::string_view data) {
  return XXH3_64bits(data.data(), data.size());
}

Hash128 HashOf(std::string_view data) {
  const XXH128_hash_t hash = XXH3_128bits(data.data(), data.size());
  return {hash.high64, hash.low64};
}

struct Hasher128::State {
  XXH3_state_t* const xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

Hasher128::Hasher128() : state_(std::make_unique<State>()) {
  if (state_->xxh == nullptr) std::abort();  // no memory
  XXH3_128bits_reset(state_->xxh);
}
Hasher128::Hasher128(Hasher128&&) noexcept = default;
Hasher128& Hasher128::operator=(Hasher128&&) noexcept = default;
Hasher128::~Hasher128() = default;

void Hasher128::Update(const void* data, size_t size) {
  XXH3_128bits_update(state_->xxh, data, size);
}

void Hasher128::UpdateZeros(uint64_t count) {
  static constexpr char kZeros[64 << 10] = {};
  while (count > 0) {
    const size_t step = std::min<uint64_t>(count, sizeof(kZeros));
    Update(kZeros, step);
    count -= step;
  }
}

Hash128 Hasher128::Finish() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->xxh);
  return {hash.high64, hash.low64};
}

}  // namespace ufs
