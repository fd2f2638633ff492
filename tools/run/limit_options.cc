#include "tools/run/limit_options.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "layerdb/base/syscall.h"
#include "runtime/cgroup_layout.h"
#include "runtime/kernel.h"
#include "tools/run/bytes.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;

constexpr char kUpdatesFile[] = "limits.json";
constexpr size_t kUpdatesBytesMax = 1 << 20;

// 0 where there is none.
int64_t MemoryNumber(const Json& resources, const char* key) {
  const Json::json_pointer pointer(std::string("/memory/") + key);
  return resources.contains(pointer) ? resources[pointer].get<int64_t>() : 0;
}

Status SetBytes(const char* option, const std::string& text, const char* key,
                Json& resources) {
  if (text.empty()) return Ok();
  resources["memory"][key] = TRY(ParseBytes(text).With(option));
  return Ok();
}

constexpr char kSumOfBoth[] =
    "--memory-swap is the sum of memory and swap, so not below --memory";

Status SetMemory(const LimitWords& words, Json& resources) {
  if (words.memory != "0" && words.memory != "-1")
    return SetBytes("--memory", words.memory, "limit", resources);
  if (words.can_lift) resources["memory"]["limit"] = -1;
  return Ok();
}

// 0 is what nobody has said, as with docker.
Status SetMemorySwap(const LimitWords& words, Json& resources) {
  if (words.memory_swap.empty() || words.memory_swap == "0") return Ok();
  const int64_t limit = MemoryNumber(resources, "limit");
  const bool from_before = words.memory.empty() && words.can_lift;
  if (limit == 0 && !from_before)
    return Error(EINVAL,
                 "--memory-swap needs --memory: it is the sum of memory and "
                 "swap");
  if (words.memory_swap == "-1") {
    resources["memory"]["swap"] = -1;
    return Ok();
  }
  if (limit < 0)
    return Error(EINVAL,
                 "--memory-swap and no limit of memory: choose; it is the sum "
                 "of memory and swap");
  TRY(SetBytes("--memory-swap", words.memory_swap, "swap", resources));
  if (MemoryNumber(resources, "swap") < limit) return Error(EINVAL, kSumOfBoth);
  return Ok();
}

// -1 is what nobody has said, as with docker.
Status SetSwappiness(const LimitWords& words, Json& resources) {
  const int64_t wanted = words.memory_swappiness.value_or(-1);
  if (wanted < -1 || wanted > 100)
    return InvalidOption("--memory-swappiness", std::to_string(wanted),
                         "not 0 to 100");
  if (wanted == -1) return Ok();
  const auto layout = TRY(runtime::ReadCgroupLayout());
  const auto memory =
      std::find_if(layout.begin(), layout.end(),
                   [](const auto& one) { return one.Has("memory"); });
  if (memory != layout.end() && memory->v2)
    return Error(ENOTSUP,
                 "--memory-swappiness: cgroup v2 has none; use --memory-swap "
                 "to say how much may be swapped out");
  resources["memory"]["swappiness"] = wanted;
  return Ok();
}

// 0 is what nobody has said, as with docker.
Status SetProcessorTime(const LimitWords& words, Json& resources) {
  Json cpu = Json::object();
  const auto [quota, period] = std::pair(words.cpu_quota, words.cpu_period);
  if (words.cpus == "0") {
    if (words.can_lift) cpu["quota"] = -1;
  } else if (!words.cpus.empty()) {
    if (quota != 0 || period != 0)
      return Error(EINVAL, "--cpus and --cpu-quota, --cpu-period: choose");
    char* rest = nullptr;
    const double cpus = std::strtod(words.cpus.c_str(), &rest);
    if (*rest != '\0' || !std::isfinite(cpus) || cpus < 0.01 || cpus > 65536)
      return InvalidOption("--cpus", words.cpus,
                           "not a number of at least 0.01");
    constexpr int64_t kPeriodUs = 100'000;
    cpu["period"] = kPeriodUs;
    cpu["quota"] = static_cast<int64_t>(cpus * kPeriodUs);
  }
  // The kernel's bounds.
  if (quota != 0 && quota != -1 && quota < 1000)
    return InvalidOption("--cpu-quota", std::to_string(quota),
                         "less than a millisecond");
  if (period != 0 && (period < 1000 || period > 1'000'000))
    return InvalidOption("--cpu-period", std::to_string(period),
                         "not 1000 to 1000000");
  if (quota != 0) cpu["quota"] = quota;
  if (period != 0) cpu["period"] = period;
  if (!cpu.empty()) resources["cpu"] = std::move(cpu);
  return Ok();
}

// The disk's own number: limits are of devices, not of what is on them.
Status SetThrottle(const char* option, const std::vector<std::string>& words,
                   const char* key, bool bytes, Json& resources) {
  for (const std::string& word : words) {
    const size_t colon = word.rfind(':');
    if (colon == word.npos || colon == 0)
      return InvalidOption(option, word, "not DEVICE:RATE");
    const std::string path = word.substr(0, colon);
    const auto stat = TRY(sys::Statx({AT_FDCWD, path.c_str()})
                              .With(std::string(option) + " " + path));
    if (!S_ISBLK(stat.stx_mode))
      return InvalidOption(option, word, "no block device");
    const std::string rate = word.substr(colon + 1);
    if (!bytes && rate.find_first_not_of("0123456789") != rate.npos)
      return InvalidOption(option, word, "a number of operations a second");
    resources["blockIO"][key].push_back(
        {{"major", stat.stx_rdev_major},
         {"minor", stat.stx_rdev_minor},
         {"rate", TRY(ParseBytes(rate).With(option))}});
  }
  return Ok();
}

}  // namespace

void DeclareLimits(ArgumentParser& parser, LimitWords& words) {
  const auto text = [&](const char* name, std::string& target, const char* type,
                        const char* help) {
    parser.add_option(name, target, help)->type_name(type);
  };
  text("-m,--memory", words.memory, "BYTES",
       words.can_lift ? "With b, k, m or g; 0: no limit" : "With b, k, m or g");
  text("--memory-swap", words.memory_swap, "BYTES",
       "Memory and swap, twice the memory if nobody says; -1: no limit");
  text("--memory-reservation", words.memory_reservation, "BYTES",
       "When memory is short");
  parser
      .add_option("--memory-swappiness", words.memory_swappiness,
                  "0 to 100: how soon it is swapped out; cgroup v1 alone")
      ->type_name("N");
  text("--cpus", words.cpus, "NUMBER",
       words.can_lift ? "How many processors' time; 0: no limit"
                      : "How many processors' time");
  text("--cpuset-cpus", words.cpuset_cpus, "LIST", "On which, 0-2,4");
  text("--cpuset-mems", words.cpuset_mems, "LIST", "Memory nodes");
  const auto number = [&](const char* name, int64_t& target, const char* help) {
    parser.add_option(name, target, help)->type_name("N");
  };
  number("-c,--cpu-shares", words.cpu_shares, "Weight, 1024 is usual");
  number("--cpu-quota", words.cpu_quota, "Microseconds in each period");
  number("--cpu-period", words.cpu_period, "Microseconds, 100000 is usual");
  number("--pids-limit", words.pids_limit, "Processes and threads");
  number("--blkio-weight", words.blkio_weight, "10 to 1000");
  const auto rate = [&](const char* name, std::vector<std::string>& target,
                        const char* help) {
    parser.add_option(name, target, help)
        ->type_name("DEVICE:RATE")
        ->repeatable();
  };
  rate("--device-read-bps", words.read_bps, "Bytes a second, with k, m or g");
  rate("--device-write-bps", words.write_bps, "The same of writes");
  rate("--device-read-iops", words.read_iops, "Reads a second");
  rate("--device-write-iops", words.write_iops, "Writes a second");
}

Status CombineLimits(const LimitWords& words, Json& resources) {
  TRY(SetMemory(words, resources));
  TRY(SetBytes("--memory-reservation", words.memory_reservation, "reservation",
               resources));
  TRY(SetMemorySwap(words, resources));
  TRY(SetSwappiness(words, resources));
  TRY(SetProcessorTime(words, resources));
  if (!words.cpuset_cpus.empty()) resources["cpu"]["cpus"] = words.cpuset_cpus;
  if (!words.cpuset_mems.empty()) resources["cpu"]["mems"] = words.cpuset_mems;
  if (words.cpu_shares != 0) resources["cpu"]["shares"] = words.cpu_shares;
  if (words.pids_limit != 0) resources["pids"]["limit"] = words.pids_limit;
  if (words.blkio_weight != 0) {
    if (words.blkio_weight < 10 || words.blkio_weight > 1000)
      return InvalidOption("--blkio-weight", std::to_string(words.blkio_weight),
                           "not 10 to 1000");
    resources["blockIO"]["weight"] = words.blkio_weight;
  }
  TRY(SetThrottle("--device-read-bps", words.read_bps, "throttleReadBpsDevice",
                  true, resources));
  TRY(SetThrottle("--device-write-bps", words.write_bps,
                  "throttleWriteBpsDevice", true, resources));
  TRY(SetThrottle("--device-read-iops", words.read_iops,
                  "throttleReadIOPSDevice", false, resources));
  return SetThrottle("--device-write-iops", words.write_iops,
                     "throttleWriteIOPSDevice", false, resources);
}

Status CompleteMemory(const Json& now, Json& resources) {
  const int64_t limit = MemoryNumber(resources, "limit");
  const int64_t swap = MemoryNumber(resources, "swap");
  const int64_t limit_now = MemoryNumber(now, "limit");
  const int64_t swap_now = MemoryNumber(now, "swap");
  if (swap > 0 && limit == 0) {
    if (limit_now <= 0)
      return Error(EINVAL,
                   "--memory-swap needs a limit of memory, of which it is the "
                   "sum with swap; give --memory as well");
    if (swap < limit_now)
      return Error(EINVAL, std::string(kSumOfBoth) + ", which is " +
                               std::to_string(limit_now));
    resources["memory"]["limit"] = limit_now;
  } else if (limit != 0 && swap == 0 && swap_now != 0) {
    if (swap_now > 0 && limit > swap_now)
      return Error(EINVAL, "--memory is more than memory and swap may be, " +
                               std::to_string(swap_now) +
                               "; give --memory-swap as well");
    resources["memory"]["swap"] = limit < 0 ? -1 : swap_now;
  }
  return Ok();
}

Status AddUpdates(const std::string& directory, Json& resources) {
  const std::string path = directory + "/" + kUpdatesFile;
  const auto file = sys::Open(path.c_str(), O_RDONLY | O_NOFOLLOW);
  if (file.code() == ENOENT) return Ok();
  if (!file.ok()) return Error(file.code(), path);
  const Json updates = Json::parse(
      TRY(kernel::ReadAll(*file, kUpdatesBytesMax).With(path)), nullptr,
      /*allow_exceptions=*/false);
  if (!updates.is_object()) return Error(EUCLEAN, path + ": is no JSON object");
  resources.merge_patch(updates);
  return Ok();
}

Status SaveUpdates(const std::string& directory, const Json& resources) {
  Json updates = Json::object();
  TRY(AddUpdates(directory, updates));
  updates.merge_patch(resources);
  const UniqueFd dir =
      TRY(sys::Open(directory.c_str(), O_PATH | O_DIRECTORY).With(directory));
  return kernel::ReplaceFile({dir, kUpdatesFile}, updates.dump(),
                             /*lasting=*/true)
      .With(directory + "/" + kUpdatesFile);
}

}  // namespace ufs
