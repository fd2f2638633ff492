#include "tools/run/options.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"
#include "runtime/names.h"
#include "runtime/namespaces.h"
#include "runtime/programs.h"
#include "runtime/state.h"
#include "tools/command.h"
#include "tools/run/bytes.h"
#include "tools/run/config.h"
#include "tools/run/detach_keys.h"
#include "tools/run/duration.h"
#include "tools/run/exit_code.h"
#include "tools/run/host_gateway.h"
#include "tools/run/limit_options.h"
#include "tools/run/missing_options.h"
#include "tools/run/network_files.h"

namespace ufs {
namespace {

using Strings = std::vector<std::string>;

constexpr char kUsage[] = "ufs run [options] LAYER... [-- COMMAND [ARG...]]";
constexpr char kDescription[] =
    "Runs COMMAND in a container whose root is a union of LAYERs, the bottom "
    "one\n"
    "first, named as for 'ufs mount'. What it changes goes to a fresh upper, "
    "which\n"
    "is removed with the container once COMMAND has ended: keep it with --keep "
    "(then\n"
    "'ufs rm' removes it) or name one with --upper. A container that is "
    "started with\n"
    "-d is kept unless --rm is given.";
constexpr char kFooter[] =
    "Exit code: that of COMMAND, 128 plus the signal that ended it; 125 when "
    "ufs\n"
    "failed, 126 when COMMAND cannot be run, 127 when it is not there.\n"
    "\n"
    "Examples:\n"
    "  ufs run -it base app -- sh\n"
    "  ufs run -d --name web -m 256m -v ./site:/srv:ro base:1 -- httpd -f\n"
    "  ufs run --upper changes base -- make install\n"
    "\n"
    "See also: ufs ps, ufs exec, ufs logs, ufs stop, ufs rm\n";

// The words as they came; what they mean is found out by Combine.
struct Words {
  Strings env, env_files, volumes, mounts, tmpfs, ulimits, security, sysctls,
      ports, labels, hosts, annotations;
  std::string network, restart = "no", stop_signal, entrypoint, umask;
  std::string uts, ipc, pid, cgroupns, shm_size;
  std::string health_interval, health_timeout, health_start_period,
      health_start_interval;
  int health_retries = 0;
  LimitWords limits;
};

void List(ArgumentParser& parser, const char* name, Strings& target,
          const char* type, const char* text) {
  parser.add_option(name, target, text)->type_name(type)->repeatable();
}

void DeclareLife(ArgumentParser& parser, RunOptions& options, Words& words) {
  const auto text = [&](const char* name, std::string& target, const char* type,
                        const char* help) {
    parser.add_option(name, target, help)->type_name(type);
  };
  text("--name", options.name, "NAME", "Of the container; else made up");
  parser.add_flag("-i,--interactive", options.interactive,
                  "Give COMMAND our standard input; with -d that of 'ufs "
                  "attach'");
  parser.add_flag("-t,--tty", options.terminal, "Give COMMAND a terminal");
  parser.add_flag("-d,--detach", options.detach,
                  "Leave it running and print its name");
  text("--detach-keys", options.detach_keys, "KEYS",
       "What leaves it running from its terminal");
  List(parser, "-l,--label", words.labels, "KEY[=VALUE]",
       "For 'ufs ps --filter'");
  parser.add_flag("--rm", options.remove, "Remove it once COMMAND has ended");
  parser.add_flag("--keep", options.keep, "Keep it, its upper and its log");
  text("--upper", options.upper, "DIR", "Takes all changes; made if missing");
  text("--store", options.store, "DIR",
       "Where layers with a name are (see ufs mount)");
  text("--restart", words.restart, "POLICY",
       "no, on-failure[:N], always, unless-stopped: start it again");
  text("--stop-signal", words.stop_signal, "SIGNAL", "For 'ufs stop'");
  parser
      .add_option("--stop-timeout", options.stop_timeout,
                  "How long that waits, 10 if nobody says")
      ->type_name("SECONDS")
      ->range(0, kStopSecondsMax);
  parser.add_flag("--replace", options.replace,
                  "Remove one of that name first");
  text("--cidfile", options.cidfile, "FILE", "Takes its name");
  List(parser, "--annotation", words.annotations, "KEY=VALUE",
       "For the runtime and its hooks");
  parser.add_flag("--sig-proxy", options.signal_proxy,
                  "Pass signals on; --sig-proxy=false keeps them to us");
}

void DeclareHealth(ArgumentParser& parser, RunOptions& options, Words& words) {
  const auto time = [&](const char* name, std::string& target,
                        const char* help) {
    parser.add_option(name, target, help)->type_name("TIME");
  };
  parser
      .add_option("--health-cmd", options.health.shell,
                  "For sh -c in it: is it well?")
      ->type_name("TEXT");
  time("--health-interval", words.health_interval,
       "From one to the next, 30s if nobody says");
  time("--health-timeout", words.health_timeout,
       "Longer is a failure, 30s if nobody says");
  time("--health-start-period", words.health_start_period,
       "So long it may fail at first");
  time("--health-start-interval", words.health_start_interval,
       "From one to the next until then, 5s if nobody says");
  parser
      .add_option("--health-retries", words.health_retries,
                  "Failures in a row that count, 3 if nobody says")
      ->type_name("N");
  parser.add_flag("--no-healthcheck", options.health.none,
                  "Not what the image says either");
}

void DeclareProcess(ArgumentParser& parser, RunOptions& options, Words& words) {
  const auto text = [&](const char* name, std::string& target, const char* type,
                        const char* help) {
    parser.add_option(name, target, help)->type_name(type);
  };
  List(parser, "-e,--env", words.env, "NAME[=VALUE]", "Environment variable");
  List(parser, "--env-file", words.env_files, "FILE", "The same, by lines");
  text("-w,--workdir", options.workdir, "DIR", "Where COMMAND starts");
  text("-u,--user", options.user, "USER[:GROUP]", "As whom, name or number");
  text("--entrypoint", words.entrypoint, "PROGRAM",
       "Runs this with COMMAND as its arguments");
  List(parser, "--group-add", options.groups, "GROUP", "More of its groups");
  text("--umask", words.umask, "MODE", "Default: 0022");
  parser
      .add_option("--oom-score-adj", options.oom_score_adj,
                  "How soon it is killed for want of memory")
      ->type_name("N")
      ->range(-1000, 1000);
  parser.add_flag("--init", options.init,
                  "Under a process 1 that reaps and passes signals on");
  List(parser, "--ulimit", words.ulimits, "NAME=SOFT[:HARD]", "Limit");
  List(parser, "--cap-add", options.cap_add, "CAPABILITY",
       "Or ALL that there are here");
  List(parser, "--cap-drop", options.cap_drop, "CAPABILITY", "Or ALL");
  List(parser, "--security-opt", words.security, "OPTION",
       "no-new-privileges, seccomp=FILE, seccomp=unconfined, "
       "apparmor=PROFILE, label=disable, label=type:TYPE, "
       "unmask=ALL|PATH[:PATH]");
  List(parser, "--sysctl", words.sysctls, "NAME=VALUE", "Of its namespaces");
}

void DeclareTree(ArgumentParser& parser, RunOptions& options, Words& words) {
  const auto text = [&](const char* name, std::string& target, const char* type,
                        const char* help) {
    parser.add_option(name, target, help)->type_name(type);
  };
  text("--hostname", options.hostname, "NAME", "Default: the name");
  text("--domainname", options.domainname, "NAME", "Of NIS");
  List(parser, "--add-host", words.hosts, "NAME:ADDRESS",
       "For its /etc/hosts; host-gateway: the machine's");
  List(parser, "--dns", options.dns, "ADDRESS",
       "Name server; none: resolv.conf is the image's");
  List(parser, "--dns-search", options.dns_search, "DOMAIN",
       "Where names are looked up; a dot: nowhere");
  List(parser, "--dns-option,--dns-opt", options.dns_options, "OPTION",
       "As in resolv.conf");
  text("--uts", words.uts, "host|private", "Whose host name it has");
  text("--ipc", words.ipc, "host|private", "Whose shared memory it has");
  text("--pid", words.pid, "host|private", "Whose processes it sees");
  text("--cgroupns", words.cgroupns, "host|private",
       "Whose names of cgroups it sees");
  parser.add_flag("--read-only", options.read_only,
                  "COMMAND cannot change the root");
  List(parser, "-v,--volume", words.volumes, "SOURCE:TARGET[:ro]",
       "A directory or file of the host, or a volume by its name");
  List(parser, "--mount", words.mounts, "type=volume|bind|tmpfs,src=,dst=[,ro]",
       "The same in words");
  List(parser, "--tmpfs", words.tmpfs, "TARGET[:OPTIONS]", "In memory");
  text("--shm-size", words.shm_size, "BYTES",
       "Of /dev/shm, 64m if nobody says");
  List(parser, "--device", options.devices, "PATH[:PATH[:rwm]]",
       "A device of the host");
  parser
      .add_option("--network,--net", words.network,
                  "none (loopback, the default), host, private, slirp4netns, "
                  "pasta")
      ->type_name("NETWORK");
  List(parser, "-p,--publish", words.ports, "[IP:][HOST:]CONT[/udp]",
       "A port of the machine that leads to one of the container");
  parser.add_flag("-P,--publish-all", options.publish_all,
                  "Free ports that lead to all that are exposed");
  List(parser, "--expose", options.exposed, "PORT[/udp]",
       "Beside those that the image exposes");
}

// "nofile=1024:2048"
Status AddUlimit(const std::string& text, RunOptions& options) {
  const auto wrong = [&] {
    return InvalidOption("--ulimit", text,
                         "not NAME=SOFT[:HARD], as nofile=1024");
  };
  const size_t equals = text.find('=');
  if (equals == text.npos) return wrong();
  std::string type = "RLIMIT_" + text.substr(0, equals);
  for (char& c : type) c = static_cast<char>(std::toupper(c));
  if (!runtime::ParseRlimit(type)) return wrong();
  const auto number = [&](const std::string& word) -> std::optional<uint64_t> {
    if (word == "unlimited" || word == "-1") return RLIM_INFINITY;
    if (word.empty() || word.find_first_not_of("0123456789") != word.npos ||
        word.size() > 18)
      return std::nullopt;
    return std::strtoull(word.c_str(), nullptr, 10);
  };
  const size_t colon = text.find(':', equals);
  const auto soft = number(text.substr(equals + 1, colon - equals - 1));
  const auto hard = colon == text.npos ? soft : number(text.substr(colon + 1));
  if (!soft || !hard) return wrong();
  options.rlimits.push_back({{"type", type}, {"soft", *soft}, {"hard", *hard}});
  return Ok();
}

// "ALL", or paths and patterns as the shell's, with colons between them.
Status AddUnmasked(const std::string& value, const std::string& text,
                   RunOptions& options) {
  if (value == "ALL") {
    options.unmasked.emplace_back("*");
    return Ok();
  }
  for (size_t at = 0; at <= value.size();) {
    const size_t end = std::min(value.find(':', at), value.size());
    options.unmasked.push_back(value.substr(at, end - at));
    if (!options.unmasked.back().starts_with('/'))
      return InvalidOption("--security-opt", text,
                           "ALL, or absolute paths with ':' between them");
    at = end + 1;
  }
  return Ok();
}

Status AddSecurity(const std::string& text, RunOptions& options) {
  const size_t sign = text.find_first_of("=:");
  const std::string key = text.substr(0, sign);
  const std::string value = sign == text.npos ? "" : text.substr(sign + 1);
  if (key == "no-new-privileges" &&
      (value.empty() || value == "true" || value == "false")) {
    options.no_new_privileges = value != "false";
  } else if (key == "seccomp" && value == "unconfined") {
    options.seccomp = "";
  } else if (key == "seccomp" && !value.empty()) {
    options.seccomp = TRY(runtime::kernel::ReadFile(value, 1 << 20)
                              .With("--security-opt seccomp=" + value));
    if (!nlohmann::json::parse(*options.seccomp, nullptr, false).is_object())
      return InvalidOption(
          "--security-opt", text,
          "the file is no JSON object as 'linux.seccomp' of the "
          "OCI runtime specification");
  } else if (key == "unmask") {
    TRY(AddUnmasked(value, text, options));
  } else if (key == "apparmor" && !value.empty()) {
    options.apparmor = value;
  } else if (key == "label") {
    TRY(AddLabelWish(value, options.label_wish));
  } else {
    return InvalidOption(
        "--security-opt", text,
        "no-new-privileges, seccomp=FILE, seccomp=unconfined, "
        "apparmor=PROFILE, label=... or unmask=ALL|PATH[:PATH]");
  }
  return Ok();
}

Status CheckInstalled(const char* program, const std::string& text,
                      const char* package) {
  if (!runtime::FindProgram(program).empty()) return Ok();
  return Error(ENOENT, "--network " + text + " needs " + program +
                           ", which is not installed; install " + package +
                           ", or use --network host or none");
}

// The helper for "private": what there is.
Result<Network> FindPrivateNetwork() {
  if (!runtime::FindProgram("slirp4netns").empty())
    return Network::kSlirp4netns;
  if (!runtime::FindProgram("pasta").empty()) return Network::kPasta;
  return Error(ENOENT,
               "a private network needs slirp4netns or pasta, and neither is "
               "installed; install the package slirp4netns or passt, or use "
               "--network host or none");
}

Status ReadNetwork(const std::string& text, RunOptions& options) {
  const bool leads_in = !options.ports.empty() || options.publish_all;
  if (text == "none" || (text.empty() && !leads_in)) {
    options.network = Network::kNone;
  } else if (text == "host") {
    options.network = Network::kHost;
  } else if (text == "private" || text.empty()) {
    options.network = TRY(FindPrivateNetwork());
  } else if (text == "slirp4netns") {
    options.network = Network::kSlirp4netns;
    TRY(CheckInstalled("slirp4netns", text, "slirp4netns"));
  } else if (text == "pasta") {
    options.network = Network::kPasta;
    TRY(CheckInstalled("pasta", text, "the package passt"));
  } else {
    return InvalidOption(
        "--network", text,
        "none, host, private, slirp4netns or pasta; there are no "
        "bridges");
  }
  return Ok();
}

Status CheckPorts(RunOptions& options) {
  if (options.ports.empty() && !options.publish_all) return Ok();
  if (options.network == Network::kNone)
    return Error(EINVAL,
                 "-p needs a network that leads in; use --network private, or "
                 "leave --network out");
  if (options.network == Network::kHost) {
    options.notes.emplace_back(
        "-p has no effect with --network host, where ports are the machine's");
    options.ports.clear();
    options.publish_all = false;
  }
  if (options.network == Network::kSlirp4netns)
    for (const PublishedPort& port : options.ports)
      if (port.is_ipv6())
        return Error(ENOTSUP, "-p " + port.ToString() +
                                  ": slirp4netns has IPv4 alone; use "
                                  "--network pasta");
  return Ok();
}

Status CheckCapabilities(const Strings& names) {
  for (const std::string& name : names) {
    const std::string full = CapabilityName(name);
    if (full != "ALL" && !runtime::ParseCapability(full))
      return Error(EINVAL, "'" + full + "' is no capability");
  }
  return Ok();
}

// Who starts it as root can give no more than there is; an ordinary user's
// container has a user namespace, and all of them there.
Status CheckCanGive(const Strings& names) {
  if (geteuid() != 0) return Ok();
  for (const std::string& name : names) {
    const std::string full = CapabilityName(name);
    const auto number = runtime::ParseCapability(full);
    if (number && prctl(PR_CAPBSET_READ, *number, 0, 0, 0) != 1)
      return Error(EPERM, full +
                              " is not in the bounding set that ufs was "
                              "started with; leave it out, or start ufs where "
                              "there is more");
  }
  return Ok();
}

// Whether it is the host's.
Status ReadNamespace(const char* option, const std::string& text, bool& host) {
  host = text == "host";
  // Docker calls one of ipc that others may join shareable.
  if (host || text.empty() || text == "private" || text == "shareable")
    return Ok();
  return InvalidOption(option, text, "host, or private, which it is anyway");
}

Status CombineNamespaces(const Words& words, RunOptions& options) {
  TRY(ReadNamespace("--uts", words.uts, options.host_uts));
  TRY(ReadNamespace("--ipc", words.ipc, options.host_ipc));
  TRY(ReadNamespace("--pid", words.pid, options.host_pid));
  TRY(ReadNamespace("--cgroupns", words.cgroupns, options.host_cgroup));
  if (options.host_uts &&
      !(options.hostname.empty() && options.domainname.empty()))
    return Error(EINVAL, options.hostname.empty()
                             ? "--domainname and --uts host: choose one"
                             : "--hostname and --uts host: choose one");
  if (options.host_ipc && options.shm_bytes != 0)
    return Error(EINVAL, "--shm-size and --ipc host: choose one");
  // Nothing would be sure to end those that its first process leaves.
  if (options.host_pid &&
      (geteuid() != 0 || !runtime::InInitialUserNamespace()))
    return Error(EPERM, "--pid host is for root; leave it out");
  return Ok();
}

Status CombineNames(const Words& words, RunOptions& options) {
  for (const std::string& text : words.hosts)
    options.hosts.push_back(TRY(ParseAddHost(text)));
  // Better now than once it is to start.
  if (WantsHostGateway(options))
    TRY(HostGateway(options.network).With("--add-host"));
  if (std::erase(options.dns, "none") > 0) {
    if (!(options.dns.empty() && options.dns_search.empty() &&
          options.dns_options.empty()))
      return Error(EINVAL,
                   "--dns none and others of --dns, --dns-search, "
                   "--dns-option: choose");
    options.own_resolv_conf = false;
  }
  for (const std::string& text : options.dns) TRY(CheckNameServer(text));
  for (const std::string& text : options.dns_search)
    TRY(CheckWord("--dns-search", text, "is no domain"));
  for (const std::string& text : options.dns_options)
    TRY(CheckWord("--dns-option", text));
  if (!options.hostname.empty()) TRY(CheckWord("--hostname", options.hostname));
  if (!options.domainname.empty())
    TRY(CheckWord("--domainname", options.domainname));
  return Ok();
}

Status CombineTree(const Words& words, RunOptions& options) {
  for (const std::string& text : words.volumes)
    options.mounts.push_back(TRY(ParseVolume(text)));
  for (const std::string& text : words.mounts)
    options.mounts.push_back(TRY(ParseMountOption(text)));
  for (const std::string& text : words.tmpfs)
    options.mounts.push_back(TRY(ParseTmpfs(text)));
  TRY(CheckTargets(options.mounts));
  if (!words.shm_size.empty())
    options.shm_bytes = TRY(ParseBytes(words.shm_size).With("--shm-size"));
  for (const std::string& text : words.ports)
    // An address in brackets, see ArgumentParser::Parse.
    for (PublishedPort& port :
         TRY(ParsePublish(text.starts_with("./[") ? text.substr(2) : text)))
      options.ports.push_back(std::move(port));
  for (const std::string& text : options.exposed)
    TRY(ParseExposed(text).With("--expose"));
  TRY(ReadNetwork(words.network, options));
  return CheckPorts(options);
}

// 0 is what nobody has said, as with docker.
Status SetTime(const char* option, const std::string& text,
               std::optional<HealthCheck::Duration>& target) {
  if (text.empty()) return Ok();
  const auto time = TRY(ParseDuration(text).With(option));
  if (time.count() != 0)
    target = time;
  else if (text.find_first_of("123456789") != text.npos)
    return InvalidOption(option, text, "less than a millisecond");
  return Ok();
}

Status CombineHealthWords(const Words& words, RunOptions& options) {
  HealthOptions& health = options.health;
  TRY(SetTime("--health-interval", words.health_interval, health.interval));
  TRY(SetTime("--health-timeout", words.health_timeout, health.timeout));
  TRY(SetTime("--health-start-period", words.health_start_period,
              health.start_period));
  TRY(SetTime("--health-start-interval", words.health_start_interval,
              health.start_interval));
  if (words.health_retries < 0)
    return Error(EINVAL, "--health-retries: less than none");
  if (words.health_retries > 0) health.retries = words.health_retries;
  if (health.none && health.any())
    return Error(EINVAL, "--no-healthcheck and --health-...: choose one");
  return Ok();
}

std::optional<uint32_t> ParseOctal(const std::string& text) {
  uint32_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number, 8);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

Status CombineProcess(const Words& words, RunOptions& options) {
  for (const std::string& path : words.env_files)
    TRY(AddEnvironmentFile(path, options.env));
  for (const std::string& text : words.env)
    TRY(AddEnvironment(text, options.env).With("-e"));
  for (const std::string& text : words.ulimits) TRY(AddUlimit(text, options));
  for (const std::string& text : words.security)
    TRY(AddSecurity(text, options));
  for (const std::string& text : words.sysctls) {
    const size_t equals = text.find('=');
    if (equals == text.npos || equals == 0)
      return InvalidOption("--sysctl", text, "not NAME=VALUE");
    options.sysctls[text.substr(0, equals)] = text.substr(equals + 1);
  }
  if (!words.umask.empty()) {
    const auto mode = ParseOctal(words.umask);
    if (!mode || *mode > 0777)
      return InvalidOption("--umask", words.umask, "not 0 to 0777, octal");
    options.umask = *mode;
  }
  TRY(CheckCapabilities(options.cap_add).With("--cap-add"));
  TRY(CheckCanGive(options.cap_add).With("--cap-add"));
  TRY(CheckCapabilities(options.cap_drop).With("--cap-drop"));
  // Docker's: root, with that group.
  if (options.user.starts_with(':')) options.user.insert(0, 1, '0');
  if (!options.workdir.empty() && !options.workdir.starts_with('/'))
    return InvalidOption("--workdir", options.workdir, "must be absolute");
  if (!words.stop_signal.empty()) {
    const auto signal = runtime::ParseSignal(words.stop_signal);
    if (!signal || *signal == 0)
      return InvalidOption("--stop-signal", words.stop_signal, "is no signal");
    options.stop_signal = *signal;
  }
  return Ok();
}

Status Combine(const Words& words, RunOptions& options) {
  if (options.layers.empty())
    return Error(EINVAL, "no layer given; say which stand before --");
  if (!options.name.empty()) TRY(CheckName(options.name).With("--name"));
  if (options.keep && options.remove)
    return Error(EINVAL, "--keep and --rm: choose one");
  options.restart = TRY(RestartPolicy::Parse(words.restart).With("--restart"));
  if (options.restart.restarts() && options.remove)
    return Error(EINVAL, "--restart and --rm: choose one");
  if (!options.upper.empty())
    options.upper = std::filesystem::absolute(options.upper).lexically_normal();
  for (const std::string& text : words.labels) {
    const size_t equals = std::min(text.find('='), text.size());
    if (equals == 0) return InvalidOption("--label", text, "not KEY[=VALUE]");
    options.labels[text.substr(0, equals)] =
        text.substr(std::min(equals + 1, text.size()));
  }
  for (const std::string& text : words.annotations) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == text.npos)
      return InvalidOption("--annotation", text, "not KEY=VALUE");
    options.annotations[text.substr(0, equals)] = text.substr(equals + 1);
  }
  if (options.replace && options.name.empty())
    return Error(EINVAL, "--replace needs --name");
  TRY(ParseDetachKeys(options.detach_keys));
  TRY(CombineLimits(words.limits, options.resources));
  TRY(CombineTree(words, options));
  TRY(CombineNames(words, options));
  TRY(CombineNamespaces(words, options));
  TRY(CombineHealthWords(words, options));
  return CombineProcess(words, options);
}

}  // namespace

const char* NameOf(Network network) {
  switch (network) {
    case Network::kNone:
      return "none";
    case Network::kHost:
      return "host";
    case Network::kSlirp4netns:
      return "slirp4netns";
    case Network::kPasta:
      return "pasta";
  }
  return "none";
}

Error InvalidOption(const std::string& option, const std::string& value,
                    const std::string& what) {
  return Error(EINVAL, option + " '" + value + "': " + what);
}

std::optional<int> ParseRunOptions(int argc, char** argv, RunOptions& options) {
  int end = 1;
  while (end < argc && std::string_view(argv[end]) != "--") ++end;
  for (int i = end + 1; i < argc; ++i) options.command.push_back(argv[i]);

  ArgumentParser parser(kUfsRun, kUsage, kDescription, kFooter);
  Words words;
  parser.add_option("layers", options.layers);
  DeclareLife(parser, options, words);
  DeclareHealth(parser, options, words);
  DeclareProcess(parser, options, words);
  DeclareTree(parser, options, words);
  DeclareLimits(parser, words.limits);
  for (int i = 1; i < end; ++i)
    if (const std::string why = NotSupported(argv[i]); !why.empty())
      return Complain(kUfsRun, why, kExitNotStarted);
  // Docker's for the host name. Help in the place of a run would be no failure.
  for (int i = 1; i + 1 < end; ++i)
    if (std::string_view(argv[i]) == "-h")
      return Complain(kUfsRun,
                      "-h prints the help, and stands alone; use --hostname "
                      "NAME",
                      kExitNotStarted);
  if (auto done = parser.Parse(end, argv))
    return *done == 0 ? 0 : kExitNotStarted;
  if (parser.count("--entrypoint") > 0) options.entrypoint = words.entrypoint;

  if (const auto combined = Combine(words, options); !combined.ok())
    return Complain(kUfsRun, Explain(combined.error()), kExitNotStarted);
  return std::nullopt;
}

}  // namespace ufs
