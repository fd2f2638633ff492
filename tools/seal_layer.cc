#include "tools/seal_layer.h"

#include <fcntl.h>

#include <cstdio>
#include <filesystem>

#include "layerdb/base/mount_info.h"
#include "layerdb/base/syscall.h"
#include "layerdb/tree_tar.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/print_json.h"

namespace ufs {

Result<Digest> PrepareIngest(LayerStore& store, Ingest& ingest,
                             Progress& progress) {
  // The digest is that of contents too, which can be read once published; a
  // crash from here on leaves them to gc.
  TRY(ingest.objects().Publish());
  UniqueFd fd = TRY(sys::OpenAt({ingest.folder(), "unsealed.tree"},
                                O_RDWR | O_CREAT | O_EXCL, 0600));
  TRY(ingest.tree().Write(fd));
  const auto tree =
      TRY(TreeFile::Open(std::move(fd), TreeFile::Verify::kHeader));
  return TreeTarDigest(*tree, [&](const ObjectId& id) {
    auto object = store.objects()->OpenObject(id);
    if (object.ok())
      if (const auto stat = sys::Statx({*object}); stat.ok())
        progress.Add(stat->stx_size);
    return object;
  });
}

Result<LayerInfo> FinishIngest(LayerStore& store, Ingest& ingest,
                               const Digest& digest, const std::string& name) {
  LayerInfo info = TRY(ingest.Seal(digest));
  if (!name.empty()) TRY(store.SetName(name, digest));
  return info;
}

Result<LayerInfo> SealIngest(LayerStore& store, Ingest& ingest,
                             const std::string& name, Progress& progress) {
  const Digest digest = TRY(PrepareIngest(store, ingest, progress));
  return FinishIngest(store, ingest, digest, name);
}

void WarnOfSockets(std::string_view who, const std::set<std::string>& sockets) {
  for (const std::string& path : sockets)
    Complain(
        who,
        EscapePath(path) + ": left out, a socket cannot be kept in a layer",
        kExitOk);
}

void WarnOfMounts(std::string_view who, const std::string& directory) {
  std::error_code unknown;
  const std::string root = std::filesystem::canonical(directory, unknown);
  if (unknown) return;
  const std::string inside = root == "/" ? root : root + "/";
  std::set<std::string> mountpoints;
  for (const MountInfo& mount : ReadMountInfo())
    if (mount.mountpoint.starts_with(inside) && mount.mountpoint != root)
      mountpoints.insert(mount.mountpoint);
  for (const std::string& mountpoint : mountpoints)
    Complain(who,
             EscapePath(mountpoint) +
                 ": what is mounted there is left out; import it as a layer of "
                 "its own, or a tar of all",
             kExitOk);
}

void PrintSealed(const LayerInfo& layer, const std::string& name,
                 bool as_json) {
  const std::string digest = layer.diff_id.ToString();
  if (as_json) {
    Json object = {{"digest", digest},
                   {"entries", layer.entries},
                   {"content_bytes", layer.content_bytes},
                   {"objects", layer.objects}};
    if (!name.empty()) object["name"] = name;
    PrintJson(object);
  } else {
    std::puts(digest.c_str());
  }
}

}  // namespace ufs
