// Catalog: which layers a store has and which of them use an object, in RocksDB
// below catalog/ (column families, keys and versions: FORMAT.md). It holds
// nothing that the layers' files do not say too, so that it can be thrown away;
// it answers in one lookup what would take a walk over all layers.
//
// RocksDB allows one writing process, and no reader beside it: whoever opens a
// catalog holds the store's lock, exclusive for kWrite. Not on a mount's path.
// Threads: one at a time. Memory: a few MiB.
// Errors: EUCLEAN for a damaged database ('ufs store repair' makes a new one),
// EPROTO for one of a later version, ENOENT when there is none; what the file
// system says when it takes no writes: IsFull, EROFS, EACCES; EMFILE, ENOMEM.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/layer_info.h"
#include "layerdb/object_id.h"

namespace ufs {

class Catalog {
 public:
  enum class Mode {
    kRead,  // writes nothing at all
    kWrite,
    kCreate,  // as kWrite; made when it is not there
  };
  static Result<std::unique_ptr<Catalog>> Open(const std::string& path,
                                               Mode mode);
  ~Catalog();
  Catalog(const Catalog&) = delete;
  Catalog& operator=(const Catalog&) = delete;

  // Both durable and all at once on return. Putting a layer again replaces what
  // was known of it, but not its objects: they never change.
  Status PutLayer(const LayerInfo& info, std::span<const ObjectId> objects);
  // Whether there is address space for putting a layer of so many, else ENOMEM:
  // RocksDB itself finds out when the rows are in its log already. It sees
  // RLIMIT_AS, and what the kernel does not overcommit; not a cgroup's limit,
  // which takes effect when memory is touched, by a SIGKILL.
  static Status CheckRoomFor(size_t objects);
  Status RemoveLayer(const Digest& diff_id);

  Result<std::vector<LayerInfo>> Layers() const;         // by digest
  Result<LayerInfo> Layer(const Digest& diff_id) const;  // ENOENT

  // Each object, with the layers that use it, in the order of ids.
  Status ForEachObject(
      const std::function<Status(const ObjectId&, std::span<const Digest>)>&
          visit) const;
  Result<std::vector<Digest>> LayersOf(const ObjectId& id) const;
  Result<std::vector<ObjectId>> ObjectsOf(const Digest& diff_id) const;

  // Reads everything and checks RocksDB's own checksums.
  Status Verify() const;

 private:
  struct Database;
  explicit Catalog(std::unique_ptr<Database> database);
  const std::unique_ptr<Database> database_;
};

// Runs RocksDB's static initializers, which wait for the first catalog. For who
// uses RocksDB without one.
void StartRocksDb();

}  // namespace ufs
