#include <time.h>

#include <algorithm>
#include <cerrno>

#include "layerdb/base/fault.h"
#include "layerdb/base/log.h"
#include "layerdb/base/remove_tree.h"
#include "layerdb/layer_store.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

FaultPoint kBegin("ingest.begin");
FaultPoint kBlob("seal.blob");
FaultPoint kTexts("seal.texts");
FaultPoint kIndex("seal.index");
FaultPoint kIndexVisible("seal.index_visible");
FaultPoint kCatalog("seal.catalog");

constexpr char kIndexDraft[] = "index";
constexpr size_t kPieceBytes = 64 << 10;

Result<bool> HaveSameBytes(BorrowedFd a, BorrowedFd b) {
  const auto ours = std::make_unique_for_overwrite<char[]>(kPieceBytes);
  const auto theirs = std::make_unique_for_overwrite<char[]>(kPieceBytes);
  for (uint64_t at = 0;; at += kPieceBytes) {
    const std::string_view mine(
        ours.get(), TRY(sys::Pread(a, ours.get(), kPieceBytes, at)));
    const std::string_view other(
        theirs.get(), TRY(sys::Pread(b, theirs.get(), kPieceBytes, at)));
    if (mine != other) return false;
    if (mine.size() < kPieceBytes) return true;
  }
}

}  // namespace

Status LayerStore::ForEachAbandoned(
    const std::function<Status(sys::At)>& visit) const {
  for (const std::string& name : TRY(ListNames({ingest_dir_}))) {
    const sys::At at{ingest_dir_, name.c_str()};
    const auto lock = TryLockExclusive(at);
    if (lock.code() == EBUSY || lock.code() == ENOENT) continue;
    if (!lock.ok()) return lock.error();
    TRY(visit(at));
  }
  return Ok();
}

// Another import may be about to lock its folder: then it is left to the next,
// or to gc, as is what cannot be removed.
void LayerStore::SweepAbandoned() const {
  const auto sweep_lock = TryLockExclusive({dir_, "ingest"});
  if (!sweep_lock.ok()) return;
  (void)ForEachAbandoned([](sys::At at) {
    (void)RemoveTree(at);
    return Ok();
  });
}

Result<std::unique_ptr<Ingest>> LayerStore::BeginIngest(std::string source) {
  SweepAbandoned();
  std::unique_ptr<Ingest> ingest(new Ingest);
  ingest->store_ = shared_from_this();
  ingest->source_ = ShortSource(std::move(source));
  // Waits for a gc that sweeps objects.
  ingest->sweep_lock_ = TRY(LockShared({dir_, "ingest"}).With(path_));
  TRY(kBegin.Visit());
  ingest->name_ = TemporaryNameFor("").substr(1);
  TRY(sys::MkDirAt({ingest_dir_, ingest->name_.c_str()}, 0700)
          .With(path_ + "/ingest"));
  ingest->folder_ = TRY(TryLockExclusive({ingest_dir_, ingest->name_.c_str()}));
  ingest->objects_ = std::make_unique<ObjectStage>(
      objects_, TRY(MakeDir({ingest->folder_, "objects"}, 0700)));
  return ingest;
}

Result<UniqueFd> LayerStore::MakeScratchFile() const {
  const std::string name = TemporaryNameFor("scratch").substr(1);
  const sys::At at{ingest_dir_, name.c_str()};
  UniqueFd file = TRY(
      sys::OpenAt(at, O_RDWR | O_CREAT | O_EXCL, 0600).With(path_ + "/ingest"));
  // gc may have been there before us.
  const auto gone = sys::UnlinkAt(at);
  if (!gone.ok() && gone.code() != ENOENT) return Error(gone.error());
  return file;
}

Ingest::~Ingest() {
  if (!folder_.valid()) return;
  objects_.reset();
  const auto removed = RemoveTree({store_->ingest_dir_, name_.c_str()});
  if (!removed.ok())
    log::Warn(store_->path() + "/ingest/" + name_ +
              ": cannot be removed, 'ufs store gc' will: " +
              removed.error().ToString());
}

void Ingest::SetBlob(std::string file_name, BlobInfo blob) {
  blob_file_ = std::move(file_name);
  blob_ = std::move(blob);
}

void Ingest::SetRecipe(std::string file_name) {
  recipe_file_ = std::move(file_name);
}

Status Ingest::PublishFile(const std::string& file, BorrowedFd to_dir,
                           const std::string& name) {
  const UniqueFd opened =
      TRY(sys::OpenAt({folder_, file.c_str()}, O_RDONLY).With(file));
  TRY(sys::FSync(opened).With(file));
  TRY(sys::RenameAt2({folder_, file.c_str()}, {to_dir, name.c_str()}));
  return sys::FSync(to_dir);
}

Status Ingest::PublishBlob() {
  if (!blob_) return Ok();
  TRY(kBlob.Visit());
  return PublishFile(blob_file_, store_->blobs_dir_, blob_->digest.Hex());
}

Status Ingest::PublishTexts(const LayerInfo& info) {
  TRY(kTexts.Visit());
  if (!recipe_file_.empty())
    TRY(PublishFile(recipe_file_, store_->layers_dir_,
                    RecipeFileName(info.diff_id)));
  return ReplaceFile(store_->layers_dir_, InfoFileName(info.diff_id),
                     info.Encode());
}

// Whether the recipe that is there is missing or not what this import made of
// the same tar, and this import's fits the layer that is there.
Result<bool> Ingest::NeedsRecipe(const Digest& diff_id, const TreeFile& there,
                                 const std::vector<ObjectId>& objects) const {
  if (recipe_file_.empty() || TRY(ObjectsOf(there)) != objects) return false;
  const auto known = store_->OpenRecipe(diff_id);
  if (!known.ok()) return true;
  const UniqueFd ours =
      TRY(sys::OpenAt({folder_, recipe_file_.c_str()}, O_RDONLY));
  const auto same = HaveSameBytes(*known, ours);
  return !same.ok() || !*same;  // one that cannot be read makes no tar either
}

Status Ingest::WriteIndex(const Digest& diff_id) {
  const UniqueFd file = TRY(sys::OpenAt(
      {folder_, kIndexDraft}, O_RDWR | O_CREAT | O_EXCL, kStoreFileMode));
  TRY(tree_->Write(file, diff_id.bytes));
  return sys::FSync(file);
}

// The publication: before the rename nobody sees the layer, after it everybody.
Status Ingest::PublishIndex(const Digest& diff_id, bool replace) {
  TRY(kIndex.Visit());
  TRY(sys::RenameAt2({folder_, kIndexDraft},
                     {store_->layers_dir_, IndexFileName(diff_id).c_str()},
                     replace ? 0 : RENAME_NOREPLACE));
  TRY(kIndexVisible.Visit());
  return sys::FSync(store_->layers_dir_);
}

Result<LayerInfo> Ingest::Seal(const Digest& diff_id) {
  const std::string what = "layer " + diff_id.ToString();
  TRY(objects_->Publish().With(what));
  // The same tar compressed in another way is kept once, but for an image,
  // whose manifest names its own.
  const auto known_blob = [&]() -> bool {
    const auto known = store_->ReadInfo(diff_id);
    if (of_image_ || !blob_ || !known.ok() || !known->blob ||
        known->blob->digest == blob_->digest)
      return false;
    const auto stat =
        sys::Statx({store_->blobs_dir_, known->blob->digest.Hex().c_str()});
    return stat.ok() && stat->stx_size == known->blob->size_bytes;
  }();
  if (!known_blob) TRY(PublishBlob().With(what));
  TRY(WriteIndex(diff_id).With(what));
  const std::vector<ObjectId> objects = TRY(ObjectsOf(
      *TRY(TreeFile::Open(TRY(sys::OpenAt({folder_, kIndexDraft}, O_RDONLY)),
                          TreeFile::Verify::kHeader))));

  const HeldLock lock =
      TRY(LockExclusive({store_->dir_, "lock"}).With(store_->path()));
  const auto catalog = TRY(store_->OpenCatalogForWriting());

  const TreeStats stats = tree_->Stats();
  LayerInfo info;
  info.diff_id = diff_id;
  info.created = created_.value_or(time(nullptr));
  info.source = source_;
  info.entries = stats.entries;
  info.whiteouts = stats.whiteouts;
  info.content_bytes = stats.content_bytes;
  info.objects = objects.size();
  info.blob = blob_;
  info.has_recipe = !recipe_file_.empty();
  info.of_image = of_image_;

  // There already, and sound: only what it lacks is added.
  const auto there = store_->OpenLayer(diff_id, TreeFile::Verify::kAll);
  if (there.ok()) {
    const auto told = store_->ReadInfo(diff_id);
    LayerInfo known = TRY(store_->InfoFromFiles(diff_id, catalog.get()));
    const std::string before = told.ok() ? told->Encode() : "";
    if (!TRY(NeedsRecipe(diff_id, **there, objects).With(what)))
      recipe_file_.clear();
    if (!known.blob) known.blob = blob_;
    known.of_image = known.of_image && of_image_;
    known.has_recipe = known.has_recipe || !recipe_file_.empty();
    if (known.Encode() != before || !recipe_file_.empty()) {
      TRY(PublishTexts(known).With(what));
      // With a lost description it may not have been listed at all.
      TRY(catalog->PutLayer(known, TRY(ObjectsOf(**there))).With(what));
    }
    return known;
  }
  if (there.code() != ENOENT && there.code() != EUCLEAN)
    return Error(there.error());
  if (known_blob) TRY(PublishBlob().With(what));

  // Mended: it stays whose it was.
  if (there.code() == EUCLEAN)
    if (const auto known = store_->InfoFrom(catalog.get(), diff_id); known.ok())
      info.of_image = of_image_ && known->of_image;
  // Once its files are visible it is there, whatever becomes of the catalog's
  // rows: an import that ends for want of memory must do so before.
  TRY(Catalog::CheckRoomFor(objects.size()).With(what));
  TRY(PublishTexts(info).With(what));
  TRY(PublishIndex(diff_id, there.code() == EUCLEAN).With(what));
  TRY(kCatalog.Visit());
  TRY(catalog->PutLayer(info, objects).With(what));
  return info;
}

}  // namespace ufs
