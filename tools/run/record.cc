#include "tools/run/record.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <filesystem>

#include "layerdb/base/json_reader.h"
#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"
#include "runtime/state.h"
#include "tools/print_json.h"
#include "tools/run/scratch.h"
#include "tools/run/user_namespace.h"
#include "tools/state_dir.h"

namespace ufs {
namespace {

namespace stdfs = std::filesystem;
namespace kernel = runtime::kernel;

constexpr size_t kRecordBytesMax = 1 << 20;
constexpr char kFile[] = "record.json";

Json ToJson(const std::vector<runtime::IdMapping>& maps) {
  auto list = Json::array();
  for (const runtime::IdMapping& map : maps)
    list.push_back({{"container", map.container_id},
                    {"host", map.host_id},
                    {"size", map.size}});
  return list;
}

Status ReadMaps(const JsonReader& json, std::vector<runtime::IdMapping>& maps) {
  for (const JsonReader& element : TRY(json.Elements())) {
    runtime::IdMapping map;
    TRY(element.Require("container", map.container_id));
    TRY(element.Require("host", map.host_id));
    TRY(element.Require("size", map.size));
    maps.push_back(map);
  }
  return Ok();
}

Status WriteText(const std::string& directory, std::string_view text) {
  const UniqueFd dir =
      TRY(sys::Open(directory.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW));
  return kernel::ReplaceFile({dir, kFile}, text, /*lasting=*/true);
}

}  // namespace

std::string RunRecord::ToJson() const {
  Json json = {{"name", name},
               {"layers", layers},
               {"parts", parts},
               {"store", store},
               {"command", command},
               {"labels", labels},
               {"created", created},
               {"started", started},
               {"finished", finished},
               {"upper", upper},
               {"places", places},
               {"volumes", volumes},
               {"anonymous_volumes", anonymous_volumes},
               {"network", network},
               {"ports", ports},
               {"error", error},
               {"remove", remove},
               {"terminal", terminal},
               {"stop_signal", stop_signal},
               {"stop_timeout", stop_timeout},
               {"restart", restart.ToString()},
               {"health_check",
                health_check.wanted() ? health_check.ToJson() : Json(nullptr)},
               {"health", health ? health->ToJson() : Json(nullptr)},
               {"restarts", restarts},
               {"restarting", restarting},
               {"ended", ended},
               {"exit_code", exit_code},
               {"out_of_memory", out_of_memory},
               {"supervisor", supervisor},
               {"supervisor_start", supervisor_start},
               {"uids", ufs::ToJson(uids)},
               {"gids", ufs::ToJson(gids)}};
  using Handler = Json::error_handler_t;
  return json.dump(1, ' ', false, Handler::replace) + "\n";
}

Result<std::string> ContainersDirectory() {
  return TRY(StateDirectory()) + "/containers";
}

Status CheckName(const std::string& name) {
  TRY(runtime::CheckId(name));
  // As docker's: "-x" could be named nowhere, and an id has a +, too.
  if (std::isalnum(static_cast<unsigned char>(name[0])) &&
      name.find('+') == name.npos)
    return Ok();
  return Error(EINVAL, "'" + name +
                           "': a name begins with a letter or a digit, and "
                           "has those, _, . and - alone");
}

bool HasSupervisor(const RunRecord& record) {
  if (record.supervisor <= 0) return false;
  const auto start = kernel::StartTimeOf(record.supervisor);
  return start.ok() && *start == record.supervisor_start;
}

Status CreateRecord(const std::string& root, const RunRecord& record) {
  TRY(runtime::CheckId(record.name));
  std::error_code error;
  stdfs::create_directories(root, error);
  if (error) return Error(error.value(), root + ": cannot be made");
  const std::string draft = root + "/" + ScratchName(record.name);
  TRY(RemoveTree(draft));
  TRY(sys::MkDirAt({AT_FDCWD, draft.c_str()}, 0700).With(draft));
  const auto fill = [&]() -> Status {
    for (const char* name : {"/oci", "/root"})
      TRY(sys::MkDirAt({AT_FDCWD, (draft + name).c_str()}, 0700).With(draft));
    TRY(WriteText(draft, record.ToJson()).With(draft));
    const std::string path = RecordPath(root, record.name);
    const auto renamed = sys::RenameAt2(
        {AT_FDCWD, draft.c_str()}, {AT_FDCWD, path.c_str()}, RENAME_NOREPLACE);
    if (renamed.code() == EEXIST)
      return Error(EEXIST, "there is a container " + record.name +
                               " already; choose another --name, or remove "
                               "it: ufs rm " +
                               record.name);
    return Status(renamed).With(path);
  };
  auto filled = fill();
  if (!filled.ok()) (void)RemoveTree(draft);
  return filled;
}

Status SaveRecord(const std::string& root, const RunRecord& record) {
  const std::string path = RecordPath(root, record.name);
  return WriteText(path, record.ToJson()).With(path);
}

Result<RunRecord> LoadRecord(const std::string& root, const std::string& name) {
  TRY(runtime::CheckId(name));
  const std::string path = RecordPath(root, name) + "/" + kFile;
  const auto load = [&]() -> Result<RunRecord> {
    const auto text =
        TRY(kernel::ReadFile({AT_FDCWD, path.c_str()}, kRecordBytesMax));
    const auto json = TRY(ParseJson(text, kRecordBytesMax));
    const JsonReader reader(&json, "");
    RunRecord record;
    TRY(reader.Require("name", record.name));
    TRY(reader.Read("layers", record.layers));
    TRY(reader.Read("parts", record.parts));
    TRY(reader.Read("store", record.store));
    TRY(reader.Read("command", record.command));
    TRY(reader.Read("labels", record.labels));
    TRY(reader.Read("created", record.created));
    TRY(reader.Read("started", record.started));
    TRY(reader.Read("finished", record.finished));
    TRY(reader.Read("upper", record.upper));
    TRY(reader.Read("places", record.places));
    TRY(reader.Read("volumes", record.volumes));
    TRY(reader.Read("anonymous_volumes", record.anonymous_volumes));
    TRY(reader.Read("network", record.network));
    TRY(reader.Read("ports", record.ports));
    TRY(reader.Read("error", record.error));
    TRY(reader.Read("remove", record.remove));
    TRY(reader.Read("terminal", record.terminal));
    TRY(reader.Read("stop_signal", record.stop_signal));
    TRY(reader.Read("stop_timeout", record.stop_timeout));
    std::string restart = "no";
    TRY(reader.Read("restart", restart));
    record.restart = TRY(RestartPolicy::Parse(restart));
    TRY(record.health_check.Read(TRY(reader.Get("health_check"))));
    if (const JsonReader health = TRY(reader.Get("health")); health.present())
      record.health = TRY(Health::FromJson(health));
    TRY(reader.Read("restarts", record.restarts));
    TRY(reader.Read("restarting", record.restarting));
    TRY(reader.Read("ended", record.ended));
    TRY(reader.Read("exit_code", record.exit_code));
    TRY(reader.Read("out_of_memory", record.out_of_memory));
    TRY(reader.Require("supervisor", record.supervisor));
    TRY(reader.Require("supervisor_start", record.supervisor_start));
    TRY(ReadMaps(TRY(reader.Get("uids")), record.uids));
    TRY(ReadMaps(TRY(reader.Get("gids")), record.gids));
    // Its directory was renamed, and who did that may have been killed then.
    const std::string old_path = RecordPath(root, record.name) + "/";
    if (record.name != name && record.upper.starts_with(old_path))
      record.upper.replace(0, old_path.size(), RecordPath(root, name) + "/");
    record.name = name;
    return record;
  };
  auto record = load();
  if (record.code() == ENOENT)
    return Error(ENOENT, "no container " + name + "; see 'ufs ps --all'");
  return std::move(record).With(path);
}

Result<std::vector<RunRecord>> ListRecords(const std::string& root) {
  std::vector<RunRecord> records;
  const auto dir = sys::Open(root.c_str(), O_RDONLY | O_DIRECTORY);
  if (dir.code() == ENOENT) return records;
  if (!dir.ok()) return Error(dir.code(), root);
  TRY(sys::ForEachEntry(*dir, [&](const char* name, uint8_t, uint64_t) {
    if (!runtime::CheckId(name).ok()) return true;
    auto record = LoadRecord(root, name);
    if (record.ok()) records.push_back(std::move(record).value());
    return true;
  }));
  std::sort(
      records.begin(), records.end(),
      [](const RunRecord& a, const RunRecord& b) { return a.name < b.name; });
  return records;
}

Status RenameRecord(const std::string& root, const std::string& name,
                    const std::string& new_name) {
  TRY(CheckName(new_name));
  const UniqueFd lock = TRY(LockRecord(root, name));
  if (!TRY(LoadRecord(root, name)).ended)
    return Error(EBUSY, name +
                            " is running, and keeps its name as long; stop it "
                            "first, or use 'ufs run --name'");
  const std::string path = RecordPath(root, name);
  const std::string new_path = RecordPath(root, new_name);
  const auto renamed = sys::RenameAt2(
      {AT_FDCWD, path.c_str()}, {AT_FDCWD, new_path.c_str()}, RENAME_NOREPLACE);
  if (renamed.code() == EEXIST)
    return Error(EEXIST, "there is a container " + new_name +
                             " already; choose another name, or remove it: "
                             "ufs rm " +
                             new_name);
  TRY(Status(renamed).With(path));
  return SaveRecord(root, TRY(LoadRecord(root, new_name)));
}

Status RemoveRecord(const std::string& root, const RunRecord& record) {
  // First out of sight: the name is free at once, and whoever finds the rest
  // removes it.
  const std::string path = RecordPath(root, record.name);
  const std::string draft = root + "/" + ScratchName(record.name);
  TRY(sys::RenameAt2({AT_FDCWD, path.c_str()}, {AT_FDCWD, draft.c_str()})
          .With(path));
  return InUserNamespace(record.uids, record.gids,
                         [&] { return RemoveTree(draft); });
}

Result<UniqueFd> LockRecord(const std::string& root, const std::string& name) {
  const std::string path = RecordPath(root, name);
  UniqueFd dir =
      TRY(sys::Open(path.c_str(), O_RDONLY | O_DIRECTORY).With(path));
  TRY(sys::FLock(dir, LOCK_EX).With("locking " + path));
  // Removed while we waited.
  if (TRY(sys::Statx({dir})).stx_nlink == 0 ||
      !sys::Open(path.c_str(), O_PATH | O_DIRECTORY).ok())
    return Error(ENOENT, "no container " + name);
  return dir;
}

}  // namespace ufs
