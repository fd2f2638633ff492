// SystemdScope: a transient scope of systemd, which is a cgroup that systemd
// made, knows, and leaves to us. Asked for by messages over D-Bus: the system's
// bus by root, else the bus of the user's own manager.
//
// Threads: one at a time. Errors: what systemd says, with the unit's name;
// ETIMEDOUT when it says nothing; ENOTSUP without a bus; EEXIST.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "layerdb/base/result.h"
#include "runtime/spec.h"
#include "runtime/systemd_property.h"

namespace ufs::runtime {

struct SystemdScope {
  std::string unit;   // "libpod-ID.scope"
  std::string slice;  // "machine.slice"
  // Tells it from others that have, or had, its name.
  std::string description;
  // That it is to have beside the limits; only for who makes it.
  std::vector<SystemdProperty> properties = {};
};

// From "linux.cgroupsPath" as callers write it for systemd, SLICE:PREFIX:NAME;
// from the container's id where it is empty. `created` is when that was.
Result<SystemdScope> ParseScope(const std::string& cgroups_path,
                                const std::string& id,
                                const std::string& created);

// The limits that systemd has properties for, by their names; UINT64_MAX stands
// for none. What it has none for is in the cgroup's files alone.
std::vector<std::pair<std::string, uint64_t>> ScopeLimits(
    const Resources& resources);

// Whether this process belongs to a user whose manager runs.
bool HasUserManager();

// Has the scope made with `pid` in it, and waits until it is.
Status StartScope(const SystemdScope& scope, pid_t pid,
                  const Resources& resources);
Status SetScopeLimits(const SystemdScope& scope, const Resources& resources);
// Has this process moved into the cgroup `below` ("/a") of the scope: for an
// ordinary user, who may move nobody there from elsewhere.
Status EnterScope(const SystemdScope& scope, const std::string& below);
// Whether the name is by now that of a scope which somebody else has made.
// False, too, where nobody can be asked, as there is no bus; an error where
// somebody was, and has not told.
Result<bool> IsAnothers(const SystemdScope& scope);
// Ends and forgets it; one that is not there any more, too. Without a bus there
// is nothing to do: an empty scope ends by itself.
Status StopScope(const SystemdScope& scope);

}  // namespace ufs::runtime
