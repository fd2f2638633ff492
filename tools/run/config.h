// RunOptions -> the config.json that the runtime is given, with the defaults
// that docker gives a container. What an image says about how to run it counts
// where no option does.
#pragma once

#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/image_manifest.h"
#include "tools/run/options.h"

namespace ufs {

// ENTRYPOINT and COMMAND put together. EINVAL when that leaves nothing.
Result<std::vector<std::string>> CommandOf(const RunOptions& options,
                                           const ImageConfig& image);

// The text of a config.json for a container whose root is mounted at `root`
// and whose directory is `directory`, where the files it is given (hosts,
// hostname, resolv.conf) are written; `network` is the namespace to join, empty
// for a new one. Called in the user namespace that the
// container will be in.
Result<std::string> MakeRunConfig(const RunOptions& options,
                                  const ImageConfig& image,
                                  const std::string& directory,
                                  const std::string& root,
                                  const std::string& network);

// What of that can be told before there is a root, and by the caller: what is
// asked for exists, and the runtime would take it. As far as it is known then.
Result<runtime::ContainerSpec> CheckRunConfig(const RunOptions& options,
                                              const ImageConfig& image);

// Whether a user or group is given by name, which a root gives a meaning to;
// and whether the one mounted at `root` does.
bool NamesUsers(const RunOptions& options, const ImageConfig& image);
Status CheckUser(const RunOptions& options, const ImageConfig& image,
                 const std::string& root);

// A capability as config.json spells it, of a name with or without CAP_ and in
// any case; ALL stays.
std::string CapabilityName(std::string name);

// Names, with or without CAP_ and in any case, added to and taken from
// docker's default set; as config.json spells them. REQUIRES: they exist, or
// are ALL.
std::vector<std::string> CapabilitiesOf(const std::vector<std::string>& add,
                                        const std::vector<std::string>& drop);

}  // namespace ufs
