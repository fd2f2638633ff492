// CheckedObjects: which objects of a store were found to be what they are named
// by, so that each is read for that once. Threads: any, at once.
#pragma once

#include <future>
#include <map>
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

  // As ObjectStore::Verify, unless it was found sound before. Who asks while
  // another reads it waits for his verdict. What is damaged is read anew each
  // time: it may have been mended.
  Status Check(const ObjectId& id);

 private:
  const std::shared_ptr<const ObjectStore> objects_;
  Mutex mu_;
  std::unordered_set<ObjectId> sound_ GUARDED_BY(mu_);  // bounded
  std::map<ObjectId, std::shared_future<Status>> under_way_ GUARDED_BY(mu_);
};

}  // namespace ufs
