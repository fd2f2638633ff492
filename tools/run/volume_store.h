// Volumes: directories with a name that outlive containers.
//
//   STATE/volumes/NAME/_data    what containers see
//                      filled   there once a container has used it
//                      anonymous   there if its name was made up for a
//                                  container, with which it may go
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
#include "tools/run/options.h"
#include "tools/run/record.h"

namespace ufs {

struct Volume {
  std::string name;
  std::string data;     // the path of its contents
  std::string created;  // RFC 3339
  bool anonymous = false;
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
Status MakeVolume(const std::string& root, const std::string& name,
                  bool anonymous = false);

// For a container, whose record names the volume already: makes it where it is
// missing and, if that is wanted, no container has had it and it is empty,
// copies what `tree` has in its place. A new one is for all containers; `label`
// is the one for their files, or empty.
Status UseVolume(const std::string& root, const RequestedMount& requested,
                 BorrowedFd tree, const std::string& label);

// ENOENT, as a sentence.
Result<Volume> FindVolume(const std::string& root, const std::string& name);
// By name.
Result<std::vector<Volume>> ListVolumes(const std::string& root);

// The containers, running or not, that have it.
Result<std::vector<std::string>> UsersOfVolume(const std::string& name);

// EBUSY, as a sentence, while a container has it; ENOENT.
Status RemoveVolume(const std::string& root, const std::string& name);

// Before a container is removed with the volumes that were made up for it.
// Those that others have by now stay.
Status RemoveAnonymousVolumes(const std::string& root,
                              const std::string& containers,
                              const RunRecord& record);

}  // namespace ufs
