#include "tools/run/saved_config.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"
#include "tools/run/limit_options.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;

constexpr char kConfigFile[] = "config.json";
constexpr size_t kBytesMax = 16 << 20;

// Null where the path leads nowhere.
Json At(const Json& json, const char* path) {
  const Json::json_pointer pointer(path);
  return json.contains(pointer) ? json[pointer] : Json();
}

// Every container has the others.
bool WasAskedFor(const Json& mount) {
  const Json type = At(mount, "/type");
  const Json place = At(mount, "/destination");
  return type == "bind" ||
         (type == "tmpfs" && place != "/dev" && place != "/dev/shm");
}

}  // namespace

Status SaveConfig(const std::string& directory, const std::string& text) {
  const UniqueFd dir =
      TRY(sys::Open(directory.c_str(), O_PATH | O_DIRECTORY).With(directory));
  return kernel::ReplaceFile({dir, kConfigFile}, text, /*lasting=*/true)
      .With(directory + "/" + kConfigFile);
}

Result<Json> LoadConfig(const std::string& directory) {
  const std::string path = directory + "/" + kConfigFile;
  const auto text =
      TRY(kernel::ReadFile({AT_FDCWD, path.c_str()}, kBytesMax).With(path));
  Json config = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return Error(EUCLEAN, path + ": is no JSON object");
  TRY(AddUpdates(directory, config["linux"]["resources"]));
  return config;
}

Json DescribeConfig(const Json& config) {
  Json limits = At(config, "/linux/resources");
  if (limits.is_object()) limits.erase("devices");
  auto mounts = Json::array();
  for (const Json& mount : At(config, "/mounts"))
    if (WasAskedFor(mount)) mounts.push_back(mount);
  auto devices = Json::array();
  for (const Json& device : At(config, "/linux/devices"))
    devices.push_back(At(device, "/path"));
  auto namespaces = Json::array();
  for (const Json& one : At(config, "/linux/namespaces"))
    namespaces.push_back(At(one, "/type"));
  const auto is_true = [&](const char* path) {
    return At(config, path) == Json(true);
  };
  return {{"user", At(config, "/process/user")},
          {"workdir", At(config, "/process/cwd")},
          {"hostname", At(config, "/hostname")},
          {"env", At(config, "/process/env")},
          {"read_only", is_true("/root/readonly")},
          {"mounts", std::move(mounts)},
          {"devices", std::move(devices)},
          {"limits", std::move(limits)},
          {"ulimits", At(config, "/process/rlimits")},
          {"capabilities", At(config, "/process/capabilities/bounding")},
          {"no_new_privileges", is_true("/process/noNewPrivileges")},
          {"seccomp", config.contains(Json::json_pointer("/linux/seccomp"))},
          {"apparmor", At(config, "/process/apparmorProfile")},
          {"selinux", At(config, "/process/selinuxLabel")},
          {"namespaces", std::move(namespaces)}};
}

}  // namespace ufs
