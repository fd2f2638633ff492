#include "layerdb/stream_hash.h"

namespace ufs {
namespace {

constexpr size_t kChunkBytes = 1 << 20;

}  // namespace

void StreamHash::Update(std::string_view bytes) {
  size_ += bytes.size();
  chunk_ += bytes;
  if (chunk_.size() >= kChunkBytes) Flush();
}

void StreamHash::Flush() {
  auto chunk = std::make_shared<const std::string>(std::move(chunk_));
  chunk_ = std::string();
  chunk_.reserve(kChunkBytes + (256 << 10));
  pool_.Submit([this, chunk] { sha256_.Update(*chunk); });
}

Digest StreamHash::Finish() {
  Flush();
  pool_.Drain();
  return sha256_.Finish();
}

Result<size_t> HashedSource::Read(char* buffer, size_t size) {
  const size_t got = TRY(below_.Read(buffer, size));
  hash_.Update({buffer, got});
  if (copy_ != nullptr) TRY(copy_->Write({buffer, got}));
  return got;
}

}  // namespace ufs
