// Volumes: directories with a name that outlive containers.
//
//   STATE/volumes/NAME/_data    what containers see
//                      filled   there once a container has used it
//
// A volume appears under its name when it is complete, and goes by a rename
// first; what a killed command leaves begins with a dot and is removed by the
// next. Its first container fills it with what the image has in its place,
// before anybody else sees it. Of an ordinary user the contents belong to ids
// of his range.
// Threads: in a process with one thread; processes exclude one another by a
// lock on the volume.
#pragma once

#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

struct Volume {
  std::string name;
  std::string data;     // the path of its contents
  std::string created;  // RFC 3339
};

// STATE/volumes, for the calling user.
Result<std::string> VolumesDirectory();

// EINVAL, as a sentence, unless it can be the name of a volume.
Status CheckVolumeName(const std::string& name);

inline std::string VolumeDataPath(const std::string& root,
                                  const std::string& name) {
  return root + "/" + name + "/_data";
}

// Makes it where it is missing.
Status MakeVolume(const std::string& root, const std::string& name);

// For a container, whose record names the volume already: makes it where it is
// missing and, with `fill`, if no container has had it and it is empty, copies
// what `tree` has at `place`, with its owners and modes.
Status UseVolume(const std::string& root, const std::string& name,
                 BorrowedFd tree, const std::string& place, bool fill);

// ENOENT, as a sentence.
Result<Volume> FindVolume(const std::string& root, const std::string& name);
// By name.
Result<std::vector<Volume>> ListVolumes(const std::string& root);

// The containers, running or not, that have it.
Result<std::vector<std::string>> UsersOfVolume(const std::string& name);

// EBUSY, as a sentence, while a container has it; ENOENT.
Status RemoveVolume(const std::string& root, const std::string& name);

}  // namespace ufs
