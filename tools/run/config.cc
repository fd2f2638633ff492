#include "tools/run/config.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <set>

#include "layerdb/base/syscall.h"
#include "runtime/config.h"
#include "runtime/default_config.h"
#include "runtime/default_seccomp.h"
#include "runtime/exec.h"
#include "runtime/kernel.h"
#include "runtime/names.h"
#include "runtime/namespaces.h"
#include "runtime/programs.h"
#include "runtime/seccomp.h"
#include "runtime/user_db.h"
#include "tools/print_json.h"
#include "tools/run/network_files.h"

namespace ufs {
namespace {

using Strings = std::vector<std::string>;
namespace kernel = runtime::kernel;

// Where the program of --init is put: a tmpfs, so that no upper has it.
constexpr char kInitPath[] = "/dev/init";

// Of dockerd, daemon/pkg/oci/caps/defaults.go.
constexpr const char* kDefaultCapabilities[] = {
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
    "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
    "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
    "CAP_KILL",    "CAP_AUDIT_WRITE"};

// Every capability that can be had here.
void AddAll(std::set<std::string>& set) {
  for (std::string_view name : runtime::CapabilityNames()) {
    const auto number = runtime::ParseCapability(name);
    if (number && prctl(PR_CAPBSET_READ, *number, 0, 0, 0) == 1)
      set.emplace(name);
  }
}

// The ids of the user namespace that this process is in.
std::vector<runtime::IdMapping> OwnMap(const char* path) {
  std::vector<runtime::IdMapping> maps;
  const auto text = kernel::ReadFile(path);
  if (!text.ok()) return maps;
  size_t begin = 0;
  while (begin < text->size()) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    runtime::IdMapping map;
    if (std::sscanf(text->c_str() + begin, "%u %u %u", &map.container_id,
                    &map.host_id, &map.size) == 3)
      maps.push_back(map);
    begin = end + 1;
  }
  return maps;
}

Json BaseConfig() {
  if (runtime::InInitialUserNamespace()) return runtime::DefaultConfig(nullptr);
  // The namespace is there already, and we are its root.
  runtime::IdMaps maps;
  maps.uids = OwnMap("/proc/self/uid_map");
  maps.gids = OwnMap("/proc/self/gid_map");
  Json config = runtime::DefaultConfig(&maps);
  Json& linux_part = config["linux"];
  linux_part.erase("uidMappings");
  linux_part.erase("gidMappings");
  Json& namespaces = linux_part["namespaces"];
  for (size_t i = 0; i < namespaces.size(); ++i)
    if (namespaces[i]["type"] == "user") namespaces.erase(i--);
  return config;
}

Json MountOf(const runtime::Mount& mount) {
  return {{"destination", mount.destination},
          {"type", mount.type},
          {"source", mount.source},
          {"options", mount.options}};
}

// Parents before what lies below them, else in the order they were given.
void AddMounts(const RunOptions& options, const std::string& directory,
               Json& config) {
  std::vector<runtime::Mount> mounts;
  for (const std::string& name : NetworkFiles(options))
    mounts.push_back(
        {"/etc/" + name, "bind", directory + "/" + name, {"bind", "rprivate"}});
  for (const RequestedMount& requested : options.mounts) {
    const runtime::Mount& mount = requested.mount;
    std::erase_if(mounts, [&](const runtime::Mount& other) {
      return other.destination == mount.destination;
    });
    mounts.push_back(mount);
  }
  const auto depth = [](const runtime::Mount& mount) {
    return std::count(mount.destination.begin(), mount.destination.end(), '/');
  };
  std::stable_sort(mounts.begin(), mounts.end(),
                   [&](const runtime::Mount& a, const runtime::Mount& b) {
                     return depth(a) < depth(b);
                   });
  for (const runtime::Mount& mount : mounts)
    config["mounts"].push_back(MountOf(mount));
}

// "HOST[:CONTAINER[:rwm]]"
Status AddDevice(const std::string& text, Json& config) {
  const std::string what = "--device " + text;
  const size_t first = text.find(':');
  const std::string host = text.substr(0, first);
  std::string path = host, access = "rwm";
  if (first != text.npos) {
    const size_t second = text.find(':', first + 1);
    const std::string middle = text.substr(first + 1, second - first - 1);
    if (middle.starts_with('/')) path = middle;
    if (!middle.starts_with('/') && second == text.npos) access = middle;
    if (second != text.npos) access = text.substr(second + 1);
  }
  if (access.empty() || access.find_first_not_of("rwm") != access.npos)
    return Error(EINVAL, what + ": access is made of r, w and m");
  const UniqueFd node = TRY(sys::Open(host.c_str(), O_PATH).With(what));
  const auto stat = TRY(sys::Statx({node}).With(what));
  const bool block = S_ISBLK(stat.stx_mode);
  if (!block && !S_ISCHR(stat.stx_mode))
    return Error(EINVAL, what + ": is no device; name each node itself");
  if (!runtime::InInitialUserNamespace()) {
    // Nodes cannot be made here, and the kernel guards the host's by their
    // modes. Read-only are those and the owner, not the device.
    config["mounts"].push_back(MountOf(
        {path, "bind", host, {"bind", "rprivate", "ro", "nosuid", "noexec"}}));
    return Ok();
  }
  const char* const type = block ? "b" : "c";
  config["linux"]["devices"].push_back({{"path", path},
                                        {"type", type},
                                        {"major", stat.stx_rdev_major},
                                        {"minor", stat.stx_rdev_minor},
                                        {"fileMode", stat.stx_mode & 07777},
                                        {"uid", stat.stx_uid},
                                        {"gid", stat.stx_gid}});
  config["linux"]["resources"]["devices"].push_back(
      {{"allow", true},
       {"type", type},
       {"major", stat.stx_rdev_major},
       {"minor", stat.stx_rdev_minor},
       {"access", access}});
  return Ok();
}

Status AddInit(bool host_pid, Json& config) {
  for (const char* name : {"tini-static", "catatonit", "docker-init"}) {
    const std::string path = runtime::FindProgram(name);
    if (path.empty()) continue;
    config["mounts"].push_back(
        MountOf({kInitPath, "bind", path, {"bind", "ro", "rprivate"}}));
    Json args = {kInitPath};
    // Not process 1 of the host's: it must ask for the orphans. Catatonit does
    // by itself.
    if (host_pid && std::string_view(name) != "catatonit") args.push_back("-s");
    args.push_back("--");
    for (const auto& word : config["process"]["args"]) args.push_back(word);
    config["process"]["args"] = std::move(args);
    return Ok();
  }
  return Error(ENOENT,
               "--init needs tini-static or catatonit, and neither is "
               "installed; install the package tini or catatonit");
}

Status SetUser(const RunOptions& options, const ImageConfig& image,
               const std::string& root, Json& user) {
  const std::string& name = options.user.empty() ? image.user : options.user;
  if (name.empty() && options.groups.empty()) return Ok();
  const UniqueFd tree =
      TRY(sys::Open(root.c_str(), O_PATH | O_DIRECTORY).With(root));
  runtime::User found;
  if (!name.empty())
    found = TRY(runtime::ResolveUser(tree, name).With("--user " + name));
  const std::string groups =
      options.groups.empty() ? "" : runtime::ReadSmallFile(tree, "/etc/group");
  for (const std::string& group : options.groups) {
    const auto gid = runtime::FindGroup(groups, group);
    if (!gid)
      return Error(ENOENT, "--group-add: no group \"" + group +
                               "\" in the container's /etc/group");
    found.additional_gids.push_back(*gid);
  }
  user["uid"] = found.uid;
  user["gid"] = found.gid;
  if (!found.additional_gids.empty())
    user["additionalGids"] = found.additional_gids;
  return Ok();
}

Status SetProcess(const RunOptions& options, const ImageConfig& image,
                  const std::string& hostname, Json& config) {
  Json& process = config["process"];
  process["args"] = TRY(CommandOf(options, image));
  process["terminal"] = options.terminal;
  winsize window;
  if (options.terminal && ioctl(STDIN_FILENO, TIOCGWINSZ, &window) == 0)
    process["consoleSize"] = {{"height", window.ws_row},
                              {"width", window.ws_col}};
  Strings env = {std::string("PATH=") + runtime::kDefaultPath,
                 "HOSTNAME=" + hostname};
  if (options.terminal) env.push_back("TERM=xterm");
  // A name alone takes the caller's value, which is no image's to see.
  for (const std::string& entry : image.env)
    if (entry.find('=') != entry.npos) TRY(AddEnvironment(entry, env));
  for (const std::string& entry : options.env) TRY(AddEnvironment(entry, env));
  process["env"] = env;
  process["cwd"] = !options.workdir.empty()     ? options.workdir
                   : !image.working_dir.empty() ? image.working_dir
                                                : "/";
  // Not the caller's, as the rest of its surroundings.
  process["user"]["umask"] = options.umask.value_or(0022);
  if (options.oom_score_adj) process["oomScoreAdj"] = *options.oom_score_adj;
  const Strings capabilities =
      CapabilitiesOf(options.cap_add, options.cap_drop);
  for (const char* set : {"bounding", "effective", "permitted"})
    process["capabilities"][set] = capabilities;
  process["noNewPrivileges"] = options.no_new_privileges;
  if (!options.apparmor.empty()) process["apparmorProfile"] = options.apparmor;
  if (!options.selinux.process.empty())
    process["selinuxLabel"] = options.selinux.process;
  // Those of the caller, but for what was asked for.
  process["rlimits"] = options.rlimits;
  return Ok();
}

// A container without one is in its maker's.
void DropNamespace(const char* type, Json& config) {
  Json& namespaces = config["linux"]["namespaces"];
  for (size_t i = 0; i < namespaces.size(); ++i)
    if (namespaces[i]["type"] == type) namespaces.erase(i--);
}

// What a namespace of ipc shows by file systems is the host's then.
void ShareIpc(Json& mounts) {
  for (size_t i = 0; i < mounts.size(); ++i) {
    const auto place = mounts[i]["destination"].get<std::string>();
    if (place != "/dev/shm" && place != "/dev/mqueue") continue;
    if (access(place.c_str(), F_OK) == 0)
      mounts[i] = MountOf({place,
                           "bind",
                           place,
                           {"rbind", "rprivate", "nosuid", "noexec", "nodev"}});
    else
      mounts.erase(i--);
  }
}

void SetNamespaces(const RunOptions& options, const std::string& network,
                   Json& config) {
  if (!network.empty())
    for (Json& own : config["linux"]["namespaces"])
      if (own["type"] == "network") own["path"] = network;
  if (options.network == Network::kHost) DropNamespace("network", config);
  if (options.host_pid) DropNamespace("pid", config);
  if (options.host_uts) DropNamespace("uts", config);
  if (options.host_cgroup) DropNamespace("cgroup", config);
  if (!options.host_ipc) return;
  DropNamespace("ipc", config);
  ShareIpc(config["mounts"]);
}

void SetSharedMemory(int64_t bytes, Json& mounts) {
  for (Json& mount : mounts) {
    if (mount["destination"] != "/dev/shm") continue;
    for (Json& option : mount["options"])
      if (option.get<std::string>().starts_with("size="))
        option = "size=" + std::to_string(bytes);
  }
}

void Unmask(const std::string& pattern, Json& paths) {
  for (size_t i = 0; i < paths.size(); ++i)
    if (fnmatch(pattern.c_str(), paths[i].get<std::string>().c_str(), 0) == 0)
      paths.erase(i--);
}

Status SetLinux(const RunOptions& options, Json& config) {
  Json& linux_part = config["linux"];
  for (const auto& [key, value] : options.resources.items())
    linux_part["resources"][key] = value;
  for (const std::string& device : options.devices)
    TRY(AddDevice(device, config));
  if (!options.sysctls.empty()) linux_part["sysctl"] = options.sysctls;
  if (!options.selinux.mount.empty())
    linux_part["mountLabel"] = options.selinux.mount;
  for (const std::string& pattern : options.unmasked)
    for (const char* paths : {"maskedPaths", "readonlyPaths"})
      Unmask(pattern, linux_part[paths]);
  if (!options.seccomp) {
    uint64_t capabilities = 0;
    for (const auto& name : config["process"]["capabilities"]["bounding"])
      capabilities |= uint64_t{1}
                      << *runtime::ParseCapability(name.get<std::string>());
    linux_part["seccomp"] = runtime::DefaultSeccomp(capabilities);
  } else if (!options.seccomp->empty()) {
    linux_part["seccomp"] = Json::parse(*options.seccomp, nullptr, false);
  }
  return Ok();
}

// All that asks neither for the root nor for a place of its own.
Status SetFromWords(const RunOptions& options, const ImageConfig& image,
                    const std::string& hostname, const std::string& network,
                    Json& config) {
  TRY(SetProcess(options, image, hostname, config));
  TRY(SetLinux(options, config));
  SetNamespaces(options, network, config);
  return Ok();
}

std::string TextOf(const Json& config) {
  return config.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string HostnameOf(const RunOptions& options) {
  constexpr size_t kHostnameMax = 63;
  utsname host;
  if (options.host_uts && uname(&host) == 0) return host.nodename;
  if (!options.hostname.empty()) return options.hostname;
  std::string hostname = options.name.substr(0, kHostnameMax);
  std::replace(hostname.begin(), hostname.end(), '_', '-');
  return hostname;
}

}  // namespace

std::string CapabilityName(std::string name) {
  for (char& c : name) c = static_cast<char>(std::toupper(c));
  if (name != "ALL" && !name.starts_with("CAP_")) name.insert(0, "CAP_");
  return name;
}

Strings CapabilitiesOf(const Strings& add, const Strings& drop) {
  std::set<std::string> set(std::begin(kDefaultCapabilities),
                            std::end(kDefaultCapabilities));
  const auto has_all = [](const Strings& names) {
    return std::any_of(names.begin(), names.end(), [](const std::string& name) {
      return CapabilityName(name) == "ALL";
    });
  };
  if (has_all(add)) AddAll(set);
  if (has_all(drop)) set.clear();
  for (const std::string& name : drop) set.erase(CapabilityName(name));
  for (const std::string& name : add)
    if (CapabilityName(name) != "ALL") set.insert(CapabilityName(name));
  return {set.begin(), set.end()};
}

Result<Strings> CommandOf(const RunOptions& options, const ImageConfig& image) {
  Strings words;
  if (options.entrypoint) {
    if (!options.entrypoint->empty()) words.push_back(*options.entrypoint);
  } else {
    words = image.entrypoint;
  }
  // Another program has no use for the arguments of the image's own.
  const Strings& rest = !options.command.empty() || options.entrypoint
                            ? options.command
                            : image.cmd;
  words.insert(words.end(), rest.begin(), rest.end());
  if (words.empty())
    return Error(EINVAL,
                 "no command given; say what to run after --, as in "
                 "'ufs run LAYER -- sh'");
  return words;
}

Result<std::string> MakeRunConfig(const RunOptions& options,
                                  const ImageConfig& image,
                                  const std::string& directory,
                                  const std::string& root,
                                  const std::string& network) {
  const std::string hostname = HostnameOf(options);
  Json config = BaseConfig();
  config["root"] = {{"path", root}, {"readonly", options.read_only}};
  config["hostname"] = hostname;
  if (options.host_uts) config.erase("hostname");
  if (!options.domainname.empty()) config["domainname"] = options.domainname;
  if (!options.annotations.empty()) config["annotations"] = options.annotations;
  if (options.shm_bytes != 0)
    SetSharedMemory(options.shm_bytes, config["mounts"]);
  TRY(SetFromWords(options, image, hostname, network, config));
  TRY(SetUser(options, image, root, config["process"]["user"]));
  TRY(WriteNetworkFiles(options, directory, hostname).With(directory));
  AddMounts(options, directory, config);
  if (options.init) TRY(AddInit(options.host_pid, config));
  return TextOf(config);
}

Result<runtime::ContainerSpec> CheckRunConfig(const RunOptions& options,
                                              const ImageConfig& image) {
  Json config = BaseConfig();
  config["root"] = {{"path", "/"}};
  TRY(SetFromWords(options, image, HostnameOf(options), /*network=*/"",
                   config));
  if (options.init) TRY(AddInit(options.host_pid, config));
  auto spec = TRY(runtime::ParseConfig(TextOf(config)));
  if (spec.seccomp) TRY(runtime::CompileSeccomp(*spec.seccomp));
  return spec;
}

bool NamesUsers(const RunOptions& options, const ImageConfig& image) {
  const auto is_name = [](const std::string& word) {
    return word.find_first_not_of("0123456789:") != word.npos;
  };
  return is_name(options.user.empty() ? image.user : options.user) ||
         std::any_of(options.groups.begin(), options.groups.end(), is_name);
}

Status CheckUser(const RunOptions& options, const ImageConfig& image,
                 const std::string& root) {
  Json user;
  return SetUser(options, image, root, user);
}

}  // namespace ufs
