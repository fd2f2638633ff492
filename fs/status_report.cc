#include "fs/status_report.h"

#include <fcntl.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "layerdb/base/syscall.h"

namespace ufs {
namespace {

// Insertion order: people read this too.
using Json = nlohmann::ordered_json;

// Resident memory of this process; 0 when /proc is not there.
uint64_t ResidentBytes() {
  const Result<UniqueFd> fd = sys::Open("/proc/self/statm", O_RDONLY);
  if (!fd.ok()) return 0;
  char text[128] = {};
  const Result<size_t> got = sys::Pread(*fd, text, sizeof(text) - 1, 0);
  unsigned long total = 0, resident = 0;
  if (!got.ok() || sscanf(text, "%lu %lu", &total, &resident) != 2) return 0;
  return uint64_t{resident} * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

double Rounded(double us) { return std::round(us * 10) / 10; }

Json UnionToJson(const UnionInfo& info) {
  return {{"layers", info.layers},
          {"store", info.store},
          {"verify", info.verify},
          {"upper", info.upper},
          {"work", info.work},
          {"whiteout_form", info.whiteout_form},
          {"xattr_prefix", info.xattr_prefix},
          {"overrides_owner", info.overrides_owner},
          {"metacopy", info.metacopy},
          {"partial", info.partial},
          {"index", info.index},
          {"durability", info.durability}};
}

Json StatsToJson(const UnionStats& stats) {
  return {{"inodes", stats.inodes},
          {"open_descriptors", stats.open_descriptors},
          {"copy_ups_data", stats.copy_ups_data},
          {"copy_ups_metadata", stats.copy_ups_metadata},
          {"copy_ups_partial", stats.copy_ups_partial},
          {"copy_up_bytes", stats.copy_up_bytes},
          {"partial_files", stats.partial_files},
          {"partial_bytes_missing", stats.partial_bytes_missing},
          {"passed_writers", stats.passed_writers},
          {"listing_hits", stats.listing_hits},
          {"listing_misses", stats.listing_misses}};
}

Json MessagesToJson(const std::vector<MessageStats>& messages) {
  Json list = Json::array();
  for (const MessageStats& kind : messages)
    list.push_back({{"message", NameOf(kind.message)},
                    {"count", kind.count},
                    {"errors", kind.errors},
                    {"mean_us", Rounded(kind.mean_us)},
                    {"p50_us", Rounded(kind.p50_us)},
                    {"p99_us", Rounded(kind.p99_us)}});
  return list;
}

}  // namespace

std::string StatusReport(const SessionFacts& facts, const UnionInfo& info,
                         const UnionStats& stats,
                         const std::vector<MessageStats>& messages) {
  const std::chrono::duration<double> uptime =
      std::chrono::steady_clock::now() - facts.start;
  const Json report = {
      {"format", 1},
      {"version", UFS_VERSION},
      {"pid", getpid()},
      {"mountpoint", facts.mountpoint},
      {"source", facts.source},
      {"uptime_s", Rounded(uptime.count())},
      {"connection", facts.connection},
      {"transport",
       {{"used", facts.transport},
        {"reason", facts.transport_reason},
        {"rings_idle", facts.rings_idle}}},
      {"data_path",
       {{"used", facts.data_path}, {"reason", facts.data_path_reason}}},
      {"threads", {{"readers", facts.readers}, {"workers", facts.workers}}},
      {"cache_timeout_s", facts.cache_timeout_s},
      {"memory_bytes", ResidentBytes()},
      {"union", UnionToJson(info)},
      {"stats", StatsToJson(stats)},
      {"messages", MessagesToJson(messages)},
  };
  // Paths may hold any byte; JSON may not.
  return report.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ufs
