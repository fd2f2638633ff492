#include "tools/run/container_union.h"

#include <fcntl.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "layerdb/base/syscall.h"
#include "tools/run/user_namespace.h"
#include "tools/state_dir.h"

namespace ufs {

Result<std::optional<FoundContainer>> ContainerNamed(const std::string& word) {
  if (word.empty() || word.find('/') != word.npos)
    return std::optional<FoundContainer>();
  const bool is_directory = sys::Open(word.c_str(), O_PATH | O_DIRECTORY).ok();
  auto found = FindContainer(word);
  // Who may not look has none there.
  const bool none = found.code() == ENOENT || found.code() == EACCES ||
                    !runtime::CheckId(word).ok();
  if (none && is_directory) return std::optional<FoundContainer>();
  if (none)
    return Error(ENOENT, word +
                             ": is neither a directory here nor a container "
                             "(see 'ufs ps --all')");
  if (!found.ok()) return found.error();
  if (is_directory)
    return Error(EEXIST, word +
                             ": is both a container and a directory here; say "
                             "'./" +
                             word + "', or be elsewhere");
  return std::optional(*std::move(found));
}

Status InContainer(const FoundContainer& container, const UnmountedUpper& given,
                   const std::function<Status(const UnmountedUpper&)>& body) {
  const RunRecord& record = container.record;
  if (!given.layers.empty() || !given.work.empty())
    return Error(EINVAL, record.name +
                             ": a container knows its layers and its work "
                             "directory; name neither");
  UnmountedUpper where = given;
  // The other place has another directory, and another idea of who we are.
  where.store = record.store;
  if (where.store.empty())
    where.store = std::filesystem::absolute(TRY(StorePath(given.store)));
  if (HasSupervisor(record) && !record.ended) {
    where.path = container.directory() + "/root";
    return InNamespacesOf(
        record.supervisor, !record.uids.empty(),
        [&] { return HasSupervisor(record); }, [&] { return body(where); });
  }
  where.path = record.upper;
  // Not the names, which may mean something else by now.
  where.layers = record.parts.empty() ? record.layers : record.parts;
  if (record.upper == container.directory() + "/upper")
    where.work = container.directory() + "/work";
  return InUserNamespace(record.uids, record.gids, [&] { return body(where); });
}

}  // namespace ufs
