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
    {"--label-file", "name them: --label KEY=VALUE"},
    {"-a", "leave -d out, or see 'ufs attach --help'"},
    {"-q", "nothing is pulled"},
    {"--quiet", "nothing is pulled"},
    {"--disable-content-trust", "nothing is pulled"},
    {"--tls-verify", "nothing is pulled"},
    {"--authfile", "nothing is pulled"},
    {"--isolation", "it is that of Linux"},
    {"--no-hosts", "mount a file of your own: -v FILE:/etc/hosts"},
    {"--timeout", "use timeout(1): timeout SECONDS ufs run ..."},
    {"--unsetenv", "set it to nothing: -e NAME="},
    {"--env-merge", "name what it comes to: -e NAME=VALUE"},
    {"--http-proxy", "name them: -e HTTP_PROXY"},
    {"--image-volume", "mount something else at its place: -v or --tmpfs"},
    {"--read-only-tmpfs", "name them: --tmpfs /run --tmpfs /tmp"},
    {"--systemd", "give what it asks for: --tmpfs /run --tmpfs /tmp"},
    {"--cgroups", "a container has cgroups where it has limits"},
    {"--rmi", "'ufs layer rm' removes images and layers"},
};

constexpr char kAllByName[] = "name them: $(ufs ps --all --quiet)";
constexpr char kNoSize[] =
    "du(1) tells, of the directory that 'ufs inspect' names as upper";

constexpr char kOneKindOfVolume[] =
    "a volume is a directory of this machine; mount it, and give it by 'ufs "
    "run -v'";

constexpr struct {
  std::string_view verb, name;
  const char* remedy;
} kMissingOfVerbs[] = {
    {"volume", "-d", kOneKindOfVolume},
    {"volume", "--driver", kOneKindOfVolume},
    {"volume", "-o", kOneKindOfVolume},
    {"volume", "--opt", kOneKindOfVolume},
    {"volume", "--label", "it has a name alone"},
    {"volume", "--filter", "use 'ufs volume ls --json' and jq(1)"},
    {"ps", "-s", kNoSize},
    {"ps", "--size", kNoSize},
    {"ps", "--sort", "use sort(1), or 'ufs ps --json'"},
    {"ps", "--pod", "a container stands alone"},
    {"ps", "--watch", "use watch(1): watch ufs ps"},
    {"inspect", "-s", kNoSize},
    {"inspect", "--size", kNoSize},
    {"inspect", "--type",
     "it is of containers; 'ufs layer show' and 'ufs volume inspect' tell of "
     "others"},
    {"stats", "-a", "one that has ended uses nothing"},
    {"stats", "--all", "one that has ended uses nothing"},
    {"logs", "--details", "'ufs inspect' tells what it was run with"},
    {"exec", "--privileged", "capabilities are given by 'ufs run --cap-add'"},
    {"exec", "--detach-keys", "leave it by the end of its program, or use -d"},
    {"rm", "-l", "containers have no links"},
    {"rm", "--link", "containers have no links"},
    {"rm", "-a", kAllByName},
    {"rm", "--all", kAllByName},
    {"stop", "-a", kAllByName},
    {"stop", "--all", kAllByName},
    {"restart", "-a", kAllByName},
    {"restart", "--all", kAllByName},
    {"restart", "--running", "name them: $(ufs ps --quiet)"},
    {"kill", "-a", kAllByName},
    {"kill", "--all", kAllByName},
    {"wait", "--condition", "it waits for the end"},
    {"update", "--restart", "'ufs run --restart' says it once for all"},
};

constexpr char kRunStarts[] =
    "'ufs run' makes a container and starts it; one that has ended is not "
    "started again, but by --restart; 'ufs restart' is for one that runs";
constexpr char kNoRegistry[] =
    "there is no client for registries: skopeo copies images from them to an "
    "OCI layout, for 'ufs layer import', and from 'ufs layer export --format "
    "oci' to them";
constexpr char kLayers[] = "see 'ufs layer --help'";

constexpr struct {
  std::string_view name;
  const char* remedy;
} kMissingVerbs[] = {
    {"create", kRunStarts},
    {"start", kRunStarts},
    {"cp",
     "give the directory by 'ufs run -v', or send a tar through 'ufs exec'"},
    {"events", "'ufs wait' waits for an end, and 'ufs-oci events' for more"},
    {"images", "'ufs layer ls' lists images and layers"},
    {"image", kLayers},
    {"rmi", "'ufs layer rm' removes images and layers"},
    {"tag", "'ufs layer tag' gives them names"},
    {"history", "'ufs layer show' tells what an image is made of"},
    {"load", "'ufs layer import' takes images and tars"},
    {"import", "'ufs layer import' takes images and tars"},
    {"save", "'ufs layer export' writes images and tars"},
    {"export", "'ufs layer export' writes images and tars"},
    {"build",
     "make layers with 'ufs run --upper', or --keep, and 'ufs commit'"},
    {"pull", kNoRegistry},
    {"push", kNoRegistry},
    {"login", kNoRegistry},
    {"network",
     "containers have no network among themselves; see --network of 'ufs run "
     "--help'"},
    {"system", "see 'ufs store --help', and 'ufs doctor'"},
    {"info", "'ufs doctor' tells what this machine has"},
    {"compose", "containers are started one by one"},
};

}  // namespace

std::string VerbNotSupported(std::string_view verb) {
  for (const auto& missing : kMissingVerbs)
    if (verb == missing.name)
      return "there is no verb '" + std::string(verb) + "'; " + missing.remedy;
  return "";
}

std::string NotSupported(std::string_view verb, int argc, char** argv) {
  for (int i = 1; i < argc && std::string_view(argv[i]) != "--"; ++i) {
    std::string_view word = argv[i];
    // What follows the container is the command's own.
    if (verb == "exec" && !word.starts_with('-')) break;
    word = word.substr(0, word.find('='));
    for (const auto& missing : kMissingOfVerbs)
      if (verb == missing.verb && word == missing.name)
        return std::string(word) + " is not supported; " + missing.remedy;
  }
  return "";
}

std::string NotSupported(const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  for (const auto& missing : kMissing)
    if (name == missing.name)
      return name + " is not supported; " + missing.remedy;
  return "";
}

}  // namespace ufs
