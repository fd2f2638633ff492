// CheckedObjects: which objects of a store were found to be what they are named
// by, so that each is read for that once. Threads: any, at once.
#pragma once

#include <memory>
#include <unordered_set>

#include "layerdb/base/mutex.h"
#include "layerdb/base/result.h"
#include "layerdb/object_store.h"

namespace ufs {

class CheckedObjects {
 public:
  explicit CheckedObjects(std::shared_ptr<const ObjectStore> objects)
      : objects_(std::move(objects)) {}

  // As ObjectStore::Verify, unless it was found sound before. What is damaged
  // is read anew each time: it may have been mended.
  Status Check(const ObjectId& id);

 private:
  const std::shared_ptr<const ObjectStore> objects_;
  Mutex mu_;
  std::unordered_set<ObjectId> sound_ GUARDED_BY(mu_);  // bounded
};

}  // namespace ufs
