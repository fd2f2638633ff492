// State on disk: one directory per container below a root directory, with what
// must outlive the process that made it.
//
//   ROOT/ID/state.json    who it is, its pid and cgroups; replaced atomically
//   ROOT/ID/config.json   the configuration it was made from
//   ROOT/ID/start         a socket while init waits to be started
//
// A directory without a readable state.json, and unlocked, is what a killed
// creation left; the next creation of that id takes it over.
// Threads: one at a time; processes exclude one another by StateEntry's lock.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/syscall.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/cgroup.h"

namespace ufs::runtime {

struct ContainerState {
  std::string id;
  std::string bundle;   // absolute
  std::string rootfs;   // absolute
  std::string created;  // RFC 3339
  std::string owner;
  pid_t pid = 0;            // of init; 0 while it is being made
  uint64_t start_time = 0;  // of that process, see kernel::StartTimeOf
  std::string keyring;      // its session keyring; empty: the caller's
  std::map<std::string, std::string> annotations;
  Cgroup cgroup;
};

// The state as the specification has it, JSON.
std::string FormatState(const ContainerState& state, const char* oci_version,
                        const char* status, pid_t pid);

// Letters, digits, "_+-.", no dot at the beginning, at most 200 bytes: a name
// that can become part of a path.
Status CheckId(std::string_view id);

// The directory of one container, open.
class StateEntry {
 public:
  // For the one who changes it: waits for others to be done. ENOENT, in runc's
  // words, when it does not exist.
  static Result<StateEntry> Lock(const std::string& root,
                                 const std::string& id);
  // For the one who looks.
  static Result<StateEntry> Look(const std::string& root,
                                 const std::string& id);
  // A new one, locked. EEXIST.
  static Result<StateEntry> Create(const std::string& root,
                                   const std::string& id);

  Status Unlock();

  Status Save(const ContainerState& state) const;
  Result<ContainerState> Load() const;
  Status SaveConfig(std::string_view text) const;
  Result<std::string> ReadConfig() const;

  sys::At start_socket() const { return {dir_, "start"}; }
  std::string start_socket_path() const { return path_ + "/start"; }
  bool HasStartSocket() const;

  // What the container sees of it, see notify_socket.h.
  sys::At notify_directory() const { return {dir_, "notify"}; }
  std::string notify_directory_path() const { return path_ + "/notify"; }

  // With all in it.
  Status Remove();

 private:
  StateEntry(std::string path, UniqueFd dir)
      : path_(std::move(path)), dir_(std::move(dir)) {}

  std::string path_;
  UniqueFd dir_;  // holds the lock
};

// Ids of the containers that have a state.
Result<std::vector<std::string>> ListIds(const std::string& root);

// Where state goes if nobody says: /run/ufs-oci for root, the same below
// $XDG_RUNTIME_DIR for others and for root of a user namespace. Without that,
// /tmp/ufs-oci-UID, which is made, and EPERM unless it is ours alone: anybody
// may have made it.
Result<std::string> DefaultStateRoot();

// `path`, a directory that is made where it is missing. EPERM if somebody else
// owns it or may write into it, or it is a link.
Status MakeOwnDirectory(const std::string& path);

// "2026-01-02T03:04:05.678901234Z"
std::string NowRfc3339();
// In UTC, to the nanosecond: of the years 1000 to 9999 the texts are ordered as
// the times are.
std::string FormatRfc3339(const timespec& time);

}  // namespace ufs::runtime
