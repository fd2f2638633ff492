#include "layerdb/object_store.h"

#include <cerrno>

#include "layerdb/base/syscall.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

bool IsHexFolder(std::string_view name) {
  uint8_t byte;
  return FromHex(name, &byte, 1);
}

}  // namespace

Result<HashedFile> HashFile(BorrowedFd file) {
  Hasher128 hasher;
  uint64_t size = 0;
  TRY(ForEachExtent(
      file,
      [&](std::string_view data) {
        hasher.Update(data.data(), data.size());
        size += data.size();
        return Ok();
      },
      [&](uint64_t bytes) {
        hasher.UpdateZeros(bytes);
        size += bytes;
        return Ok();
      }));
  return HashedFile{hasher.Finish(), size};
}

Error DamagedObject(const ObjectId& id) {
  return Error(EUCLEAN, "object " + id.FileName() +
                            " is damaged: its contents have another hash");
}

Result<std::shared_ptr<const ObjectStore>> ObjectStore::Open(
    BorrowedFd store_dir, HashFilter filter) {
  UniqueFd dir = TRY(sys::OpenAt({store_dir, "objects"}, O_RDONLY | O_DIRECTORY)
                         .With("objects/"));
  return std::shared_ptr<const ObjectStore>(
      new ObjectStore(std::move(dir), filter));
}

Result<UniqueFd> ObjectStore::OpenObject(const ObjectId& id) const {
  return sys::OpenAt({dir_, id.Path().c_str()}, O_RDONLY)
      .With("object " + id.FileName());
}

Result<ObjectStore::Stat> ObjectStore::StatObject(const ObjectId& id) const {
  const struct statx found = TRY(
      sys::Statx({dir_, id.Path().c_str()}).With("object " + id.FileName()));
  if (!S_ISREG(found.stx_mode))
    return Error(EIO, "object " + id.FileName() + " is no regular file");
  return Stat{found.stx_size, found.stx_blocks * 512};
}

Result<UniqueFd> ObjectStore::OpenVerified(const ObjectId& id) const {
  UniqueFd file = TRY(OpenObject(id));
  const HashedFile hashed = TRY(HashFile(file).With("object " + id.FileName()));
  if (NameHash(hashed.hash) != id.hash()) return DamagedObject(id);
  return file;
}

Status ObjectStore::Verify(const ObjectId& id) const {
  TRY(OpenVerified(id));
  return Ok();
}

Status ObjectStore::ForEach(
    const std::function<Status(const Found&)>& visit) const {
  for (const std::string& folder : TRY(ListNames({dir_}))) {
    const auto files = ListNames({dir_, folder.c_str()});
    if (files.code() == ENOTDIR || !IsHexFolder(folder)) {
      TRY(visit({folder, std::nullopt}));
      continue;
    }
    for (const std::string& file : TRY(files)) {
      std::optional<ObjectId> id;
      if (file.starts_with(folder)) id = ObjectId::FromFileName(file);
      TRY(visit({folder + "/" + file, id}));
    }
  }
  return Ok();
}

}  // namespace ufs
