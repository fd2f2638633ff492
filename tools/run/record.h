// What is known of a container that `ufs run` made, on disk:
//
//   STATE/containers/NAME/record.json   this, replaced atomically
//                         oci/          the runtime's own state of it
//                         upper work    the fresh upper, unless one was named
//                         root          where the union is mounted, for the
//                                       supervisor and the container alone
//                         log log.1     what it has written
//                         attach        the supervisor's socket
//                         config.json         what the runtime was given last
//                         limits.json         what `ufs update` has changed
//                         hosts hostname resolv.conf
//
// A directory appears under its name when it is complete, so that a name is
// taken once; what a killed command leaves begins with a dot, or has a
// supervisor that is gone, and is cleaned up by the next (find.h).
// Threads: any; processes exclude one another by LockRecord.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/spec.h"
#include "tools/run/health.h"
#include "tools/run/restart.h"

namespace ufs {

// How long `ufs stop` waits before it kills, unless somebody says; and at most.
inline constexpr int kStopSeconds = 10, kStopSecondsMax = 86'400;

struct RunRecord {
  std::string name;
  std::vector<std::string> layers;   // as they were named
  std::vector<std::string> parts;    // what that meant: digests, whole paths
  std::string store;                 // where those digests are
  std::vector<std::string> command;  // program and arguments
  std::map<std::string, std::string> labels;  // of the image and its own
  std::string created, started, finished;     // RFC 3339; empty: not yet
  std::string upper;
  // Of what the runtime makes in it for mounts of ours, where the image has
  // none.
  std::vector<std::string> places;
  std::vector<std::string> volumes;            // by name
  std::vector<std::string> anonymous_volumes;  // those made up for it
  std::string network;
  std::vector<std::string> ports;  // as PublishedPort::ToString
  std::string error;               // why it ended, if not by itself
  bool remove = false;             // once it has ended
  bool terminal = false;
  int stop_signal = 15;
  int stop_timeout = kStopSeconds;
  RestartPolicy restart;
  HealthCheck health_check;
  std::optional<Health> health;  // as last heard of, where there is a check
  int restarts = 0;              // so far
  bool restarting = false;       // it has ended, and will be started again
  bool ended = false;
  int exit_code = 0;
  bool out_of_memory = false;
  // Who looks after it, and since when (kernel::StartTimeOf).
  pid_t supervisor = 0;
  uint64_t supervisor_start = 0;
  // Of the user namespace; none for a container of root.
  std::vector<runtime::IdMapping> uids, gids;

  std::string ToJson() const;
};

// STATE/containers, for the calling user.
Result<std::string> ContainersDirectory();

inline std::string RecordPath(const std::string& root,
                              const std::string& name) {
  return root + "/" + name;
}

// EINVAL, as a sentence, for what is no name for a new one.
Status CheckName(const std::string& name);

// Whether its supervisor lives.
bool HasSupervisor(const RunRecord& record);

// Makes the directory of a new container with its record. EEXIST when the name
// is taken; EINVAL for what is no name.
Status CreateRecord(const std::string& root, const RunRecord& record);
Status SaveRecord(const std::string& root, const RunRecord& record);
// ENOENT, with a sentence for the user.
Result<RunRecord> LoadRecord(const std::string& root, const std::string& name);
// By name. What cannot be read is left out.
Result<std::vector<RunRecord>> ListRecords(const std::string& root);

// EBUSY for one that has not ended, EEXIST for a name that is taken, as
// sentences.
Status RenameRecord(const std::string& root, const std::string& name,
                    const std::string& new_name);

// Removes the directory and all in it, in the user namespace whose ids own the
// files. REQUIRES: nothing of it runs any more.
Status RemoveRecord(const std::string& root, const RunRecord& record);

// Held by who changes a container that has no supervisor, or its limits.
Result<UniqueFd> LockRecord(const std::string& root, const std::string& name);

}  // namespace ufs
