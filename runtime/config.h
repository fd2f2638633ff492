// config.json of an OCI bundle -> ContainerSpec. Strict: a value of the wrong
// type, a name we do not know, or a feature we do not have is an error that
// names the field, never a silence. A property that the specification does not
// have is ignored, as it asks. Bounded in size and depth; nothing throws.
// Threads: any.
#pragma once

#include <string>
#include <string_view>

#include "layerdb/base/json_reader.h"
#include "layerdb/base/result.h"
#include "runtime/spec.h"

namespace ufs::runtime {

constexpr size_t kConfigBytesMax = 4 << 20;
constexpr char kOciVersion[] = "1.2.0";

// The text of a config.json. EINVAL with what is wrong; EFBIG; ENOTSUP for a
// feature that is named in kUnsupported.
Result<ContainerSpec> ParseConfig(std::string_view text);

// The "process" object alone, as `exec --process FILE` gives it.
Result<Process> ParseProcess(std::string_view text);

// The "linux.resources" object alone, as `update --resources FILE` gives it.
Result<Resources> ParseResources(std::string_view text);

// BUNDLE/config.json.
Result<std::string> ReadConfig(const std::string& bundle);

// --- parts, for config*.cc ---------------------------------------------------

Status ReadProcess(const JsonReader& json, Process& process);
Status ReadLinux(const JsonReader& json, ContainerSpec& spec);
Status ReadResources(const JsonReader& json, Resources& resources);
Status ReadIdMaps(const JsonReader& json, ContainerSpec& spec);
Status ReadSeccomp(const JsonReader& json, std::optional<Seccomp>& seccomp);

}  // namespace ufs::runtime
