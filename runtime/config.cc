#include "runtime/config.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "runtime/kernel.h"
#include "runtime/names.h"
#include "runtime/rooted_path.h"

namespace ufs::runtime {
namespace {

// What the specification has and we do not, by path. Refused when present with
// a value that asks for something.
constexpr struct {
  const char* object;
  const char* key;
} kUnsupported[] = {
    {"", "windows"},
    {"", "solaris"},
    {"", "vm"},
    {"", "zos"},
    {"", "freebsd"},
    {"linux", "intelRdt"},
    {"linux", "netDevices"},
    {"linux", "memoryPolicy"},
};

Status RefuseUnsupported(const nlohmann::json& json) {
  for (const auto& [object, key] : kUnsupported) {
    const nlohmann::json* holder = &json;
    if (*object != '\0') {
      const auto found = json.find(object);
      if (found == json.end() || !found->is_object()) continue;
      holder = &*found;
    }
    const auto value = holder->find(key);
    if (value == holder->end() || value->is_null()) continue;
    if (value->is_string() && value->get_ref<const std::string&>().empty())
      continue;
    if (value->is_object() && value->empty()) continue;
    const std::string path =
        *object == '\0' ? key : std::string(object) + "." + key;
    return Error(ENOTSUP, path + " is not supported");
  }
  return Ok();
}

Status ReadRoot(const JsonReader& json, ContainerSpec& spec) {
  if (!json.present()) return json.Invalid("is missing");
  TRY(json.Require("path", spec.root_path));
  if (spec.root_path.empty()) return json.Invalid("has an empty path");
  return json.Read("readonly", spec.root_readonly);
}

// The kernel takes no id twice, on either side.
Status CheckOverlap(const JsonReader& json, const std::vector<IdMapping>& maps,
                    const IdMapping& map) {
  const auto check = [&](const char* side, size_t at, uint32_t ours,
                         uint32_t others) -> Status {
    const uint32_t our_end = ours + map.size, end = others + maps[at].size;
    if (ours >= end || others >= our_end) return Ok();
    const auto range = [](uint32_t first, uint32_t behind) {
      return std::to_string(first) + "-" + std::to_string(behind - 1);
    };
    return json.Invalid("overlaps element " + std::to_string(at) + ": " + side +
                        " " + range(ours, our_end) + " and " +
                        range(others, end));
  };
  for (size_t i = 0; i < maps.size(); ++i) {
    TRY(check("containerID", i, map.container_id, maps[i].container_id));
    TRY(check("hostID", i, map.host_id, maps[i].host_id));
  }
  return Ok();
}

Status ReadIdMappings(const JsonReader& json, std::vector<IdMapping>& maps) {
  for (const JsonReader& element : TRY(json.Elements())) {
    IdMapping map;
    TRY(element.Require("containerID", map.container_id));
    TRY(element.Require("hostID", map.host_id));
    TRY(element.Require("size", map.size));
    if (map.size == 0) return element.Invalid("has size 0");
    if (uint64_t{map.container_id} + map.size > UINT32_MAX ||
        uint64_t{map.host_id} + map.size > UINT32_MAX)
      return element.Invalid("reaches beyond the last id");
    TRY(CheckOverlap(element, maps, map));
    maps.push_back(map);
  }
  return Ok();
}

Status ReadMounts(const JsonReader& json, std::vector<Mount>& mounts) {
  for (const JsonReader& element : TRY(json.Elements())) {
    Mount mount;
    TRY(element.Require("destination", mount.destination));
    TRY(element.Read("type", mount.type));
    TRY(element.Read("source", mount.source));
    TRY(element.Read("options", mount.options));
    // Specification 1.0 allowed relative ones: below the root.
    mount.destination = CleanPath(mount.destination);
    TRY(ReadIdMappings(TRY(element.Get("uidMappings")), mount.uid_mappings));
    TRY(ReadIdMappings(TRY(element.Get("gidMappings")), mount.gid_mappings));
    mounts.push_back(std::move(mount));
  }
  return Ok();
}

Status ReadHookList(const JsonReader& json, const char* key,
                    std::vector<Hook>& hooks) {
  for (const JsonReader& element : TRY(TRY(json.Get(key)).Elements())) {
    Hook hook;
    TRY(element.Require("path", hook.path));
    if (!hook.path.starts_with('/'))
      return element.Invalid("has a path that is not absolute");
    TRY(element.Read("args", hook.args));
    TRY(element.Read("env", hook.env));
    TRY(element.Read("timeout", hook.timeout_s));
    if (hook.timeout_s && *hook.timeout_s <= 0)
      return element.Invalid("has a timeout that is not above 0");
    hooks.push_back(std::move(hook));
  }
  return Ok();
}

Status ReadHooks(const JsonReader& json, Hooks& hooks) {
  TRY(ReadHookList(json, "prestart", hooks.prestart));
  TRY(ReadHookList(json, "createRuntime", hooks.create_runtime));
  TRY(ReadHookList(json, "createContainer", hooks.create_container));
  TRY(ReadHookList(json, "startContainer", hooks.start_container));
  TRY(ReadHookList(json, "poststart", hooks.poststart));
  return ReadHookList(json, "poststop", hooks.poststop);
}

// "1.0", "1.2.0-rc.1": the major number decides, as in semantic versioning.
Status CheckVersion(const JsonReader& json, std::string& version) {
  TRY(json.Require("ociVersion", version));
  if (!version.starts_with("1."))
    return Error(ENOTSUP, "ociVersion \"" + version +
                              "\" is not supported; 1.0 to 1.2 are");
  return Ok();
}

// What one field alone cannot show.
Status CheckWhole(const ContainerSpec& spec) {
  const bool own_uts = spec.Find(NamespaceType::kUts) != nullptr;
  if (!own_uts && (!spec.hostname.empty() || !spec.domainname.empty()))
    return Error(EINVAL,
                 "hostname and domainname need a uts namespace in "
                 "linux.namespaces");
  if (spec.HasNew(NamespaceType::kUser) &&
      (spec.uid_mappings.empty() || spec.gid_mappings.empty()))
    return Error(EINVAL,
                 "a new user namespace needs linux.uidMappings and "
                 "linux.gidMappings");
  if (!spec.HasNew(NamespaceType::kUser) &&
      (!spec.uid_mappings.empty() || !spec.gid_mappings.empty()))
    return Error(EINVAL,
                 "linux.uidMappings and linux.gidMappings need a new user "
                 "namespace");
  if (!spec.time_offsets.empty() && !spec.HasNew(NamespaceType::kTime))
    return Error(EINVAL, "linux.timeOffsets needs a new time namespace");
  const Namespace* const mounts = spec.Find(NamespaceType::kMount);
  if (mounts == nullptr)
    return Error(ENOTSUP,
                 "a container without a mount namespace is not supported");
  if (!mounts->path.empty() && spec.HasNew(NamespaceType::kUser))
    return Error(EINVAL,
                 "a mount namespace that is joined needs the user namespace "
                 "that it belongs to: a new one has no rights in it");
  return Ok();
}

Result<nlohmann::json> ParseObject(std::string_view text) {
  auto json = TRY(ParseJson(text, kConfigBytesMax));
  if (!json.is_object()) return Error(EINVAL, "not a JSON object");
  return json;
}

}  // namespace

Status ReadIdMaps(const JsonReader& json, ContainerSpec& spec) {
  TRY(ReadIdMappings(TRY(json.Get("uidMappings")), spec.uid_mappings));
  return ReadIdMappings(TRY(json.Get("gidMappings")), spec.gid_mappings);
}

Result<ContainerSpec> ParseConfig(std::string_view text) {
  const auto json = TRY(ParseObject(text));
  const JsonReader reader(&json, "");
  ContainerSpec spec;
  TRY(CheckVersion(reader, spec.oci_version));
  TRY(RefuseUnsupported(json));
  TRY(ReadRoot(TRY(reader.Get("root")), spec));
  TRY(reader.Read("hostname", spec.hostname));
  TRY(reader.Read("domainname", spec.domainname));
  TRY(ReadMounts(TRY(reader.Get("mounts")), spec.mounts));
  TRY(reader.Read("annotations", spec.annotations));
  TRY(ReadHooks(TRY(reader.Get("hooks")), spec.hooks));
  const JsonReader linux_part = TRY(reader.Get("linux"));
  TRY(ReadIdMaps(linux_part, spec));
  TRY(ReadLinux(linux_part, spec));
  const JsonReader process = TRY(reader.Get("process"));
  if (!process.present()) return process.Invalid("is missing");
  TRY(ReadProcess(process, spec.process));
  // crun's; podman sets it for --group-add keep-groups.
  const auto keep = spec.annotations.find("run.oci.keep_original_groups");
  spec.process.user.keep_groups =
      keep != spec.annotations.end() && keep->second == "1";
  TRY(CheckWhole(spec));
  return spec;
}

Result<Process> ParseProcess(std::string_view text) {
  nlohmann::json whole;
  whole["process"] = TRY(ParseObject(text));
  TRY(RefuseUnsupported(whole));
  Process process;
  TRY(ReadProcess(JsonReader(&whole["process"], "process"), process));
  return process;
}

Result<Resources> ParseResources(std::string_view text) {
  const auto json = TRY(ParseObject(text));
  Resources resources;
  TRY(ReadResources(JsonReader(&json, "resources"), resources));
  return resources;
}

Result<std::string> ReadConfig(const std::string& bundle) {
  const std::string path = bundle + "/config.json";
  // A fifo is not waited for.
  const auto fd =
      TRY(sys::Open(path.c_str(), O_RDONLY | O_NONBLOCK).With(path));
  if (!S_ISREG(TRY(sys::Statx({fd})).stx_mode))
    return Error(EINVAL, path + ": is no regular file");
  return kernel::ReadAll(fd, kConfigBytesMax).With(path);
}

}  // namespace ufs::runtime
