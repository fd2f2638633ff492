// What the words of `ufs run` mean: plain data, checked as far as it can be
// without looking at layers or the machine.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "runtime/spec.h"
#include "tools/print_json.h"
#include "tools/run/health.h"
#include "tools/run/ports.h"
#include "tools/run/record.h"
#include "tools/run/restart.h"
#include "tools/run/selinux_labels.h"

namespace ufs {

// Who speaks on stderr.
inline constexpr char kUfsRun[] = "ufs run";

// A mount that was asked for.
struct RequestedMount {
  runtime::Mount mount;
  // The volume that is its source, if one is; made when the container is.
  std::string volume;
  bool fill = true;  // a new one, with what the image has there
  enum class Relabel { kNo, kShared, kPrivate } relabel = Relabel::kNo;
  // The volume was made up for this container, and may go with it.
  bool anonymous = false;
};

enum class Network { kNone, kHost, kSlirp4netns, kPasta };
const char* NameOf(Network network);
// Has a namespace of its own, and a helper that connects it.
inline bool IsPrivate(Network network) {
  return network == Network::kSlirp4netns || network == Network::kPasta;
}

struct RunOptions {
  std::vector<std::string> layers;
  std::vector<std::string> command;
  std::optional<std::string> entrypoint;

  std::string name;   // of the container
  std::string upper;  // absolute; empty: a fresh one
  std::string store;
  bool keep = false, remove = false;
  bool detach = false, interactive = false, terminal = false;
  std::string detach_keys = "ctrl-p,ctrl-q";
  bool signal_proxy = true;
  bool replace = false;  // one of that name
  std::string cidfile;   // takes the name

  std::vector<std::string> env;  // NAME=VALUE
  std::string workdir, user, hostname, domainname;
  std::vector<std::string> groups;  // beside the user's, as given
  std::optional<uint32_t> umask;
  std::optional<int> oom_score_adj;
  std::map<std::string, std::string> labels;  // beside the image's
  std::map<std::string, std::string> annotations;
  bool read_only = false, init = false;
  std::vector<RequestedMount> mounts;
  std::vector<std::string> devices;  // HOST[:CONTAINER[:rwm]]
  Network network = Network::kNone;
  bool host_uts = false, host_ipc = false, host_pid = false,
       host_cgroup = false;
  std::vector<std::string> hosts;  // lines for /etc/hosts, see host_gateway.h
  bool own_resolv_conf = true;     // false: what the image has
  std::vector<std::string> dns, dns_search, dns_options;
  std::vector<PublishedPort> ports;
  std::vector<std::string> exposed;  // beside the image's
  bool publish_all = false;          // what is exposed, too
  RestartPolicy restart;
  HealthOptions health;      // as it was asked for
  HealthCheck health_check;  // with what the image says
  int stop_signal = 0;       // 0: the image's, else TERM
  int stop_timeout = kStopSeconds;

  // As in config.json.
  Json resources = Json::object();
  int64_t shm_bytes = 0;  // 0: the default
  Json rlimits = Json::array();
  std::map<std::string, std::string> sysctls;

  std::vector<std::string> cap_add, cap_drop;  // names as given
  bool no_new_privileges = false;
  std::vector<std::string> unmasked;  // patterns of paths
  std::string apparmor;               // the profile; empty: the caller's
  LabelWish label_wish;               // for SELinux
  SelinuxLabels selinux;              // as they were chosen
  // Nullopt: the default one; an empty text: none; else a "linux.seccomp".
  std::optional<std::string> seccomp;

  std::vector<std::string> notes;  // what the user should know
};

// The words behind "ufs run". Nullopt to go on; else the exit code, once help
// was printed or the user told what is wrong.
std::optional<int> ParseRunOptions(int argc, char** argv, RunOptions& options);

// --- parts, for options.cc and the other verbs -------------------------------

// "OPTION 'VALUE': WHAT", EINVAL.
Error InvalidOption(const std::string& option, const std::string& value,
                    const std::string& what);

// "[SOURCE:]TARGET[:OPTIONS]", "type=bind,src=...,dst=...",
// "TARGET[:OPTIONS]". A volume without a name is given one.
Result<RequestedMount> ParseVolume(const std::string& text);
Result<RequestedMount> ParseMountOption(const std::string& text);
Result<RequestedMount> ParseTmpfs(const std::string& text);
// A volume without a name for each of the places where an image wants one and
// nothing else is mounted.
Status AddImageVolumes(const std::vector<std::string>& places,
                       std::vector<RequestedMount>& mounts);
// EINVAL, naming it, where two would be at one place.
Status CheckTargets(const std::vector<RequestedMount>& mounts);

// NAME=VALUE as it is; a NAME alone takes the caller's value, if there is one.
Status AddEnvironment(const std::string& text, std::vector<std::string>& env);
// One to a line; empty lines and those that begin with # do not count.
Status AddEnvironmentFile(const std::string& path,
                          std::vector<std::string>& env);

}  // namespace ufs
