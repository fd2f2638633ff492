#include "layerdb/object_id.h"

#include <charconv>

namespace ufs {
namespace {

constexpr size_t kHexDigits = 32;
constexpr size_t kFolderDigits = 2;

void PutBigEndian(uint64_t value, uint8_t* out) {
  for (int i = 7; i >= 0; --i, value >>= 8) out[i] = value & 0xff;
}

uint64_t GetBigEndian(const uint8_t* in) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | in[i];
  return value;
}

}  // namespace

std::string ObjectId::FileName() const {
  uint8_t bytes[16];
  PutBigEndian(hi, bytes);
  PutBigEndian(lo, bytes + 8);
  std::string name = ToHex(bytes, sizeof(bytes));
  if (variant > 0) name += "-" + std::to_string(variant);
  return name;
}

std::string ObjectId::Path() const {
  const std::string name = FileName();
  return name.substr(0, kFolderDigits) + "/" + name;
}

std::optional<ObjectId> ObjectId::FromFileName(std::string_view name) {
  uint8_t bytes[16];
  if (!FromHex(name.substr(0, kHexDigits), bytes, sizeof(bytes)))
    return std::nullopt;
  ObjectId id{GetBigEndian(bytes), GetBigEndian(bytes + 8)};
  if (name.size() > kHexDigits) {
    const char* const end = name.data() + name.size();
    const auto [stop, error] =
        std::from_chars(name.data() + kHexDigits + 1, end, id.variant);
    if (error != std::errc() || stop != end) return std::nullopt;
  }
  // One spelling each: no "-0", no "-007".
  if (id.FileName() != name) return std::nullopt;
  return id;
}

}  // namespace ufs
