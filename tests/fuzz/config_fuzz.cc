// config.json from an enemy: any bytes, as the configuration, a process, and
// resources. What is taken must also make sense to what reads it next.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "runtime/cgroup_limits.h"
#include "runtime/config.h"
#include "runtime/device_filter.h"
#include "runtime/mount_flags.h"
#include "runtime/rooted_path.h"
#include "runtime/seccomp.h"

namespace ufs::runtime {
namespace {

void UseResources(const Resources& resources) {
  for (const char* controller : kLimitControllers)
    for (CgroupVersion version : {CgroupVersion::kV1, CgroupVersion::kV2})
      (void)LimitWrites(resources, controller, version);
  if (resources.devices.size() < 100) {
    (void)DeviceWritesV1(resources.devices);
    (void)DeviceFilterProgram(WithDefaultDevices(resources.devices));
  }
}

void Use(const ContainerSpec& spec) {
  for (const Mount& mount : spec.mounts) {
    (void)ParseMountFlags(mount.options);
    // No path leads above the root.
    if (mount.destination != CleanPath(mount.destination)) std::abort();
  }
  if (spec.process.args.empty()) std::abort();
  if (spec.seccomp && spec.seccomp->rules.size() < 20)
    (void)CompileSeccomp(*spec.seccomp);
  UseResources(spec.resources);
}

}  // namespace
}  // namespace ufs::runtime

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ufs::runtime;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto spec = ParseConfig(text); spec.ok()) Use(*spec);
  (void)ParseProcess(text);
  if (const auto resources = ParseResources(text); resources.ok())
    UseResources(*resources);
  return 0;
}
