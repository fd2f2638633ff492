#include "tools/run/option_words.h"

#include <string>
#include <string_view>
#include <utility>

namespace ufs {
namespace {

// Longer ones before those that they begin with.
constexpr std::pair<std::string_view, std::string_view> kWords[] = {
    {"config.json: ", ""},
    {"process.cwd", "--workdir"},
    {"process.rlimits", "--ulimit"},
    {"process.oomScoreAdj", "--oom-score-adj"},
    {"process.apparmorProfile", "--security-opt apparmor"},
    {"process.selinuxLabel", "--security-opt label"},
    {"linux.mountLabel", "--security-opt label"},
    {"process.user.additionalGids", "--group-add"},
    {"process.user.", "--user: "},
    {"linux.seccomp", "--security-opt seccomp"},
    {"linux.sysctl.", "--sysctl "},
    {"linux.resources.memory.limit", "--memory"},
    {"linux.resources.memory.reservation", "--memory-reservation"},
    {"linux.resources.memory.swappiness", "--memory-swappiness"},
    {"linux.resources.memory.swap", "--memory-swap"},
    {"linux.resources.cpu.cpus", "--cpuset-cpus"},
    {"linux.resources.cpu.mems", "--cpuset-mems"},
    {"linux.resources.cpu.shares", "--cpu-shares"},
    {"linux.resources.cpu.quota", "--cpus, --cpu-quota"},
    {"linux.resources.cpu.period", "--cpus, --cpu-period"},
    {"linux.resources.pids.limit", "--pids-limit"},
    {"linux.resources.blockIO.weight", "--blkio-weight"},
    {"linux.resources.blockIO.throttleReadBpsDevice", "--device-read-bps"},
    {"linux.resources.blockIO.throttleWriteBpsDevice", "--device-write-bps"},
    {"linux.resources.blockIO.throttleReadIOPSDevice", "--device-read-iops"},
    {"linux.resources.blockIO.throttleWriteIOPSDevice", "--device-write-iops"},
    {"linux.resources.devices", "--device"},
};

}  // namespace

Error InOptionWords(const Error& error) {
  std::string text(error.context());
  for (const auto& [key, option] : kWords)
    if (const size_t at = text.find(key); at != text.npos)
      text.replace(at, key.size(), option);
  if (text == error.context()) return error;
  return error.explained() ? Error(error.code(), text)
                           : Error(error.code()).With(text);
}

}  // namespace ufs
