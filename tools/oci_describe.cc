// ufs oci spec, features: what a configuration may say.
#include <fcntl.h>

#include <cerrno>
#include <cstdio>

#include "layerdb/base/syscall.h"
#include "runtime/config.h"
#include "runtime/default_config.h"
#include "runtime/id_map.h"
#include "runtime/kernel.h"
#include "runtime/mount_flags.h"
#include "runtime/names.h"
#include "runtime/namespaces.h"
#include "runtime/seccomp.h"
#include "tools/cmd_oci.h"
#include "tools/output.h"
#include "tools/print_json.h"

namespace ufs {

using Words = std::vector<std::string>;

Result<int> OciSpec(const OciGlobals&, const Words& words) {
  bool rootless = false;
  std::string bundle = ".";
  OciArguments arguments;
  arguments.Flag({"rootless"}, rootless).Value({"bundle", "b"}, bundle);
  if (!TRY(arguments.Parse(words)).empty())
    return Error(EINVAL, "spec takes no container id");
  Json config;
  if (rootless) {
    const runtime::IdMaps maps = runtime::RootlessMaps();
    if (!maps.fallback_reason.empty())
      std::fprintf(stderr, "ufs-oci: only one id will be mapped: %s\n",
                   maps.fallback_reason.c_str());
    config = runtime::DefaultConfig(&maps);
  } else {
    config = runtime::DefaultConfig(nullptr);
  }
  const std::string path = bundle + "/config.json";
  const auto file = sys::Open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644);
  if (file.code() == EEXIST)
    return Error(EEXIST, path + " exists; remove it first");
  if (!file.ok()) return Error(file.code(), path);
  TRY(runtime::kernel::WriteAll(*file, config.dump(2) + "\n").With(path));
  return 0;
}

Result<int> OciFeatures(const OciGlobals&, const Words& words) {
  OciArguments none;
  if (!TRY(none.Parse(words)).empty())
    return Error(EINVAL, "features takes no container id");
  Json features;
  features["ociVersionMin"] = "1.0.0";
  features["ociVersionMax"] = runtime::kOciVersion;
  features["hooks"] = {"prestart",       "createRuntime", "createContainer",
                       "startContainer", "poststart",     "poststop"};
  features["mountOptions"] = runtime::KnownMountOptions();
  Json& part = features["linux"];
  for (runtime::NamespaceType type : runtime::kAllNamespaces)
    part["namespaces"].push_back(runtime::OciNameOf(type));
  for (std::string_view name : runtime::CapabilityNames())
    part["capabilities"].push_back(name);
  part["cgroup"] = {{"v1", true},
                    {"v2", true},
                    {"systemd", true},
                    {"systemdUser", true},
                    {"rdma", true}};
  part["seccomp"] = {{"enabled", true},
                     {"actions", runtime::SeccompActions()},
                     {"operators", runtime::SeccompOperators()},
                     {"archs", runtime::SeccompArchitectures()},
                     {"knownFlags", runtime::SeccompFlags()},
                     {"supportedFlags", runtime::SupportedSeccompFlags()}};
  part["apparmor"]["enabled"] = true;
  part["selinux"]["enabled"] = true;
  part["intelRdt"]["enabled"] = false;
  part["mountExtensions"]["idmap"]["enabled"] = true;
  std::printf("%s\n", features.dump(2).c_str());
  return FinishOutput("ufs-oci features");
}

}  // namespace ufs
