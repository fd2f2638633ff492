// SHA-256 of a stream while somebody else works on it: in a thread of its own.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "layerdb/byte_stream.h"
#include "layerdb/digest.h"
#include "layerdb/task_pool.h"

namespace ufs {

// Threads: one at a time. Memory: up to 8 chunks of 1 MiB.
class StreamHash {
 public:
  StreamHash() : pool_(1, 8) {}
  void Update(std::string_view bytes);
  // Once.
  Digest Finish();
  uint64_t size_bytes() const { return size_; }

 private:
  void Flush();

  uint64_t size_ = 0;
  std::string chunk_;
  Sha256 sha256_;  // the thread's, until it has drained
  TaskPool pool_;
};

// A source whose bytes are hashed, and written to `copy` if there is one, as
// they are read. Borrows all.
class HashedSource final : public ByteSource {
 public:
  HashedSource(ByteSource& below, StreamHash& hash, ByteSink* copy = nullptr)
      : below_(below), hash_(hash), copy_(copy) {}
  Result<size_t> Read(char* buffer, size_t size) override;

 private:
  ByteSource& below_;
  StreamHash& hash_;
  ByteSink* const copy_;
};

// A sink of which only the SHA-256 is wanted; in the thread of who writes.
class DigestSink final : public ByteSink {
 public:
  Status Write(std::string_view bytes) override {
    hash_.Update(bytes);
    return Ok();
  }
  Digest Finish() { return hash_.Finish(); }

 private:
  Sha256 hash_;
};

}  // namespace ufs
