#include "layerdb/byte_stream.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "layerdb/base/syscall.h"

namespace ufs {

Result<size_t> FdSource::Read(char* buffer, size_t size) {
  return sys::Read(fd_, buffer, size);
}

Result<size_t> FileRangeSource::Read(char* buffer, size_t size) {
  const size_t wanted = std::min<uint64_t>(size, left_);
  if (wanted == 0) return size_t{0};
  const size_t got = TRY(sys::Pread(fd_, buffer, wanted, offset_));
  if (got == 0)
    return Error(EBADMSG, "the file ends " + std::to_string(left_) +
                              " bytes before it should");
  offset_ += got;
  left_ -= got;
  return got;
}

Result<size_t> MemorySource::Read(char* buffer, size_t size) {
  const size_t count = std::min(size, rest_.size());
  std::memcpy(buffer, rest_.data(), count);
  rest_.remove_prefix(count);
  return count;
}

Result<size_t> ChainedSource::Read(char* buffer, size_t size) {
  if (first_ != nullptr && size > 0) {
    const size_t got = TRY(first_->Read(buffer, size));
    if (got > 0) return got;
    first_ = nullptr;
  }
  return second_.Read(buffer, size);
}

Status FdSink::Write(std::string_view bytes) {
  while (!bytes.empty())
    bytes.remove_prefix(TRY(sys::Write(fd_, bytes.data(), bytes.size())));
  return Ok();
}

Status StringSink::Write(std::string_view bytes) {
  text_ += bytes;
  return Ok();
}

Result<size_t> ReadFull(ByteSource& source, char* buffer, size_t size) {
  size_t filled = 0;
  while (filled < size) {
    const size_t got = TRY(source.Read(buffer + filled, size - filled));
    if (got == 0) break;
    filled += got;
  }
  return filled;
}

Result<std::string> ReadAll(ByteSource& source, size_t limit) {
  constexpr size_t kStep = 64 << 10;
  std::string text;
  while (true) {
    const size_t filled = text.size();
    text.resize(filled + kStep);
    const size_t got = TRY(source.Read(text.data() + filled, kStep));
    text.resize(filled + got);
    if (got == 0) return text;
    if (text.size() > limit)
      return Error(EFBIG, "longer than " + std::to_string(limit) + " bytes");
  }
}

Result<uint64_t> CopyAll(ByteSource& source, ByteSink& sink) {
  constexpr size_t kBufferBytes = 256 << 10;
  const auto buffer = std::make_unique_for_overwrite<char[]>(kBufferBytes);
  uint64_t total = 0;
  while (true) {
    const size_t got = TRY(source.Read(buffer.get(), kBufferBytes));
    if (got == 0) return total;
    TRY(sink.Write({buffer.get(), got}));
    total += got;
  }
}

}  // namespace ufs
