// Whether layers, upper, work directory and mount point can make a union, found
// out before anything is made or changed.
//
// Every Error's context is the whole message for the user, "PATH: what is
// wrong; the remedy", without the errno's own words.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "layerdb/base/result.h"

namespace ufs {

// A directory's place in its file system. Two paths that lead there, over
// symbolic links or bind mounts, have the same place.
struct Place {
  uint64_t device = 0;
  uint64_t mount_id = 0;
  std::string path;  // from the root of the file system

  bool SameAs(const Place& other) const;
  // Whether `other` lies in this directory, at any depth.
  bool Holds(const Place& other) const;
};

struct UnionPaths {
  std::vector<std::string> layers;  // bottom to top
  std::optional<std::string> upper;
  std::optional<std::string> work;  // absent: beside the upper, NAME.work
  std::string mountpoint;
  bool make_upper = false;  // a missing upper shall be made, in its parent
  bool make_work = false;
};

// The same paths, absolute and with symbolic links resolved, `work` filled in
// where there is an upper. Refuses what is missing, not a directory, not
// accessible, nested so that writes would change a layer, on two file systems
// where one rename must reach, or a loop.
Result<UnionPaths> CheckUnionPaths(const UnionPaths& paths);

// Whether this process can open /dev/fuse and, where it may not mount by
// itself, has fusermount3.
Status CheckFuseAccess();

}  // namespace ufs
