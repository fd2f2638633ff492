#include "runtime/launcher.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/channel.h"
#include "runtime/id_map.h"
#include "runtime/namespaces.h"

namespace ufs::runtime {
namespace {

uint64_t NewNamespaceFlags(const ContainerSpec& spec) {
  uint64_t flags = 0;
  for (const Namespace& ns : spec.namespaces)
    // The cgroup namespace shows what the process is in when it is made: init
    // makes its own once it has joined its cgroup.
    if (ns.path.empty() && ns.type != NamespaceType::kCgroup)
      flags |= static_cast<uint64_t>(CloneFlagOf(ns.type));
  return flags;
}

bool NeedsHelper(const ContainerSpec& spec) {
  for (const Namespace& ns : spec.namespaces)
    // Offsets can be set only before somebody is in it.
    if (!ns.path.empty() || ns.type == NamespaceType::kTime) return true;
  return false;
}

Status SetTimeOffsets(const ContainerSpec& spec) {
  for (const auto& [clock, offset] : spec.time_offsets) {
    const std::string line = clock + " " + std::to_string(offset.secs) + " " +
                             std::to_string(offset.nanosecs);
    TRY(kernel::WriteFile({AT_FDCWD, "/proc/self/timens_offsets"}, line)
            .With("linux.timeOffsets." + clock));
  }
  return Ok();
}

std::string CloneHint(const Error& error, bool user_namespace) {
  if (error.code() == EPERM && !user_namespace)
    return "creating namespaces; as an ordinary user the container needs a "
           "user namespace (`spec --rootless` writes one)";
  if (error.code() == ENOSPC)
    return "creating namespaces; a limit of /proc/sys/user is reached";
  return "creating namespaces";
}

Result<kernel::Child> OrWhyNot(Result<kernel::Child> child,
                               bool user_namespace) {
  if (child.ok()) return child;
  return Error(child.code(), CloneHint(child.error(), user_namespace));
}

// In the helper: joins, then makes init as a child of its own parent.
Status JoinAndClone(const ContainerSpec& spec, CgroupDoors& doors,
                    UniqueFd& channel,
                    const std::function<void(UniqueFd)>& body) {
  TRY(JoinNamespaces(spec));
  uint64_t flags = NewNamespaceFlags(spec);
  if (flags & CLONE_NEWUSER) {
    TRY(kernel::Unshare(CLONE_NEWUSER).With("creating a user namespace"));
    flags &= ~uint64_t{CLONE_NEWUSER};
    TRY(Say(channel, Word::kMapMe));
    TRY(Expect(channel, Word::kGo));
  }
  if (flags & CLONE_NEWTIME) {
    TRY(kernel::Unshare(CLONE_NEWTIME).With("creating a time namespace"));
    flags &= ~uint64_t{CLONE_NEWTIME};
    TRY(SetTimeOffsets(spec));
  }
  const auto init = TRY(OrWhyNot(doors.Clone(flags | CLONE_PARENT), false));
  if (init.pid == 0) {
    // It is the helper that says who we are, before we say anything.
    if (Expect(channel, Word::kGo).ok()) body(std::move(channel));
    _exit(1);
  }
  return Say(channel, Word::kInitIs, std::to_string(init.pid),
             init.pidfd.get());
}

Result<kernel::Child> AwaitInit(const ContainerSpec& spec, BorrowedFd channel,
                                pid_t helper) {
  while (true) {
    auto said = TRY(Listen(channel));
    if (said.word == Word::kMapMe) {
      TRY(WriteIdMaps(helper, spec.uid_mappings, spec.gid_mappings));
      TRY(Say(channel, Word::kGo));
    } else if (said.word == Word::kInitIs) {
      return kernel::Child{static_cast<pid_t>(std::stol(said.text)),
                           std::move(said.fd)};
    } else {
      return Error(EPROTO);
    }
  }
}

Result<Launched> LaunchByHelper(const ContainerSpec& spec, CgroupDoors& doors,
                                const std::function<void(UniqueFd)>& body) {
  auto pair = TRY(kernel::MakeSocketPair());
  // Not into the cgroup, which may have room for one.
  auto helper = TRY(kernel::Clone(0));
  if (helper.pid == 0) {
    pair.ours.reset();
    const auto done = JoinAndClone(spec, doors, pair.theirs, body);
    if (!done.ok()) SayError(pair.theirs, done.error());
    _exit(done.ok() ? 0 : 1);
  }
  pair.theirs.reset();
  auto init = AwaitInit(spec, pair.ours, helper.pid);
  // It may be waiting for a word that does not come.
  if (!init.ok()) (void)kernel::PidfdSignal(helper.pidfd, SIGKILL);
  TRY(kernel::WaitPid(helper.pid));
  if (!init.ok()) return std::move(init).error();
  // If it is gone already, whoever listens to it will see.
  (void)Say(pair.ours, Word::kGo);
  return Launched{std::move(init).value(), std::move(pair.ours)};
}

}  // namespace

Result<Launched> Launch(const ContainerSpec& spec, CgroupDoors& doors,
                        const std::function<void(UniqueFd)>& body) {
  if (NeedsHelper(spec)) return LaunchByHelper(spec, doors, body);
  const bool user_namespace = spec.HasNew(NamespaceType::kUser);
  auto pair = TRY(kernel::MakeSocketPair());
  auto init =
      TRY(OrWhyNot(doors.Clone(NewNamespaceFlags(spec)), user_namespace));
  if (init.pid == 0) {
    pair.ours.reset();
    // Without ids it could do nothing that counts.
    if (!user_namespace || Expect(pair.theirs, Word::kGo).ok())
      body(std::move(pair.theirs));
    _exit(1);
  }
  pair.theirs.reset();
  if (user_namespace) {
    auto mapped = WriteIdMaps(init.pid, spec.uid_mappings, spec.gid_mappings);
    if (mapped.ok()) mapped = Say(pair.ours, Word::kGo);
    if (!mapped.ok()) {
      (void)kernel::PidfdSignal(init.pidfd, SIGKILL);
      (void)kernel::WaitPid(init.pid);
      return std::move(mapped).error();
    }
  }
  return Launched{std::move(init), std::move(pair.ours)};
}

}  // namespace ufs::runtime
