#include "layerdb/layer_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "layerdb/base/fault.h"
#include "layerdb/base/log.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

FaultPoint kRemoveIndex("remove.index");
FaultPoint kRemoveCatalog("remove.catalog");
FaultPoint kRemoveTexts("remove.texts");

constexpr std::string_view kVersion = "ufs-store 1\n";
constexpr size_t kVersionBytes = 100;

// Who may look into the store may read /etc/shadow of every image in it.
constexpr mode_t kStoreMode = 0700;

Status MakePath(const std::string& path) {
  for (size_t at = path.find('/', 1); at != path.npos;
       at = path.find('/', at + 1)) {
    const auto made =
        sys::MkDirAt({AT_FDCWD, path.substr(0, at).c_str()}, 0755);
    if (!made.ok() && made.code() != EEXIST && made.code() != EROFS)
      return made.error();
  }
  const auto made = sys::MkDirAt({AT_FDCWD, path.c_str()}, kStoreMode);
  if (!made.ok() && made.code() != EEXIST) return made.error();
  return Ok();
}

// Said before anything is tried, which a database would tell in its own words.
Status CheckWritable(BorrowedFd dir, const std::string& path) {
  if (faccessat(dir.get(), ".", W_OK, AT_EACCESS) == 0) return Ok();
  if (errno == EROFS)
    return Error(EROFS, path +
                            ": the store is read-only here; mount it writable, "
                            "or name another with --store");
  if (errno == EACCES)
    return Error(EACCES, path +
                             ": the store is not this user's to write; do this "
                             "as its owner, or name another with --store");
  return Ok();
}

}  // namespace

std::string IndexFileName(const Digest& digest) {
  return digest.Hex() + ".tree";
}
std::string InfoFileName(const Digest& digest) {
  return digest.Hex() + ".info";
}
std::string RecipeFileName(const Digest& digest) {
  return digest.Hex() + ".recipe";
}
std::string RunFileName(const Digest& digest) { return digest.Hex() + ".run"; }
std::string CheckedFileName(const Digest& digest) {
  return digest.Hex() + ".checked";
}

bool IsDigestPrefix(std::string_view text) {
  return text.size() >= kLeastPrefix && text.size() <= 64 &&
         text.find_first_not_of("0123456789abcdef") == text.npos;
}

std::optional<Digest> DigestOfFile(std::string_view name,
                                   std::string_view suffix) {
  if (!name.ends_with(suffix) || name.starts_with("sha256:"))
    return std::nullopt;
  name.remove_suffix(suffix.size());
  const auto digest = Digest::Parse(name);
  return digest.ok() ? std::optional(*digest) : std::nullopt;
}

Result<std::shared_ptr<LayerStore>> LayerStore::Open(
    const std::string& path, Access access, ObjectStore::HashFilter filter) {
  std::shared_ptr<LayerStore> store(new LayerStore(path));
  if (access == Access::kWrite) TRY(MakePath(path).With(path));
  auto dir = sys::Open(path.c_str(), O_RDONLY | O_DIRECTORY);
  if (dir.code() == ENOENT)
    return Error(ENOENT, path +
                             ": no store of layers; 'ufs layer import' makes "
                             "one");
  store->dir_ = TRY(std::move(dir).With(path));
  if (access != Access::kRead) TRY(CheckWritable(store->dir_, path));
  auto version = ReadSmallFile({store->dir_, "version"}, kVersionBytes);
  // With layers it was one, and what is lost can be made again.
  const bool may_make =
      access == Access::kWrite ||
      (access == Access::kChange && sys::Statx({store->dir_, "layers"}).ok());
  if (version.code() == ENOENT && may_make) {
    // A directory of somebody else's is not filled with ours; what mounts and
    // containers keep there is no obstacle.
    const auto there = TRY(ListNames({store->dir_}).With(path));
    static const std::set<std::string> kOurs = {
        "objects", "layers", "views",  "blobs",   "names",      "images",
        "ingest",  "lock",   "uppers", "catalog", "containers", "volumes"};
    for (const std::string& name : there)
      if (!kOurs.contains(name) && !IsTemporaryName(name))
        return Error(ENOTEMPTY, path + ": neither empty nor a store of layers");
    TRY(store->CreateFolders().With(path));
  } else if (version.code() == ENOENT) {
    return Error(ENOENT, path + ": no store of layers (it has no 'version')");
  } else if (TRY(std::move(version).With(path + "/version")) != kVersion) {
    return Error(EPROTO, path +
                             ": not a store of the version this ufs knows "
                             "(see its file 'version')");
  } else if (access != Access::kRead) {
    TRY(store->CreateFolders().With(path));
  }
  TRY(store->OpenFolders().With(path));
  store->objects_ = TRY(ObjectStore::Open(store->dir_, filter).With(path));
  return store;
}

Status LayerStore::CreateFolders() {
  for (const char* name : {"objects", "layers", "views", "blobs",
                           "blobs/sha256", "names", "images", "ingest"}) {
    const auto made = sys::MkDirAt({dir_, name}, kStoreMode);
    if (!made.ok() && made.code() != EEXIST)
      return Error(made.error()).With(name);
  }
  TRY(sys::OpenAt({dir_, "lock"}, O_RDONLY | O_CREAT, 0644).With("lock"));
  // Last: with it, it is a store.
  if (sys::Statx({dir_, "version"}).code() == ENOENT)
    TRY(ReplaceFile(dir_, "version", kVersion).With("version"));
  return Ok();
}

Status LayerStore::OpenFolders() {
  const auto open = [&](const char* name) {
    return sys::OpenAt({dir_, name}, O_RDONLY | O_DIRECTORY)
        .With(std::string(name) +
              " ('ufs store repair' makes what is missing)");
  };
  layers_dir_ = TRY(open("layers"));
  views_dir_ = TRY(open("views"));
  blobs_dir_ = TRY(sys::OpenAt2(dir_, "blobs/sha256", O_RDONLY | O_DIRECTORY,
                                RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
                       .With("blobs/sha256"));
  names_dir_ = TRY(open("names"));
  auto images = open("images");
  if (images.ok() || images.code() != ENOENT)
    images_dir_ = TRY(std::move(images));
  ingest_dir_ = TRY(open("ingest"));
  return Ok();
}

Result<std::vector<Digest>> LayerStore::LayerFiles() const {
  std::vector<Digest> digests;
  for (const std::string& name : TRY(ListNames({layers_dir_})))
    if (const auto digest = DigestOfFile(name, ".tree"))
      digests.push_back(*digest);
  return digests;
}

bool LayerStore::Has(const Digest& diff_id) const {
  return sys::Statx({layers_dir_, IndexFileName(diff_id).c_str()}).ok();
}

Result<LayerInfo> LayerStore::ReadInfo(const Digest& diff_id) const {
  const std::string name = InfoFileName(diff_id);
  const std::string text =
      TRY(ReadSmallFile({layers_dir_, name.c_str()}, kMaxInfoBytes).With(name));
  auto info = LayerInfo::Parse(text);
  if (!info.ok()) return Error(EUCLEAN, name + ": " + info.error().ToString());
  if (info->diff_id != diff_id)
    return Error(EUCLEAN, name + ": the description of another layer");
  return info;
}

Result<LayerInfo> LayerStore::InfoFrom(const Catalog* catalog,
                                       const Digest& diff_id) const {
  auto info = ReadInfo(diff_id);
  if (info.ok() || catalog == nullptr) return info;
  auto known = catalog->Layer(diff_id);
  return known.ok() ? known : info;
}

Result<LayerInfo> LayerStore::InfoFromFiles(const Digest& diff_id,
                                            const Catalog* catalog) const {
  if (auto told = InfoFrom(catalog, diff_id); told.ok()) return told;
  // Its text is lost: the tree still tells what matters.
  const auto tree = TRY(OpenLayer(diff_id));
  LayerInfo info;
  info.diff_id = diff_id;
  TRY(CountTree(*tree, info).With("layer " + diff_id.ToString()));
  info.created = TRY(sys::Statx({tree->fd()})).stx_mtime.tv_sec;
  info.has_recipe =
      sys::Statx({layers_dir_, RecipeFileName(diff_id).c_str()}).ok();
  return info;
}

Result<std::vector<LayerInfo>> LayerStore::List() const {
  std::map<Digest, LayerInfo> known;
  {
    const HeldLock lock = TRY(LockShared({dir_, "lock"}).With(path_));
    auto catalog = Catalog::Open(catalog_path(), Catalog::Mode::kRead);
    auto layers = catalog.ok()
                      ? (*catalog)->Layers()
                      : Result<std::vector<LayerInfo>>(Error(catalog.error()));
    if (layers.ok()) {
      for (LayerInfo& info : *layers) known.emplace(info.diff_id, info);
    } else if (layers.code() == EUCLEAN) {
      log::Warn(path_ + ": " + layers.error().ToString() +
                "; 'ufs store repair' makes a new one");
    }
  }
  std::map<Digest, std::vector<std::string>> names_of;
  for (const auto& [name, digest] : TRY(names().All()))
    names_of[digest].push_back(name);

  // The files are what there is; the catalog only saves reading them.
  std::vector<LayerInfo> list;
  for (const Digest& digest : TRY(LayerFiles())) {
    const auto found = known.find(digest);
    auto info = found != known.end() ? Result<LayerInfo>(found->second)
                                     : InfoFromFiles(digest);
    if (info.code() == ENOENT) continue;  // removed meanwhile
    if (!info.ok()) {
      info = LayerInfo{};
      info->diff_id = digest;
      info->source = "(damaged; see 'ufs store check')";
    }
    info->names = names_of[digest];
    list.push_back(std::move(*info));
  }
  std::sort(
      list.begin(), list.end(), [](const LayerInfo& a, const LayerInfo& b) {
        return std::tie(a.created, a.diff_id) < std::tie(b.created, b.diff_id);
      });
  return list;
}

Result<LayerInfo> LayerStore::Info(const Digest& diff_id) const {
  if (!Has(diff_id))
    return Error(ENOENT, "layer " + diff_id.ToString() + " is not in " + path_);
  LayerInfo info = TRY(InfoFromFiles(diff_id));
  info.names = TRY(NamesOf(diff_id));
  return info;
}

Result<std::vector<std::string>> LayerStore::NamesOf(
    const Digest& digest) const {
  std::vector<std::string> own;
  for (const auto& [name, named] : TRY(names().All()))
    if (named == digest) own.push_back(name);
  return own;
}

Result<std::shared_ptr<const TreeFile>> LayerStore::OpenLayer(
    const Digest& diff_id, TreeFile::Verify verify) const {
  const std::string what = "layer " + diff_id.ToString();
  auto fd = OpenPinned({layers_dir_, IndexFileName(diff_id).c_str()});
  if (fd.code() == ENOENT) return Error(ENOENT, what + " is not in " + path_);
  auto tree =
      TRY(TreeFile::Open(TRY(std::move(fd).With(what)), verify).With(what));
  if (tree->identity() != diff_id.bytes)
    return Error(EUCLEAN, what + ": its index is that of another layer");
  return tree;
}

Result<UniqueFd> LayerStore::OpenBlob(const Digest& digest) const {
  return sys::OpenAt({blobs_dir_, digest.Hex().c_str()}, O_RDONLY)
      .With("blob " + digest.ToString());
}

Result<UniqueFd> LayerStore::OpenRecipe(const Digest& diff_id) const {
  return sys::OpenAt({layers_dir_, RecipeFileName(diff_id).c_str()}, O_RDONLY)
      .With("recipe of layer " + diff_id.ToString());
}

Result<std::vector<ObjectId>> ObjectsOf(const TreeFile& tree) {
  std::vector<ObjectId> objects;
  objects.reserve(tree.object_count());
  TRY(tree.ForEachObject([&](const ObjectId& id) -> Status {
    objects.push_back(id);
    return Ok();
  }));
  return objects;
}

Result<std::vector<ObjectId>> LayerStore::ObjectsOf(
    const Digest& diff_id) const {
  const auto tree = TRY(OpenLayer(diff_id, TreeFile::Verify::kAll));
  return ufs::ObjectsOf(*tree).With("layer " + diff_id.ToString());
}

Status LayerStore::Reconcile(Catalog& catalog) {
  std::set<Digest> listed;
  for (const LayerInfo& info : TRY(catalog.Layers()))
    listed.insert(info.diff_id);
  for (const Digest& digest : TRY(LayerFiles())) {
    if (listed.erase(digest) > 0) continue;
    // Sealed, but the crash came before the catalog heard of it. What a tree
    // alone tells does not go in: who needs to know the blob would believe it.
    const auto info = ReadInfo(digest);
    const auto objects = ObjectsOf(digest);
    if (!info.ok() || !objects.ok()) continue;  // damaged: 'check' says so
    TRY(catalog.PutLayer(*info, *objects));
  }
  for (const Digest& gone : listed) TRY(catalog.RemoveLayer(gone));
  return Ok();
}

Result<std::unique_ptr<Catalog>> LayerStore::OpenCatalogForWriting() {
  auto catalog = Catalog::Open(catalog_path(), Catalog::Mode::kCreate);
  if (catalog.ok())
    if (const auto done = Reconcile(**catalog); !done.ok())
      catalog = Error(done.error());
  if (catalog.code() == EUCLEAN)
    return std::move(catalog).With(path_ +
                                   ": 'ufs store repair' makes a new catalog");
  if (IsFull(catalog.code()))
    return std::move(catalog).With(
        path_ + ": 'ufs layer rm' and 'ufs store gc' make room");
  return std::move(catalog).With(path_);
}

Result<std::unique_ptr<Catalog>> LayerStore::OpenCatalogForRemoval() {
  auto catalog = OpenCatalogForWriting();
  if (!IsFull(catalog.code())) return catalog;
  // The files are the truth.
  return std::unique_ptr<Catalog>();
}

// --- changing ----------------------------------------------------------------

Status LayerStore::SetName(std::string_view name, const Digest& digest) {
  const std::string normal = TRY(NormalizeLayerName(name));
  const HeldLock lock = TRY(LockExclusive({dir_, "lock"}).With(path_));
  if (!Has(digest) && !HasImage(digest))
    return Error(ENOENT, digest.ToString() + " is not in " + path_);
  return names().Set(normal, digest);
}

Status LayerStore::RemoveName(std::string_view name) {
  const std::string normal = TRY(NormalizeLayerName(name));
  const HeldLock lock = TRY(LockExclusive({dir_, "lock"}).With(path_));
  auto removed = names().Remove(normal);
  if (removed.code() == ENOENT)
    return Error(ENOENT, "nothing is named " + normal + "; see 'ufs layer ls'");
  return removed;
}

Result<LayerStore::Doomed> LayerStore::LockForRemoval(
    const Digest& diff_id) const {
  const Error busy(EBUSY, "layer " + diff_id.ToString() +
                              " is in use by a mount or another command");
  Doomed doomed;
  auto own = TryLockExclusive({layers_dir_, IndexFileName(diff_id).c_str()});
  if (own.code() == EBUSY) return Error(busy);
  doomed.locks.push_back(
      TRY(std::move(own).With("layer " + diff_id.ToString())));
  for (const std::string& name : TRY(ListNames({views_dir_}))) {
    const auto chain = DigestOfFile(name, ".run");
    if (!chain) continue;
    const auto run = ReadSmallFile({views_dir_, name.c_str()}, kMaxRunBytes);
    if (!run.ok() || run->find(diff_id.ToString()) == run->npos) continue;
    auto view = TryLockExclusive({views_dir_, IndexFileName(*chain).c_str()});
    if (view.code() == EBUSY) return Error(busy);
    if (view.code() == ENOENT) continue;
    doomed.locks.push_back(TRY(std::move(view)));
    doomed.views.push_back(*chain);
  }
  return doomed;
}

Status LayerStore::RemoveLocked(const Digest& diff_id, Catalog* catalog) {
  const std::string what = "layer " + diff_id.ToString();
  const Doomed doomed = TRY(LockForRemoval(diff_id));
  // First what is made of it: who waits for the lock of a view finds it gone.
  for (const Digest& view : doomed.views) {
    for (const std::string& name : {IndexFileName(view), RunFileName(view)})
      TRY(sys::UnlinkAt({views_dir_, name.c_str()}).With(name));
    ForgetChecked(view);
  }
  TRY(kRemoveIndex.Visit());
  // With its index it is gone; the rest is cleaning, which gc would do too.
  TRY(sys::UnlinkAt({layers_dir_, IndexFileName(diff_id).c_str()}).With(what));
  TRY(sys::FSync(layers_dir_));
  ForgetChecked(diff_id);
  TRY(kRemoveCatalog.Visit());
  if (catalog != nullptr) {
    auto removed = catalog->RemoveLayer(diff_id);
    if (!IsFull(removed.code())) TRY(std::move(removed).With(what));
  }
  TRY(kRemoveTexts.Visit());
  for (const std::string& name :
       {InfoFileName(diff_id), RecipeFileName(diff_id)}) {
    const auto removed = sys::UnlinkAt({layers_dir_, name.c_str()});
    if (!removed.ok() && removed.code() != ENOENT) return removed;
  }
  return Ok();
}

Status LayerStore::Remove(const Digest& diff_id, bool names_too) {
  const HeldLock lock = TRY(LockExclusive({dir_, "lock"}).With(path_));
  if (!Has(diff_id))
    return Error(ENOENT, "layer " + diff_id.ToString() + " is not in " + path_);
  const std::vector<std::string> own_names = TRY(NamesOf(diff_id));
  if (!own_names.empty() && !names_too)
    return Error(EBUSY, "layer " + diff_id.ToString() + " is named " +
                            own_names.front() +
                            (own_names.size() > 1 ? " and more" : ""));
  if (const auto users = TRY(ImagesWith(diff_id)); !users.empty())
    return Error(EBUSY, "layer " + diff_id.ToString() + " is part of image " +
                            users.front().ToString() +
                            "; 'ufs layer rm' that first");
  // Asked before its names go: a refusal changes nothing.
  TRY(LockForRemoval(diff_id));
  const auto catalog = TRY(OpenCatalogForRemoval());
  for (const std::string& name : own_names) TRY(names().Remove(name));
  return RemoveLocked(diff_id, catalog.get());
}

Result<uint64_t> LayerStore::ExclusiveBytes(const Digest& diff_id) const {
  const std::vector<ObjectId> ids = TRY(ObjectsOf(diff_id));
  const HeldLock lock = TRY(LockShared({dir_, "lock"}).With(path_));
  const auto catalog =
      TRY(Catalog::Open(catalog_path(), Catalog::Mode::kRead).With(path_));
  uint64_t bytes = 0;
  for (const ObjectId& id : ids)
    if (TRY(catalog->LayersOf(id)).size() <= 1)
      if (const auto stat = objects_->StatObject(id); stat.ok())
        bytes += stat->disk_bytes;
  const auto add = [&bytes](BorrowedFd dir, const std::string& name) {
    if (const auto stat = sys::Statx({dir, name.c_str()}); stat.ok())
      bytes += stat->stx_blocks * 512;
  };
  for (const std::string& name :
       {IndexFileName(diff_id), InfoFileName(diff_id), RecipeFileName(diff_id)})
    add(layers_dir_, name);
  const std::optional<BlobInfo> blob = TRY(InfoFromFiles(diff_id)).blob;
  if (!blob) return bytes;
  for (const LayerInfo& other : TRY(catalog->Layers()))
    if (other.diff_id != diff_id && other.blob &&
        other.blob->digest == blob->digest)
      return bytes;
  add(blobs_dir_, blob->digest.Hex());
  return bytes;
}

}  // namespace ufs
