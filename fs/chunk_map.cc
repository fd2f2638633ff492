#include "fs/chunk_map.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

#include "layerdb/base/syscall.h"

namespace ufs {
namespace {

// The mark, little-endian: version (1 byte), log2 of the chunk's bytes (1),
// zeros (6), limit (8), boot id (16), the map of what is there, the map of what
// is on disk, both of the same length.
constexpr uint8_t kVersion = 1;
constexpr size_t kLimitAt = 8;
constexpr size_t kBootIdAt = 16;
constexpr size_t kBootIdBytes = 16;
constexpr size_t kHeaderBytes = kBootIdAt + kBootIdBytes;
constexpr unsigned kMinChunkLog2 = 16;
constexpr unsigned kMaxChunkLog2 = 50;  // 8192 of them pass any file's size
static_assert(ChunkMap::kMinChunkBytes == uint64_t{1} << kMinChunkLog2);

Error Damaged(const char* how) {
  return Error(EIO, std::string("damaged chunk map (") + how +
                        "), so that nobody can tell its contents; remove the "
                        "file from the upper");
}

uint64_t Load64(std::string_view from) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i)
    value = value << 8 | static_cast<uint8_t>(from[i]);
  return value;
}

void Store64(uint64_t value, std::string& to) {
  for (int i = 0; i < 8; ++i) to.push_back(static_cast<char>(value >> 8 * i));
}

std::string ReadBootId() {
  // As text: 8-4-4-4-12 hex digits.
  char text[64];
  const auto fd = sys::Open("/proc/sys/kernel/random/boot_id", O_RDONLY);
  const auto got =
      fd.ok() ? sys::Pread(*fd, text, sizeof(text), 0) : Result<size_t>(0);
  std::string id;
  unsigned nibble = 0;
  bool half = false;
  for (const char c : std::string_view(text, got.ok() ? *got : 0)) {
    unsigned digit = 0;
    if (c >= '0' && c <= '9')
      digit = c - '0';
    else if (c >= 'a' && c <= 'f')
      digit = c - 'a' + 10;
    else
      continue;
    if (half) id.push_back(static_cast<char>(nibble << 4 | digit));
    nibble = digit;
    half = !half;
  }
  if (id.size() == kBootIdBytes) return id;
  std::random_device random;
  id.clear();
  while (id.size() < kBootIdBytes) id.push_back(static_cast<char>(random()));
  return id;
}

}  // namespace

const std::string& BootId() {
  static const std::string id = ReadBootId();
  return id;
}

ChunkMap::ChunkMap(uint64_t size_bytes)
    : limit_(size_bytes), chunk_log2_(kMinChunkLog2) {
  while (chunk_log2_ < kMaxChunkLog2 && Chunks() > kMaxChunks) ++chunk_log2_;
  live_.resize((Chunks() + 7) / 8);
  durable_ = live_;
}

Result<ChunkMap> ChunkMap::Parse(std::string_view mark,
                                 std::string_view boot_id,
                                 uint64_t file_bytes) {
  if (mark.size() < kHeaderBytes) return Damaged("too short");
  if (mark[0] != kVersion) return Damaged("a version this ufs does not know");
  ChunkMap map;
  map.chunk_log2_ = static_cast<uint8_t>(mark[1]);
  if (map.chunk_log2_ < kMinChunkLog2 || map.chunk_log2_ > kMaxChunkLog2)
    return Damaged("an impossible chunk size");
  map.limit_ = Load64(mark.substr(kLimitAt));
  const std::string_view maps = mark.substr(kHeaderBytes);
  if (maps.size() % 2 != 0 || maps.size() / 2 > kMaxChunks / 8)
    return Damaged("an impossible length");
  if (map.Chunks() > maps.size() / 2 * 8) return Damaged("too short");
  const auto bytes = [](std::string_view from) {
    return std::vector<uint8_t>(from.begin(), from.end());
  };
  map.durable_ = bytes(maps.substr(maps.size() / 2));
  map.live_ = mark.substr(kBootIdAt, kBootIdBytes) == boot_id
                  ? bytes(maps.substr(0, maps.size() / 2))
                  : map.durable_;
  map.was_long_ = file_bytes < map.limit_;
  map.Truncate(file_bytes);
  return map;
}

std::string ChunkMap::Format(std::string_view boot_id) const {
  std::string mark;
  mark.push_back(static_cast<char>(kVersion));
  mark.push_back(static_cast<char>(chunk_log2_));
  mark.resize(kLimitAt);
  Store64(limit_, mark);
  mark.append(boot_id);
  mark.resize(kHeaderBytes);
  mark.append(live_.begin(), live_.end());
  mark.append(durable_.begin(), durable_.end());
  return mark;
}

uint64_t ChunkMap::Chunks() const {
  return (limit_ >> chunk_log2_) + ((limit_ & (chunk_bytes() - 1)) != 0);
}

ChunkMap::Run ChunkMap::RunAt(uint64_t offset) const {
  if (offset >= limit_) return {true, UINT64_MAX};
  uint64_t chunk = offset >> chunk_log2_;
  const bool in_upper = Has(chunk);
  const uint64_t chunks = Chunks();
  do ++chunk;
  while (chunk < chunks && Has(chunk) == in_upper);
  if (chunk < chunks) return {in_upper, chunk << chunk_log2_};
  return in_upper ? Run{true, UINT64_MAX} : Run{false, limit_};
}

bool ChunkMap::Covers(uint64_t begin, uint64_t end) const {
  while (begin < end) {
    const Run run = RunAt(begin);
    if (!run.in_upper) return false;
    begin = run.end;
  }
  return true;
}

ChunkMap::Piece ChunkMap::FirstMissing(uint64_t bytes) const {
  const Run first = RunAt(0);
  const uint64_t begin = first.in_upper ? first.end : 0;
  if (begin >= limit_) return {};
  return {begin, ChunkEnd(std::min(RunAt(begin).end, begin + bytes) - 1)};
}

uint64_t ChunkMap::MissingBytes() const {
  uint64_t missing = 0;
  for (uint64_t at = 0; at < limit_;) {
    const Run run = RunAt(at);
    if (!run.in_upper) missing += run.end - at;
    at = run.end;
  }
  return missing;
}

uint64_t ChunkMap::ChunkBegin(uint64_t offset) const {
  return offset >> chunk_log2_ << chunk_log2_;
}

uint64_t ChunkMap::ChunkEnd(uint64_t offset) const {
  return std::min(limit_, ChunkBegin(offset) + chunk_bytes());
}

void ChunkMap::Add(uint64_t begin, uint64_t end) {
  end = std::min(end, limit_);
  uint64_t chunk = (begin + chunk_bytes() - 1) >> chunk_log2_;
  for (; chunk << chunk_log2_ < end; ++chunk) {
    if (ChunkEnd(chunk << chunk_log2_) > end) return;
    live_[chunk / 8] |= static_cast<uint8_t>(1u << (chunk % 8));
  }
}

void ChunkMap::Truncate(uint64_t size_bytes) {
  limit_ = std::min(limit_, size_bytes);
  // The bits past the limit say nothing; as they were set or not, so they stay
  // out of what is compared.
  for (uint64_t chunk = Chunks(); chunk < live_.size() * 8; ++chunk) {
    live_[chunk / 8] &= static_cast<uint8_t>(~(1u << (chunk % 8)));
    durable_[chunk / 8] &= static_cast<uint8_t>(~(1u << (chunk % 8)));
  }
}

bool ChunkMap::SetDurable(const ChunkMap& then) {
  bool changed = false;
  for (size_t i = 0; i < durable_.size(); ++i) {
    // Never less: what came after `then` may be on disk already.
    const uint8_t now = durable_[i] | (then.live_[i] & live_[i]);
    changed = changed || now != durable_[i];
    durable_[i] = now;
  }
  return changed;
}

}  // namespace ufs
