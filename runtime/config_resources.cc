// The "linux.resources" object of config.json.
#include <cerrno>

#include "runtime/config.h"

namespace ufs::runtime {
namespace {

Status ReadDeviceRules(const JsonReader& json, std::vector<DeviceRule>& rules) {
  for (const JsonReader& element : TRY(json.Elements())) {
    DeviceRule rule;
    std::string type = "a";
    TRY(element.Require("allow", rule.allow));
    TRY(element.Read("type", type));
    TRY(element.Read("access", rule.access));
    if (type.empty()) type = "a";
    if (type != "a" && type != "c" && type != "b")
      return element.Invalid("has type \"" + type + "\"; a, b, c exist");
    rule.type = type[0];
    // -1, as runc's configurations have it: all.
    const auto number = [&](const char* key,
                            std::optional<uint32_t>& target) -> Status {
      std::optional<int64_t> value;
      TRY(element.Read(key, value));
      if (!value || *value == -1) return Ok();
      if (*value < 0 || *value > UINT32_MAX)
        return element.Invalid(std::string("has an invalid ") + key);
      target = static_cast<uint32_t>(*value);
      return Ok();
    };
    TRY(number("major", rule.major));
    TRY(number("minor", rule.minor));
    if (rule.access.find_first_not_of("rwm") != std::string::npos)
      return element.Invalid("has access \"" + rule.access +
                             "\"; letters of rwm exist");
    if (rule.access.empty()) rule.access = "rwm";
    rules.push_back(std::move(rule));
  }
  return Ok();
}

Status ReadMemory(const JsonReader& json, Resources& resources) {
  TRY(json.Read("limit", resources.memory_limit_bytes));
  TRY(json.Read("reservation", resources.memory_reservation_bytes));
  TRY(json.Read("swap", resources.memory_swap_bytes));
  TRY(json.Read("kernelTCP", resources.kernel_tcp_bytes));
  TRY(json.Read("swappiness", resources.swappiness));
  TRY(json.Read("disableOOMKiller", resources.disable_oom_killer));
  TRY(json.Read("checkBeforeUpdate", resources.check_before_update));
  if (resources.swappiness && *resources.swappiness > 100)
    return json.Invalid("has a swappiness above 100");
  std::optional<int64_t> kernel;
  TRY(json.Read("kernel", kernel));
  if (kernel && *kernel != -1 && *kernel != 0)
    return Error(ENOTSUP, json.path() +
                              ".kernel is not supported: Linux has dropped "
                              "the limit; remove it");
  return Ok();
}

Status ReadCpu(const JsonReader& json, Resources& resources) {
  TRY(json.Read("shares", resources.cpu_shares));
  TRY(json.Read("quota", resources.cpu_quota_us));
  TRY(json.Read("period", resources.cpu_period_us));
  TRY(json.Read("burst", resources.cpu_burst_us));
  TRY(json.Read("realtimeRuntime", resources.cpu_rt_runtime_us));
  TRY(json.Read("realtimePeriod", resources.cpu_rt_period_us));
  TRY(json.Read("idle", resources.cpu_idle));
  TRY(json.Read("cpus", resources.cpuset_cpus));
  return json.Read("mems", resources.cpuset_mems);
}

template <typename Number>
Status ReadDeviceValues(const JsonReader& json, const char* list,
                        const char* key, std::vector<DeviceValue>& values) {
  for (const JsonReader& element : TRY(TRY(json.Get(list)).Elements())) {
    DeviceValue value;
    TRY(element.Require("major", value.major));
    TRY(element.Require("minor", value.minor));
    std::optional<Number> number;
    TRY(element.Read(key, number));
    if (!number) continue;  // the other kind of weight
    value.value = *number;
    values.push_back(value);
  }
  return Ok();
}

Status ReadBlockIo(const JsonReader& json, Resources& resources) {
  TRY(json.Read("weight", resources.blkio_weight));
  TRY(json.Read("leafWeight", resources.blkio_leaf_weight));
  TRY(ReadDeviceValues<uint16_t>(json, "weightDevice", "weight",
                                 resources.blkio_weight_device));
  TRY(ReadDeviceValues<uint16_t>(json, "weightDevice", "leafWeight",
                                 resources.blkio_leaf_weight_device));
  TRY(ReadDeviceValues<uint64_t>(json, "throttleReadBpsDevice", "rate",
                                 resources.throttle_read_bps));
  TRY(ReadDeviceValues<uint64_t>(json, "throttleWriteBpsDevice", "rate",
                                 resources.throttle_write_bps));
  TRY(ReadDeviceValues<uint64_t>(json, "throttleReadIOPSDevice", "rate",
                                 resources.throttle_read_iops));
  return ReadDeviceValues<uint64_t>(json, "throttleWriteIOPSDevice", "rate",
                                    resources.throttle_write_iops);
}

// Names that become file names must not lead elsewhere.
bool IsFileName(std::string_view name) {
  return !name.empty() && name.find('/') == name.npos && name[0] != '.';
}

Status ReadHugepages(const JsonReader& json, Resources& resources) {
  for (const JsonReader& element : TRY(json.Elements())) {
    std::string size;
    uint64_t limit = 0;
    TRY(element.Require("pageSize", size));
    TRY(element.Require("limit", limit));
    if (!IsFileName(size)) return element.Invalid("has an invalid pageSize");
    resources.hugepage_limits[size] = limit;
  }
  return Ok();
}

Status ReadNetwork(const JsonReader& json, Resources& resources) {
  TRY(json.Read("classID", resources.net_class_id));
  for (const JsonReader& element :
       TRY(TRY(json.Get("priorities")).Elements())) {
    std::string name;
    uint32_t priority = 0;
    TRY(element.Require("name", name));
    TRY(element.Require("priority", priority));
    resources.net_priorities[name] = priority;
  }
  return Ok();
}

}  // namespace

Status ReadResources(const JsonReader& json, Resources& resources) {
  TRY(ReadDeviceRules(TRY(json.Get("devices")), resources.devices));
  TRY(ReadMemory(TRY(json.Get("memory")), resources));
  TRY(ReadCpu(TRY(json.Get("cpu")), resources));
  TRY(TRY(json.Get("pids")).Read("limit", resources.pids_limit));
  TRY(ReadBlockIo(TRY(json.Get("blockIO")), resources));
  TRY(ReadHugepages(TRY(json.Get("hugepageLimits")), resources));
  TRY(ReadNetwork(TRY(json.Get("network")), resources));
  for (const auto& [device, element] : TRY(TRY(json.Get("rdma")).Members())) {
    Resources::Rdma rdma;
    TRY(element.Read("hcaHandles", rdma.handles));
    TRY(element.Read("hcaObjects", rdma.objects));
    resources.rdma[device] = rdma;
  }
  const JsonReader unified = TRY(json.Get("unified"));
  TRY(unified.Read(resources.unified));
  for (const auto& [file, value] : resources.unified)
    if (!IsFileName(file))
      return unified.Invalid("has an invalid file name \"" + file + "\"");
  return Ok();
}

}  // namespace ufs::runtime
