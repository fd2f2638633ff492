// ObjectStage: contents on their way into a store. They are hashed while they
// are written, compared byte by byte with what has the same hash, and wait in a
// folder of their own until Publish makes all of them durable and visible. What
// is never published is gone with that folder.
//
// Threads: any, at once, but for Publish, which is last; an ObjectWriter
// belongs to one. Memory: up to ObjectWriter::kBufferBytes for each open
// writer. Descriptors: one for each writer of a larger content, and a few.
//
// Errors: ENOSPC, EDQUOT, EIO ... of the store's file system.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "layerdb/base/mutex.h"
#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "layerdb/object_store.h"

namespace ufs {

class ObjectStage;

// One content. What is not finished leaves nothing.
class ObjectWriter {
 public:
  // Up to here a content is compared with what the store has before anything is
  // written.
  static constexpr size_t kBufferBytes = 256 << 10;

  explicit ObjectWriter(ObjectStage& stage) : stage_(stage) {}
  ObjectWriter(ObjectWriter&&) noexcept = default;
  ~ObjectWriter();

  Status Append(std::string_view data);
  // Zeros, which take no room on the disk.
  Status Hole(uint64_t bytes);
  // Once. The object can be opened when the stage has been published.
  Result<ObjectId> Finish();

  uint64_t size_bytes() const { return size_; }

 private:
  Status Spill();

  ObjectStage& stage_;
  Hasher128 hasher_;
  std::string buffer_;     // all of it, while it is small
  std::string file_name_;  // else in the stage's folder, under this name
  UniqueFd file_;
  uint64_t size_ = 0;
};

class ObjectStage {
 public:
  // `folder` is an empty one on the store's file system, the stage's alone and
  // open for reading. Whoever made it removes it with what is left in it.
  ObjectStage(std::shared_ptr<const ObjectStore> store, UniqueFd folder);
  ObjectStage(const ObjectStage&) = delete;
  ObjectStage& operator=(const ObjectStage&) = delete;

  ObjectWriter NewWriter() { return ObjectWriter(*this); }

  // All of a small content.
  Result<ObjectId> Put(std::string_view contents);

  enum class Copy {
    kOwn,       // blocks shared where the file system can, else copied
    kHardLink,  // the same file, where possible: it must never change again
  };
  // What `source` holds from its beginning to its end, holes kept.
  struct PutResult {
    ObjectId id;
    uint64_t size_bytes;
  };
  Result<PutResult> PutFile(BorrowedFd source, Copy how = Copy::kOwn);

  // For reading: what is staged, or in the store.
  Result<UniqueFd> OpenObject(const ObjectId& id) const;

  // Of what is staged by now only these are published.
  Status KeepOnly(const std::set<ObjectId>& wanted);

  // Everything staged is durable and in the store after this. What another
  // process published meanwhile is compared and shared. Fault points:
  // object.sync, object.publish, object.publish_folders.
  Status Publish() NO_THREAD_SAFETY_ANALYSIS;

  struct Counts {
    uint64_t objects = 0;  // asked for
    uint64_t bytes = 0;
    uint64_t new_objects = 0;  // not in the store before
    uint64_t new_bytes = 0;
  };
  Counts counts() const;

 private:
  friend class ObjectWriter;

  // Contents with no name yet: in memory, or a file of the folder, or a file
  // elsewhere that is to be linked.
  struct Draft {
    std::string_view buffer;
    BorrowedFd file = -1;
    const char* file_name = nullptr;  // null: link `file` itself
    uint64_t size_bytes = 0;
    Hash128 hash;
  };
  struct Staged {
    bool replaces_damaged = false;
  };

  Result<ObjectId> Settle(const Draft& draft);
  Result<bool> Equal(const Draft& draft, BorrowedFd file) const;
  Status Stage(const Draft& draft, const ObjectId& id, bool replaces_damaged);
  bool IsStaged(const ObjectId& id) const;
  std::string TemporaryName();

  Status SyncContents();
  Status PublishOne(const ObjectId& id, const Staged& staged);

  const std::shared_ptr<const ObjectStore> store_;
  const UniqueFd folder_;

  // One content of a hash at a time; others go on.
  static constexpr size_t kStripes = 64;
  std::array<Mutex, kStripes> stripes_;

  // Cleared once the file system has said that it shares no blocks.
  std::atomic<bool> may_clone_{true};

  mutable Mutex mu_;  // leaf
  std::map<ObjectId, Staged> staged_ GUARDED_BY(mu_);
  std::set<std::string> folders_ GUARDED_BY(mu_);  // where they are and will be
  Counts counts_ GUARDED_BY(mu_);
  uint64_t last_temporary_ GUARDED_BY(mu_) = 0;
};

}  // namespace ufs
