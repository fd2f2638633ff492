#include "runtime/state.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "layerdb/base/json_reader.h"
#include "layerdb/base/own_directory.h"
#include "layerdb/base/remove_tree.h"
#include "runtime/kernel.h"
#include "runtime/namespaces.h"

namespace ufs::runtime {
namespace {

constexpr size_t kStateBytesMax = 4 << 20;
constexpr char kStateFile[] = "state.json";
constexpr char kConfigFile[] = "config.json";

Error NotThere(const std::string& id) {
  return Error(ENOENT, "container does not exist: " + id);
}

Result<UniqueFd> OpenDirectory(const std::string& path) {
  return sys::Open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

bool StillThere(BorrowedFd dir) {
  const auto stat = sys::Statx({dir});
  return stat.ok() && stat->stx_nlink > 0;
}

}  // namespace

std::string FormatState(const ContainerState& state, const char* oci_version,
                        const char* status, pid_t pid) {
  nlohmann::ordered_json json;
  json["ociVersion"] = oci_version;
  json["id"] = state.id;
  json["pid"] = pid;
  json["status"] = status;
  json["bundle"] = state.bundle;
  json["rootfs"] = state.rootfs;
  json["created"] = state.created;
  if (!state.annotations.empty()) json["annotations"] = state.annotations;
  json["owner"] = state.owner;
  using Handler = nlohmann::ordered_json::error_handler_t;
  return json.dump(2, ' ', false, Handler::replace);
}

Status CheckId(std::string_view id) {
  constexpr size_t kIdBytesMax = 200;
  const bool valid = !id.empty() && id.size() <= kIdBytesMax && id[0] != '.' &&
                     std::all_of(id.begin(), id.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') ||
                              (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '_' || c == '+' ||
                              c == '-' || c == '.';
                     });
  if (valid) return Ok();
  return Error(EINVAL, "invalid container id \"" + std::string(id) +
                           "\": letters, digits and _+-. make one, up to 200, "
                           "with no dot first");
}

Result<StateEntry> StateEntry::Look(const std::string& root,
                                    const std::string& id) {
  TRY(CheckId(id));
  const std::string path = root + "/" + id;
  auto dir = OpenDirectory(path);
  if (dir.code() == ENOENT) return NotThere(id);
  if (!dir.ok()) return std::move(dir).error().With(path);
  return StateEntry(path, std::move(dir).value());
}

Result<StateEntry> StateEntry::Lock(const std::string& root,
                                    const std::string& id) {
  auto entry = TRY(Look(root, id));
  TRY(sys::FLock(entry.dir_, LOCK_EX).With("locking " + entry.path_));
  if (!StillThere(entry.dir_)) return NotThere(id);
  return entry;
}

Result<StateEntry> StateEntry::Create(const std::string& root,
                                      const std::string& id) {
  TRY(CheckId(id));
  TRY(kernel::MakeDirectories(root, 0700)
          .With("the state directory cannot be made; name another by --root"));
  const std::string path = root + "/" + id;
  const Error exists(EEXIST, "container with id " + id + " already exists");
  // Once more if what we found is removed under our hands.
  for (int attempt = 0; attempt < 3; ++attempt) {
    const auto made = sys::MkDirAt({AT_FDCWD, path.c_str()}, 0700);
    if (!made.ok() && made.code() != EEXIST)
      return Error(made.code(), path + " cannot be made");
    auto dir = OpenDirectory(path);
    if (dir.code() == ENOENT) continue;
    if (!dir.ok()) return std::move(dir).error().With(path);
    if (!sys::FLock(*dir, LOCK_EX | LOCK_NB).ok()) return exists;
    if (!StillThere(*dir)) continue;
    StateEntry entry(path, std::move(dir).value());
    if (const auto state = entry.Load(); state.ok()) {
      if (state->pid != 0) return exists;
      // A creation that was killed: its cgroups are still there.
      ContainerState left = *state;
      TRY(left.cgroup.LeaveToOther());
      TRY(left.cgroup.Remove());
    }
    TRY(RemoveContents(entry.dir_));
    return entry;
  }
  return exists;
}

Status StateEntry::Unlock() { return sys::FLock(dir_, LOCK_UN); }

Status StateEntry::Save(const ContainerState& state) const {
  const nlohmann::json json = {{"id", state.id},
                               {"bundle", state.bundle},
                               {"rootfs", state.rootfs},
                               {"created", state.created},
                               {"owner", state.owner},
                               {"pid", state.pid},
                               {"startTime", state.start_time},
                               {"keyring", state.keyring},
                               {"annotations", state.annotations},
                               {"cgroup", state.cgroup.Save()}};
  using Handler = nlohmann::json::error_handler_t;
  return kernel::ReplaceFile({dir_, kStateFile},
                             json.dump(1, ' ', false, Handler::replace),
                             /*lasting=*/false)
      .With(path_ + "/" + kStateFile);
}

Result<ContainerState> StateEntry::Load() const {
  const auto load = [&]() -> Result<ContainerState> {
    const auto text = TRY(kernel::ReadFile({dir_, kStateFile}, kStateBytesMax));
    const auto json = TRY(ParseJson(text, kStateBytesMax));
    const JsonReader reader(&json, "");
    ContainerState state;
    TRY(reader.Require("id", state.id));
    TRY(reader.Require("bundle", state.bundle));
    TRY(reader.Require("rootfs", state.rootfs));
    TRY(reader.Require("created", state.created));
    TRY(reader.Read("owner", state.owner));
    TRY(reader.Require("pid", state.pid));
    TRY(reader.Require("startTime", state.start_time));
    TRY(reader.Read("keyring", state.keyring));
    TRY(reader.Read("annotations", state.annotations));
    if (json.contains("cgroup"))
      state.cgroup = TRY(Cgroup::Load(json["cgroup"]));
    return state;
  };
  return load().With(path_ + "/" + kStateFile);
}

Status StateEntry::SaveConfig(std::string_view text) const {
  return kernel::ReplaceFile({dir_, kConfigFile}, text, /*lasting=*/false)
      .With(path_ + "/" + kConfigFile);
}

Result<std::string> StateEntry::ReadConfig() const {
  return kernel::ReadFile({dir_, kConfigFile}, kStateBytesMax)
      .With(path_ + "/" + kConfigFile);
}

bool StateEntry::HasStartSocket() const {
  return sys::Statx(start_socket()).ok();
}

Status StateEntry::Remove() {
  TRY(RemoveContents(dir_).With(path_));
  return sys::UnlinkAt({AT_FDCWD, path_.c_str()}, AT_REMOVEDIR).With(path_);
}

Result<std::vector<std::string>> ListIds(const std::string& root) {
  std::vector<std::string> ids;
  const auto dir = sys::Open(root.c_str(), O_RDONLY | O_DIRECTORY);
  if (dir.code() == ENOENT) return ids;
  if (!dir.ok()) return Error(dir.code(), root);
  TRY(sys::ForEachEntry(*dir, [&](const char* name, uint8_t, uint64_t) {
    const std::string file = std::string(name) + "/" + kStateFile;
    if (CheckId(name).ok() && sys::Statx({*dir, file.c_str()}).ok())
      ids.emplace_back(name);
    return true;
  }));
  std::sort(ids.begin(), ids.end());
  return ids;
}

Status MakeOwnDirectory(const std::string& path) {
  if (TRY(EnsureOwnDirectory(path, S_IWGRP | S_IWOTH))) return Ok();
  return Error(EPERM, path +
                          " is not ours alone; set XDG_RUNTIME_DIR, or name "
                          "another by --root");
}

Result<std::string> DefaultStateRoot() {
  constexpr char kName[] = "/ufs-oci";
  if (geteuid() == 0 && InInitialUserNamespace())
    return std::string("/run") + kName;
  if (const char* run = getenv("XDG_RUNTIME_DIR");
      run != nullptr && *run == '/')
    return std::string(run) + kName;
  const std::string path = "/tmp/ufs-oci-" + std::to_string(geteuid());
  TRY(MakeOwnDirectory(path));
  return path;
}

std::string FormatRfc3339(const timespec& time) {
  tm parts;
  gmtime_r(&time.tv_sec, &parts);
  char text[64], whole[96];
  strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(whole, sizeof(whole), "%s.%09ldZ", text, time.tv_nsec);
  return whole;
}

std::string NowRfc3339() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return FormatRfc3339(now);
}

}  // namespace ufs::runtime
