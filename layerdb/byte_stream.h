// Streams of bytes: a ByteSource is pulled from, a ByteSink is pushed to. What
// reads and writes archives knows no files, pipes or compression.
//
// A stream is used by one thread at a time and borrows what it is made over.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

class ByteSource {
 public:
  virtual ~ByteSource() = default;

  // 1 to `size` bytes; 0 only at the end (or when size is 0).
  virtual Result<size_t> Read(char* buffer, size_t size) = 0;
};

class ByteSink {
 public:
  virtual ~ByteSink() = default;

  // All of `bytes`, unless it fails.
  virtual Status Write(std::string_view bytes) = 0;
};

// From where a descriptor stands: files, pipes and terminals.
class FdSource final : public ByteSource {
 public:
  explicit FdSource(BorrowedFd fd) : fd_(fd) {}
  Result<size_t> Read(char* buffer, size_t size) override;

 private:
  const BorrowedFd fd_;
};

// `size` bytes of a file from `offset` on, whatever its position. EBADMSG when
// the file ends before.
class FileRangeSource final : public ByteSource {
 public:
  FileRangeSource(BorrowedFd fd, uint64_t offset, uint64_t size)
      : fd_(fd), offset_(offset), left_(size) {}
  Result<size_t> Read(char* buffer, size_t size) override;

 private:
  const BorrowedFd fd_;
  uint64_t offset_;
  uint64_t left_;
};

class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::string_view bytes) : rest_(bytes) {}
  Result<size_t> Read(char* buffer, size_t size) override;

 private:
  std::string_view rest_;
};

// One source, then another. Borrows both.
class ChainedSource final : public ByteSource {
 public:
  ChainedSource(ByteSource& first, ByteSource& second)
      : first_(&first), second_(second) {}
  Result<size_t> Read(char* buffer, size_t size) override;

 private:
  ByteSource* first_;  // null once it has ended
  ByteSource& second_;
};

// To where a descriptor stands.
class FdSink final : public ByteSink {
 public:
  explicit FdSink(BorrowedFd fd) : fd_(fd) {}
  Status Write(std::string_view bytes) override;

 private:
  const BorrowedFd fd_;
};

class StringSink final : public ByteSink {
 public:
  Status Write(std::string_view bytes) override;
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// Fills `buffer`, unless the source ends: then less.
Result<size_t> ReadFull(ByteSource& source, char* buffer, size_t size);

// All that is left of `source`. EFBIG for more than `limit` bytes.
Result<std::string> ReadAll(ByteSource& source, size_t limit);

// Moves all that is left of `source` to `sink`; returns how much it was.
Result<uint64_t> CopyAll(ByteSource& source, ByteSink& sink);

}  // namespace ufs
