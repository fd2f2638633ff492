#include "tools/run/missing_options.h"

namespace ufs {
namespace {

constexpr char kOwnIds[] =
    "as an ordinary user a container has the ids of /etc/subuid and "
    "/etc/subgid";
constexpr char kRealTime[] = "use --cap-add SYS_NICE and --ulimit rtprio=N";
constexpr char kNoBridge[] =
    "a container has the address of its helper; publish ports: -p";
constexpr char kOwnLayers[] = "layers are for this machine";

constexpr struct {
  const char* name;
  const char* remedy;
} kMissing[] = {
    {"--privileged",
     "give what is needed: --cap-add ALL, --security-opt seccomp=unconfined, "
     "--security-opt unmask=ALL, --device"},
    {"--userns", "as an ordinary user a container has one by itself"},
    {"--uidmap", kOwnIds},
    {"--gidmap", kOwnIds},
    {"--subuidname", kOwnIds},
    {"--subgidname", kOwnIds},
    {"--cgroup-parent", "start ufs in the cgroup that is to be the parent"},
    {"--runtime",
     "ufs run has its own; ufs-oci is a runtime for docker and podman"},
    {"--gpus", "name the devices: --device /dev/..."},
    {"--device-cgroup-rule", "name the devices: --device PATH:PATH:rwm"},
    {"--blkio-weight-device", "use --blkio-weight"},
    {"--cpu-rt-period", kRealTime},
    {"--cpu-rt-runtime", kRealTime},
    {"--kernel-memory", "it counts as memory: --memory"},
    {"--oom-kill-disable", "use --memory-reservation or --oom-score-adj"},
    {"--link", "containers have no network among themselves"},
    {"--network-alias", "containers have no network among themselves"},
    {"--ip", kNoBridge},
    {"--ip6", kNoBridge},
    {"--mac-address", kNoBridge},
    {"--log-driver", "'ufs logs' reads what a container writes"},
    {"--log-opt", "'ufs logs' reads what a container writes"},
    {"--platform", kOwnLayers},
    {"--arch", kOwnLayers},
    {"--os", kOwnLayers},
    {"--variant", kOwnLayers},
    {"--pull", "layers are in the store, or directories"},
    {"--rootfs", "name the directory as a LAYER"},
    {"--volumes-from", "name the directories: -v"},
    {"--volume-driver", "mount it on the host, and give it by -v"},
    {"--storage-opt", "give the disk of --upper a quota"},
    {"--secret", "mount the file: -v FILE:/run/secrets/NAME:ro"},
    {"--attach", "leave -d out, or see 'ufs attach --help'"},
    {"--env-host", "name them: -e NAME"},
    {"--tz", "use -e TZ=ZONE"},
    {"--pidfile", "'ufs inspect' tells the pid"},
    {"--pod", "a container stands alone"},
    {"--init-path", "--init finds tini or catatonit"},
    {"--preserve-fds", "ufs-oci run has it"},
    {"--health-on-failure", "see 'ufs ps --filter health=unhealthy'"},
};

}  // namespace

std::string NotSupported(const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  for (const auto& missing : kMissing)
    if (name == missing.name)
      return name + " is not supported; " + missing.remedy;
  return "";
}

}  // namespace ufs
