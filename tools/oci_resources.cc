// ufs oci update, events: limits while a container runs.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <thread>
#include <type_traits>

#include "layerdb/base/syscall.h"
#include "runtime/config.h"
#include "runtime/kernel.h"
#include "tools/cmd_oci.h"
#include "tools/output.h"
#include "tools/run/bytes.h"
#include "tools/run/duration.h"

namespace ufs {
namespace {

using runtime::Container;
using Words = std::vector<std::string>;

// One of runc's flags, and where its value goes.
struct UpdateFlag {
  const char* name;
  Status (*set)(const UpdateFlag& flag, const std::string& text,
                runtime::Resources& resources);
};

template <auto Field>
Status SetNumber(const UpdateFlag& flag, const std::string& text,
                 runtime::Resources& resources) {
  typename std::remove_reference_t<decltype(resources.*Field)>::value_type
      number{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end)
    return Error(EINVAL, std::string("--") + flag.name + ": \"" + text +
                             "\" is no number of its kind");
  resources.*Field = number;
  return Ok();
}

// A number, as -1 for none, or a size as 512M.
template <auto Field>
Status SetBytes(const UpdateFlag& flag, const std::string& text,
                runtime::Resources& resources) {
  if (SetNumber<Field>(flag, text, resources).ok()) return Ok();
  resources.*Field = TRY(ParseBytes(text).With(std::string("--") + flag.name));
  return Ok();
}

template <auto Field>
Status SetText(const UpdateFlag&, const std::string& text,
               runtime::Resources& resources) {
  resources.*Field = text;
  return Ok();
}

using R = runtime::Resources;
constexpr UpdateFlag kUpdateFlags[] = {
    {"blkio-weight", SetNumber<&R::blkio_weight>},
    {"cpu-period", SetNumber<&R::cpu_period_us>},
    {"cpu-quota", SetNumber<&R::cpu_quota_us>},
    {"cpu-burst", SetNumber<&R::cpu_burst_us>},
    {"cpu-share", SetNumber<&R::cpu_shares>},
    {"cpu-rt-period", SetNumber<&R::cpu_rt_period_us>},
    {"cpu-rt-runtime", SetNumber<&R::cpu_rt_runtime_us>},
    {"cpu-idle", SetNumber<&R::cpu_idle>},
    {"cpuset-cpus", SetText<&R::cpuset_cpus>},
    {"cpuset-mems", SetText<&R::cpuset_mems>},
    {"memory", SetBytes<&R::memory_limit_bytes>},
    {"memory-reservation", SetBytes<&R::memory_reservation_bytes>},
    {"memory-swap", SetBytes<&R::memory_swap_bytes>},
    {"pids-limit", SetNumber<&R::pids_limit>},
};

// For processes that were killed for want of memory.
constexpr std::chrono::milliseconds kLookAgain{100};

Result<std::string> ReadResources(const std::string& path) {
  if (path == "-")
    return runtime::kernel::ReadAll(STDIN_FILENO, runtime::kConfigBytesMax);
  const UniqueFd file =
      TRY(sys::Open(path.c_str(), O_RDONLY).With("--resources " + path));
  return runtime::kernel::ReadAll(file, runtime::kConfigBytesMax);
}

}  // namespace

Result<int> OciUpdate(const OciGlobals& globals, const Words& words) {
  std::string file;
  std::string values[std::size(kUpdateFlags)];
  OciArguments arguments;
  arguments.Value({"resources", "r"}, file);
  for (size_t i = 0; i < std::size(kUpdateFlags); ++i)
    arguments.Value({kUpdateFlags[i].name}, values[i]);
  const std::string id = TRY(OnlyId(TRY(arguments.Parse(words))));
  runtime::Resources resources;
  if (!file.empty()) {
    resources = TRY(runtime::ParseResources(TRY(ReadResources(file))));
  } else {
    for (size_t i = 0; i < std::size(kUpdateFlags); ++i)
      if (!values[i].empty())
        TRY(kUpdateFlags[i].set(kUpdateFlags[i], values[i], resources));
  }
  Container container = TRY(Container::Open(globals.root, id));
  TRY(container.Update(resources));
  return 0;
}

Result<int> OciEvents(const OciGlobals& globals, const Words& words) {
  bool once = false;
  std::string interval = "5s";
  OciArguments arguments;
  arguments.Flag({"stats"}, once).Value({"interval"}, interval);
  const std::string id = TRY(OnlyId(TRY(arguments.Parse(words))));
  if (interval.find_first_not_of("0123456789") == interval.npos)
    interval += "s";  // as ours has always had them
  const auto period = TRY(ParseDuration(interval).With("--interval"));
  if (period.count() <= 0)
    return Error(EINVAL, "--interval must be at least a millisecond");
  Container container = TRY(Container::Open(globals.root, id));
  if (container.cgroup().empty())
    return Error(ENOTSUP,
                 "events needs a cgroup, and the container has none; as an "
                 "ordinary user have one delegated");
  uint64_t oom_seen = container.cgroup().OomKills();
  while (true) {
    if (TRY(container.Status()) == runtime::RunState::kStopped) {
      if (once) return Error(ESRCH, "container not running");
      return 0;
    }
    std::printf("{\"type\":\"stats\",\"id\":\"%s\",\"data\":%s}\n", id.c_str(),
                container.cgroup().Stats().c_str());
    if (const int failed = FinishOutput("ufs-oci events"); failed != 0)
      return failed;
    if (once) return 0;
    for (auto left = period; left.count() > 0;) {
      const auto step = std::min(left, kLookAgain);
      std::this_thread::sleep_for(step);
      left -= step;
      const uint64_t oom = container.cgroup().OomKills();
      if (oom > oom_seen) {
        std::printf("{\"type\":\"oom\",\"id\":\"%s\"}\n", id.c_str());
        std::fflush(stdout);
        oom_seen = oom;
      }
      if (TRY(container.Status()) == runtime::RunState::kStopped) break;
    }
  }
}

}  // namespace ufs
