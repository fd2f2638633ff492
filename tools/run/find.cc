#include "tools/run/find.h"

#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/cgroup_trial.h"
#include "runtime/kernel.h"
#include "runtime/namespaces.h"
#include "tools/run/scratch.h"
#include "tools/run/volume_store.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;

bool IsOrphan(const RunRecord& record) {
  return !record.ended && !HasSupervisor(record);
}

// Wakes whoever waits for the container's file system, whose daemon may be
// dead: such a process cannot even be killed. From inside, as nobody else has
// the mount any more; in a child, as it changes namespaces.
void AbortFileSystem(const runtime::Container& container) {
  const auto init = kernel::PidfdOpen(container.state().pid);
  if (!init.ok()) return;
  const auto child = kernel::Clone(0);
  if (!child.ok()) return;
  if (child->pid == 0) {
    if (runtime::JoinProcess(container.state().pid, *init).ok())
      (void)kernel::Unmount("/", MNT_FORCE);
    _exit(0);
  }
  (void)kernel::WaitPid(child->pid);
}

Status EndOrphan(const std::string& root, const std::string& name) {
  const UniqueFd lock = TRY(LockRecord(root, name));
  RunRecord record = TRY(LoadRecord(root, name));
  if (!IsOrphan(record)) return Ok();
  auto container =
      runtime::Container::Open(RecordPath(root, name) + "/oci", name);
  if (container.ok()) {
    if (TRY(container->Status()) != runtime::RunState::kStopped)
      AbortFileSystem(*container);
    TRY(container->Delete(/*force=*/true));
  }
  record.ended = true;
  record.restarting = false;
  record.exit_code = 128 + SIGKILL;
  record.finished = runtime::NowRfc3339();
  record.error = "its supervisor was killed";
  if (!record.remove) return SaveRecord(root, record);
  TRY(RemoveAnonymousVolumes(TRY(VolumesDirectory()), root, record));
  return RemoveRecord(root, record);
}

}  // namespace

Result<runtime::Container> FoundContainer::Open() const {
  if (!record.ended) {
    auto container =
        runtime::Container::Open(directory() + "/oci", record.name);
    if (container.ok() || container.code() != ENOENT) return container;
  }
  return Error(ESRCH,
               record.name + (record.restarting ? " is about to be restarted"
                                                : " is not running"));
}

Result<FoundContainer> FindContainer(const std::string& name) {
  FoundContainer found;
  found.root = TRY(ContainersDirectory());
  found.record = TRY(LoadRecord(found.root, name));
  if (!IsOrphan(found.record)) return found;
  TRY(EndOrphan(found.root, name).With(name + ": cleaning up"));
  found.record = TRY(LoadRecord(found.root, name));
  return found;
}

void Sweep(const std::string& root) {
  runtime::RemoveLeftTrials();
  RemoveScratch(root);
  const auto records = ListRecords(root);
  if (!records.ok()) return;
  for (const RunRecord& record : *records)
    if (IsOrphan(record)) (void)EndOrphan(root, record.name);
}

}  // namespace ufs
