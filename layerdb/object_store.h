// ObjectStore: file contents, each once, as immutable plain files below
// objects/ of a store. New contents come in through an ObjectStage
// (object_stage.h); this is what reads them. Threads: any, at once.
// Descriptors: one, and one for each call under way. Errors name the object.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "layerdb/object_id.h"

namespace ufs {

// For reading, wherever it is.
using OpenObjectFn = std::function<Result<UniqueFd>(const ObjectId&)>;

class ObjectStore {
 public:
  // What names an object, made of the hash of its contents: the hash itself. A
  // test gives a weaker one, to have contents that collide.
  using HashFilter = Hash128 (*)(const Hash128&);

  // Needs `store_dir` during the call only. ENOENT without an objects/ in it.
  static Result<std::shared_ptr<const ObjectStore>> Open(
      BorrowedFd store_dir, HashFilter filter = nullptr);

  Hash128 NameHash(const Hash128& hash) const {
    return filter_ == nullptr ? hash : filter_(hash);
  }

  // For reading. ENOENT when it is not there.
  Result<UniqueFd> OpenObject(const ObjectId& id) const;

  // The same, once all of it was read and found sound; errors as Verify.
  Result<UniqueFd> OpenVerified(const ObjectId& id) const;

  struct Stat {
    uint64_t size_bytes;
    uint64_t disk_bytes;  // blocks
  };
  Result<Stat> StatObject(const ObjectId& id) const;

  // Reads all of it. EUCLEAN when the contents do not have the hash they are
  // named by; ENOENT.
  Status Verify(const ObjectId& id) const;

  // Every file below objects/. `visit` may remove what it is given.
  struct Found {
    std::string path;            // below objects/
    std::optional<ObjectId> id;  // none: the name is no object's, or misplaced
  };
  Status ForEach(const std::function<Status(const Found&)>& visit) const;

  // The folder, for those who publish and remove.
  BorrowedFd dir() const { return dir_; }

 private:
  ObjectStore(UniqueFd dir, HashFilter filter)
      : dir_(std::move(dir)), filter_(filter) {}

  const UniqueFd dir_;  // objects/
  const HashFilter filter_;
};

// The XXH3-128 of all a file holds, holes being zeros, from its beginning to
// its end; and its length.
struct HashedFile {
  Hash128 hash;
  uint64_t size_bytes;
};
Result<HashedFile> HashFile(BorrowedFd file);

// EUCLEAN: its contents do not have the hash they are named by.
Error DamagedObject(const ObjectId& id);

}  // namespace ufs
