#include "runtime/namespaces.h"

#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <string>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"

namespace ufs::runtime {
namespace {

struct Names {
  NamespaceType type;
  int flag;
  const char* proc;
  const char* oci;
};

constexpr Names kNames[] = {
    {NamespaceType::kUser, CLONE_NEWUSER, "user", "user"},
    {NamespaceType::kMount, CLONE_NEWNS, "mnt", "mount"},
    {NamespaceType::kPid, CLONE_NEWPID, "pid", "pid"},
    {NamespaceType::kNetwork, CLONE_NEWNET, "net", "network"},
    {NamespaceType::kUts, CLONE_NEWUTS, "uts", "uts"},
    {NamespaceType::kIpc, CLONE_NEWIPC, "ipc", "ipc"},
    {NamespaceType::kCgroup, CLONE_NEWCGROUP, "cgroup", "cgroup"},
    {NamespaceType::kTime, CLONE_NEWTIME, "time", "time"},
};

const Names& NamesOf(NamespaceType type) {
  for (const Names& names : kNames)
    if (names.type == type) return names;
  return kNames[0];
}

// The inode number of a namespace file is the namespace's identity.
Result<uint64_t> IdentityOf(const std::string& path) {
  struct stat st;
  TRY(kernel::Check(stat(path.c_str(), &st)));
  return st.st_ino;
}

// Who is in a mount namespace that a container takes is given its root.
Status CheckNotHosts(BorrowedFd ns) {
  const auto stat = TRY(sys::Statx({ns}));
  for (const char* hosts : {"/proc/self/ns/mnt", "/proc/1/ns/mnt"}) {
    const auto identity = IdentityOf(hosts);
    if (identity.ok() && *identity == stat.stx_ino)
      return Error(EINVAL, std::string("it is that of ") + hosts +
                               ", whose root the container would replace");
  }
  return Ok();
}

}  // namespace

int CloneFlagOf(NamespaceType type) { return NamesOf(type).flag; }
const char* ProcNameOf(NamespaceType type) { return NamesOf(type).proc; }
const char* OciNameOf(NamespaceType type) { return NamesOf(type).oci; }

std::optional<NamespaceType> ParseOciName(std::string_view name) {
  for (const Names& names : kNames)
    if (name == names.oci) return names.type;
  return std::nullopt;
}

bool InInitialUserNamespace() {
  // PROC_USER_INIT_INO of the kernel's include/linux/proc_ns.h. The map's
  // layout is no proof: a nested namespace may map everything to itself.
  constexpr uint64_t kInitialUserNamespace = 0xEFFFFFFD;
  const auto identity = IdentityOf("/proc/self/ns/user");
  return identity.ok() && *identity == kInitialUserNamespace;
}

Status JoinNamespaces(const ContainerSpec& spec) {
  // The mount namespace last, as it changes what the other paths mean.
  const auto join = [&](NamespaceType type) -> Status {
    const Namespace* const ns = spec.Find(type);
    if (ns == nullptr || ns->path.empty()) return Ok();
    const std::string what = std::string("joining the ") + OciNameOf(type) +
                             " namespace " + ns->path;
    const UniqueFd fd = TRY(sys::Open(ns->path.c_str(), O_RDONLY).With(what));
    const int is = ioctl(fd.get(), NS_GET_NSTYPE);
    if (is != CloneFlagOf(type))
      return Error(EINVAL,
                   what + ": it is no " + OciNameOf(type) + " namespace");
    if (type == NamespaceType::kMount) TRY(CheckNotHosts(fd).With(what));
    return kernel::SetNs(fd, CloneFlagOf(type)).With(what);
  };
  // What is the host's with the rights that we have now; what is the user
  // namespace's, which root of that alone may join, after it.
  std::vector<NamespaceType> later = {NamespaceType::kUser};
  for (NamespaceType type : kAllNamespaces) {
    if (type == NamespaceType::kUser || type == NamespaceType::kMount) continue;
    auto joined = join(type);
    if (joined.code() == EPERM) {
      later.push_back(type);
    } else {
      TRY(std::move(joined));
    }
  }
  for (NamespaceType type : later) TRY(join(type));
  return join(NamespaceType::kMount);
}

Status JoinProcess(pid_t pid, BorrowedFd pidfd) {
  int flags = 0;
  for (NamespaceType type : kAllNamespaces) {
    const std::string name = ProcNameOf(type);
    const auto ours = IdentityOf("/proc/self/ns/" + name);
    const auto theirs =
        IdentityOf("/proc/" + std::to_string(pid) + "/ns/" + name);
    if (!theirs.ok()) {
      if (ours.ok() || theirs.code() != ENOENT)
        return Error(theirs.code(), "reading the namespaces of process " +
                                        std::to_string(pid));
      continue;  // a kernel without this type
    }
    if (!ours.ok() || *ours != *theirs) flags |= CloneFlagOf(type);
  }
  if (flags == 0) return Ok();
  return kernel::SetNs(pidfd, flags)
      .With("joining the namespaces of process " + std::to_string(pid));
}

}  // namespace ufs::runtime
