// The "linux" object of config.json, but for resources and seccomp.
#include <sys/personality.h>
#include <sys/stat.h>

#include <cerrno>

#include "runtime/config.h"
#include "runtime/namespaces.h"

namespace ufs::runtime {
namespace {

bool IsCleanAbsolute(std::string_view path) {
  if (!path.starts_with('/')) return false;
  // No component may be "..": it would mean another place than it says.
  for (size_t at = 0; at < path.size();) {
    size_t end = path.find('/', at);
    if (end == path.npos) end = path.size();
    if (path.substr(at, end - at) == "..") return false;
    at = end + 1;
  }
  return true;
}

Status ReadNamespaces(const JsonReader& json, std::vector<Namespace>& list) {
  for (const JsonReader& element : TRY(json.Elements())) {
    std::string type;
    TRY(element.Require("type", type));
    const auto known = ParseOciName(type);
    if (!known)
      return element.Invalid("has type \"" + type + "\", which is none");
    for (const Namespace& other : list)
      if (other.type == *known)
        return element.Invalid("names " + type + " a second time");
    Namespace ns{*known, ""};
    TRY(element.Read("path", ns.path));
    if (!ns.path.empty() && !ns.path.starts_with('/'))
      return element.Invalid("has a path that is not absolute");
    list.push_back(std::move(ns));
  }
  return Ok();
}

Status ReadDevices(const JsonReader& json, std::vector<Device>& devices) {
  for (const JsonReader& element : TRY(json.Elements())) {
    Device device;
    std::string type;
    TRY(element.Require("path", device.path));
    TRY(element.Require("type", type));
    if (!IsCleanAbsolute(device.path))
      return element.Invalid("has a path that is not absolute, or has '..'");
    if (type != "c" && type != "b" && type != "u" && type != "p")
      return element.Invalid("has type \"" + type + "\"; c, b, u, p exist");
    device.type = type == "u" ? 'c' : type[0];
    if (device.type != 'p') {
      TRY(element.Require("major", device.major));
      TRY(element.Require("minor", device.minor));
    }
    TRY(element.Read("fileMode", device.mode));
    // Of podman's the kind of file is a part.
    if ((device.mode & ~mode_t{S_IFMT | 07777}) != 0)
      return element.Invalid("has an invalid fileMode");
    device.mode &= 07777;
    TRY(element.Read("uid", device.uid));
    TRY(element.Read("gid", device.gid));
    devices.push_back(std::move(device));
  }
  return Ok();
}

Status ReadPaths(const JsonReader& json, const char* key,
                 std::vector<std::string>& paths) {
  const JsonReader list = TRY(json.Get(key));
  TRY(list.Read(paths));
  for (const std::string& path : paths)
    if (!IsCleanAbsolute(path))
      return list.Invalid("has \"" + path +
                          "\", which is not absolute, or has '..'");
  return Ok();
}

// Only names of one namespace: another would change the host.
Status CheckSysctl(const ContainerSpec& spec, const std::string& name) {
  const auto has = [&](NamespaceType type) {
    return spec.Find(type) != nullptr;
  };
  if (name.find("..") != std::string::npos || name.starts_with('/') ||
      name.find("//") != std::string::npos)
    return Error(EINVAL, "linux.sysctl: invalid name \"" + name + "\"");
  std::string dotted = name;
  for (char& c : dotted)
    if (c == '/') c = '.';
  const auto need = [&](NamespaceType type) -> Status {
    if (has(type)) return Ok();
    return Error(EINVAL, "linux.sysctl." + name + " needs a " +
                             OciNameOf(type) +
                             " namespace: it would change the host");
  };
  if (dotted.starts_with("net.")) return need(NamespaceType::kNetwork);
  if (dotted.starts_with("fs.mqueue.") || dotted.starts_with("kernel.msg") ||
      dotted.starts_with("kernel.shm") || dotted == "kernel.sem")
    return need(NamespaceType::kIpc);
  if (dotted == "kernel.domainname") return need(NamespaceType::kUts);
  if (dotted == "kernel.hostname")
    return Error(EINVAL, "linux.sysctl.kernel.hostname: use hostname");
  return Error(EINVAL, "linux.sysctl." + name +
                           " is not in a namespace: it would change the host");
}

Status ReadPersonality(const JsonReader& json,
                       std::optional<unsigned long>& target) {
  if (!json.present()) return Ok();
  std::string domain;
  TRY(json.Require("domain", domain));
  std::vector<std::string> flags;
  TRY(json.Read("flags", flags));
  if (!flags.empty()) return json.Invalid("has flags; none are defined");
  if (domain != "LINUX" && domain != "LINUX32")
    return json.Invalid("has domain \"" + domain + "\"; LINUX, LINUX32 exist");
  target = domain == "LINUX" ? PER_LINUX : PER_LINUX32;
  return Ok();
}

Status ReadTimeOffsets(const JsonReader& json, ContainerSpec& spec) {
  for (const auto& [clock, element] : TRY(json.Members())) {
    if (clock != "monotonic" && clock != "boottime")
      return element.Invalid("is no clock with an offset");
    ContainerSpec::TimeOffset offset;
    TRY(element.Read("secs", offset.secs));
    TRY(element.Read("nanosecs", offset.nanosecs));
    if (offset.nanosecs > 999'999'999)
      return element.Invalid("has nanosecs above 999999999");
    spec.time_offsets[clock] = offset;
  }
  return Ok();
}

}  // namespace

Status ReadLinux(const JsonReader& json, ContainerSpec& spec) {
  TRY(ReadNamespaces(TRY(json.Get("namespaces")), spec.namespaces));
  TRY(ReadDevices(TRY(json.Get("devices")), spec.devices));
  TRY(json.Read("cgroupsPath", spec.cgroups_path));
  TRY(ReadResources(TRY(json.Get("resources")), spec.resources));
  TRY(json.Read("sysctl", spec.sysctl));
  for (const auto& [name, value] : spec.sysctl) TRY(CheckSysctl(spec, name));
  TRY(ReadPaths(json, "maskedPaths", spec.masked_paths));
  TRY(ReadPaths(json, "readonlyPaths", spec.readonly_paths));
  TRY(json.Read("mountLabel", spec.mount_label));
  const JsonReader propagation = TRY(json.Get("rootfsPropagation"));
  TRY(propagation.Read(spec.rootfs_propagation));
  const std::string& p = spec.rootfs_propagation;
  if (!p.empty() && p != "private" && p != "rprivate" && p != "slave" &&
      p != "rslave" && p != "shared" && p != "rshared" && p != "unbindable" &&
      p != "runbindable")
    return propagation.Invalid("is \"" + p + "\", which is no propagation");
  TRY(ReadSeccomp(TRY(json.Get("seccomp")), spec.seccomp));
  TRY(ReadTimeOffsets(TRY(json.Get("timeOffsets")), spec));
  return ReadPersonality(TRY(json.Get("personality")), spec.personality);
}

Status ReadSeccomp(const JsonReader& json, std::optional<Seccomp>& target) {
  if (!json.present()) return Ok();
  Seccomp seccomp;
  TRY(json.Require("defaultAction", seccomp.default_action));
  TRY(json.Read("defaultErrnoRet", seccomp.default_errno_ret));
  TRY(json.Read("architectures", seccomp.architectures));
  TRY(json.Read("flags", seccomp.flags));
  TRY(json.Read("listenerPath", seccomp.listener_path));
  TRY(json.Read("listenerMetadata", seccomp.listener_metadata));
  for (const JsonReader& element : TRY(TRY(json.Get("syscalls")).Elements())) {
    SeccompRule rule;
    TRY(element.Require("names", rule.names));
    TRY(element.Require("action", rule.action));
    TRY(element.Read("errnoRet", rule.errno_ret));
    if (rule.names.empty()) return element.Invalid("names no system call");
    for (const JsonReader& arg : TRY(TRY(element.Get("args")).Elements())) {
      SeccompArg filter;
      TRY(arg.Require("index", filter.index));
      TRY(arg.Require("value", filter.value));
      TRY(arg.Read("valueTwo", filter.value_two));
      TRY(arg.Require("op", filter.op));
      rule.args.push_back(std::move(filter));
    }
    seccomp.rules.push_back(std::move(rule));
  }
  target = std::move(seccomp);
  return Ok();
}

}  // namespace ufs::runtime
