// The config.json that a container was last started with, in its directory: the
// runtime's own goes with the container, this one stays until it is removed.
#pragma once

#include <string>

#include "layerdb/base/result.h"
#include "tools/print_json.h"

namespace ufs {

Status SaveConfig(const std::string& directory, const std::string& text);

// With what `ufs update` has changed since. ENOENT where there is none yet.
Result<Json> LoadConfig(const std::string& directory);

// What a person asks for of it, in the words of the command line.
Json DescribeConfig(const Json& config);

}  // namespace ufs
