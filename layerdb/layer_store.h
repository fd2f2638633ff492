// LayerStore: a directory of hashed layers. Start here.
//
// A layer is known by its diffID, the SHA-256 of its uncompressed tar; names
// are given to it as to a git commit. It is read through its TreeFile and the
// ObjectStore, with no lock and no database; whoever holds a TreeFile that came
// from here keeps the layer from being removed ("pinned"), also past kill -9.
// A run of layers is read through its view, one merged TreeFile, made when it
// is first asked for.
//
// README.md numbers what may be relied upon; FORMAT.md says how it lies on the
// disk; store_lock.h says who holds which lock.
//
// Threads: any, at once; processes too.
// Errors: ENOENT for what is not there, EBUSY for what is in use, EUCLEAN for
// what is damaged, EPROTO for what a later version wrote; all name the thing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "layerdb/catalog.h"
#include "layerdb/digest.h"
#include "layerdb/image.h"
#include "layerdb/layer_info.h"
#include "layerdb/layer_names.h"
#include "layerdb/object_stage.h"
#include "layerdb/object_store.h"
#include "layerdb/store_lock.h"
#include "layerdb/store_reports.h"
#include "layerdb/tree_builder.h"
#include "layerdb/tree_file.h"

namespace ufs {

class Ingest;

// What a word means in a store.
struct StoreReference {
  Digest digest;  // a layer's diffID, an image's manifest
  bool is_image = false;
};

class LayerStore : public std::enable_shared_from_this<LayerStore> {
 public:
  enum class Access {
    kRead,    // ENOENT when there is no store
    kChange,  // the same; takes up what a crash left half done
    kWrite,   // as kChange, but a store that is missing is made
  };
  static Result<std::shared_ptr<LayerStore>> Open(
      const std::string& path, Access access,
      ObjectStore::HashFilter filter = nullptr);

  const std::string& path() const { return path_; }

  // --- finding -------------------------------------------------------------
  // A name, a digest, or the first digits of one; of an image that of its
  // configuration too. ENOENT; ENOTUNIQ, listing them, when several begin with
  // those digits. A name wins.
  Result<StoreReference> Find(std::string_view reference) const;
  // The same where a layer is meant: EINVAL for an image.
  Result<Digest> Resolve(std::string_view reference) const;
  // What is mounted for a word, bottom to top: the layer, or all of an image's.
  // ENODATA for an image that has none.
  Result<std::vector<Digest>> ResolveRun(std::string_view reference) const;
  Result<std::vector<LayerInfo>> List() const;  // by age, then digest
  Result<LayerInfo> Info(const Digest& diff_id) const;
  bool Has(const Digest& diff_id) const;
  // Of a layer or an image.
  Result<std::vector<std::string>> NamesOf(const Digest& digest) const;

  // --- images --------------------------------------------------------------
  // An image is manifest and configuration; its layers are among the others.
  Result<Image> FindImage(std::string_view reference) const;  // EINVAL: a layer
  Result<Image> OpenImage(const Digest& digest) const;
  Result<std::vector<Image>> Images() const;  // by age, then digest
  bool HasImage(const Digest& digest) const;
  // Makes it visible, durably; `created` is filled in. REQUIRES: the Ingests of
  // its layers are sealed and still there, so that no gc takes what nobody uses
  // yet. ENOENT when a layer was removed nevertheless. Fault point: image.put.
  Status PutImage(Image& image);
  // Its layers are left to Gc. EBUSY as Remove. Fault point: image.remove.
  Status RemoveImage(const Digest& digest, bool names_too = false);

  // --- reading -------------------------------------------------------------
  Result<std::shared_ptr<const TreeFile>> OpenLayer(
      const Digest& diff_id,
      TreeFile::Verify verify = TreeFile::Verify::kHeader) const;
  // What a run of layers, the lowest first, shows; all of it verified, now or,
  // unless `check` says otherwise, since the machine started (checked_mark.h).
  // A view that is damaged is made again. REQUIRES: not empty.
  enum class IndexCheck { kOnceABoot, kNow };
  Result<std::shared_ptr<const TreeFile>> OpenView(
      std::span<const Digest> bottom_to_top,
      IndexCheck check = IndexCheck::kOnceABoot) const;
  // The view of a run ahead of its first mount. A layer alone is its own view.
  // EROFS and others that say why it cannot be kept. REQUIRES: not empty.
  struct ReadyView {
    Digest chain_id;
    bool built = false;  // else it was there
  };
  Result<ReadyView> MakeView(std::span<const Digest> bottom_to_top) const;
  const std::shared_ptr<const ObjectStore>& objects() const { return objects_; }
  Result<UniqueFd> OpenBlob(const Digest& digest) const;
  // ENOENT for a layer that is exported without one.
  Result<UniqueFd> OpenRecipe(const Digest& diff_id) const;

  // --- changing ------------------------------------------------------------
  // `source` says for people what it will be made from. Removes what killed
  // imports left, unless another is under way.
  Result<std::unique_ptr<Ingest>> BeginIngest(std::string source);
  // A file without a name on the store's file system, for what does not fit in
  // memory.
  Result<UniqueFd> MakeScratchFile() const;
  // `digest`: of a layer or an image.
  Status SetName(std::string_view name, const Digest& digest);
  Status RemoveName(std::string_view name);
  // The layer, and `names_too` or else EBUSY when it has names. EBUSY when it
  // is pinned, in a pinned view or part of an image. What it alone used is left
  // to Gc.
  Status Remove(const Digest& diff_id, bool names_too = false);

  // --- keeping -------------------------------------------------------------
  // Removes what no layer needs: objects, blobs, views, what was left half
  // done; layers that came with an image and that neither a name nor an image
  // needs. EUCLEAN, and nothing is removed, while an index or image is damaged.
  struct GcOptions {
    bool dry_run = false;
    bool unnamed_layers = false;  // and unnamed layers, images that nobody uses
    bool all_views = false;       // and every view that nobody uses
  };
  Result<GcReport> Gc(const GcOptions& options);
  // Every numbered invariant but those that take reading all contents.
  Result<CheckReport> Check() const;
  // Mends what can be made from something else: the catalog, texts, views,
  // names of nothing. Layers and objects are not touched.
  Result<RepairReport> Repair();
  // Reads all that a layer consists of and compares every hash. `on_read` is
  // told how many bytes of it were read since it was last told.
  Result<CheckReport> Verify(
      const Digest& diff_id,
      const std::function<void(uint64_t)>& on_read = nullptr) const;
  // An image's own part: its record, and the blobs that no layer's description
  // names. Its layers are to be verified on their own.
  Result<CheckReport> VerifyImage(const Digest& digest) const;
  // The views that one of these layers is in.
  Result<CheckReport> VerifyViews(std::span<const Digest> of_layers) const;
  Result<DiskUsage> Usage() const;
  // What removing the layer would free, Gc's part included: its files, and
  // contents and a blob that no other has. Views are not counted.
  Result<uint64_t> ExclusiveBytes(const Digest& diff_id) const;

 private:
  friend class Ingest;
  friend class StoreGc;
  friend class StoreChecker;
  friend class StoreRepair;
  friend class ViewBuilder;

  explicit LayerStore(std::string path) : path_(std::move(path)) {}
  // What imports that were killed had staged, each locked meanwhile.
  // REQUIRES: the lock of "ingest" alone.
  Status ForEachAbandoned(const std::function<Status(sys::At)>& visit) const;
  void SweepAbandoned() const;
  Status CreateFolders();
  Status OpenFolders();
  LayerNames names() const { return LayerNames(names_dir_); }
  std::string catalog_path() const { return path_ + "/catalog"; }

  // REQUIRES: the store's lock.
  Result<std::unique_ptr<Catalog>> OpenCatalogForWriting();
  // The same for who frees room: none where there is no room for its writes.
  Result<std::unique_ptr<Catalog>> OpenCatalogForRemoval();
  // Every layer that has an index, by its file's name.
  Result<std::vector<Digest>> LayerFiles() const;
  // A layer's description: ENOENT, EUCLEAN.
  Result<LayerInfo> ReadInfo(const Digest& diff_id) const;
  // The description, or else what the catalog, if there is one, has of it: it
  // knows the blob, as no tree does.
  Result<LayerInfo> InfoFrom(const Catalog* catalog,
                             const Digest& diff_id) const;
  // The same, or else what the tree tells.
  Result<LayerInfo> InfoFromFiles(const Digest& diff_id,
                                  const Catalog* catalog = nullptr) const;
  Result<std::vector<ObjectId>> ObjectsOf(const Digest& diff_id) const;
  // Brings the catalog in line with the layers there are.
  Status Reconcile(Catalog& catalog);
  // `tree` is the index of the layer, or the view, with this chainID.
  Status CheckHashes(const TreeFile& tree, const Digest& chain,
                     IndexCheck check) const;
  // Not if their files are certainly not there.
  bool MayHaveView(const Digest& chain) const;
  bool MayHaveIndex(const Digest& chain) const;  // of a layer, or a view
  // What stays is a leftover, and gc's.
  void ForgetChecked(const Digest& chain) const;
  // Everything that must not be in use when the layer goes, locked: itself and
  // the views it is in.
  struct Doomed {
    std::vector<HeldLock> locks;
    std::vector<Digest> views;
  };
  Result<Doomed> LockForRemoval(const Digest& diff_id) const;
  // Without a catalog: the next that opens it puts it right.
  Status RemoveLocked(const Digest& diff_id, Catalog* catalog);

  Result<std::vector<Digest>> ImageFiles() const;
  Result<Image> ImageFromFile(const Digest& digest) const;
  Result<std::vector<Digest>> ImagesWith(const Digest& diff_id) const;
  Result<bool> IsImageMounted(const Digest& digest) const;
  Status RemoveImageLocked(const Digest& digest);

  const std::string path_;
  UniqueFd dir_;
  UniqueFd layers_dir_;
  UniqueFd views_dir_;
  UniqueFd blobs_dir_;
  UniqueFd names_dir_;
  UniqueFd images_dir_;  // none in a store of an earlier ufs, read only
  UniqueFd ingest_dir_;
  std::shared_ptr<const ObjectStore> objects_;
};

// Ingest: a layer on its way into a store. Nothing of it shows before Seal, and
// nothing stays of one that is not sealed.
// Threads: objects() from any; the rest from one.
class Ingest {
 public:
  ~Ingest();
  Ingest(const Ingest&) = delete;
  Ingest& operator=(const Ingest&) = delete;

  ObjectStage& objects() { return *objects_; }
  TreeBuilder& tree() { return *tree_; }
  // Begins the tree anew. What is staged stays so.
  void RestartTree() { tree_ = std::make_unique<TreeBuilder>(); }
  // A folder for files that are to become the blob or recipe, and for scratch.
  BorrowedFd folder() const { return folder_; }

  // The layer's compressed tar: a file of folder(), which is moved.
  void SetBlob(std::string file_name, BlobInfo blob);
  // What makes the layer's tar of its tree, when the canonical writer does not:
  // a file of folder(), which is moved.
  void SetRecipe(std::string file_name);

  // Makes everything durable and the layer visible. A layer that is there
  // already stays as it is, except that what it lacks is added: its blob,
  // objects or a recipe that were damaged. Once.
  // Fault points: seal.blob, seal.texts, seal.index, seal.index_visible,
  // seal.catalog, and those of ObjectStage::Publish.
  Result<LayerInfo> Seal(const Digest& diff_id);

  // `created` of the layer; now, unless told.
  void SetCreated(int64_t seconds) { created_ = seconds; }
  // It is part of an image, and goes with it unless somebody wants it too.
  void SetOfImage() { of_image_ = true; }

 private:
  friend class LayerStore;
  Ingest() = default;
  Status PublishBlob();
  Status PublishFile(const std::string& file, BorrowedFd to_dir,
                     const std::string& name);
  Status PublishTexts(const LayerInfo& info);
  Result<bool> NeedsRecipe(const Digest& diff_id, const TreeFile& there,
                           const std::vector<ObjectId>& objects) const;
  Status WriteIndex(const Digest& diff_id);
  Status PublishIndex(const Digest& diff_id, bool replace);

  std::shared_ptr<LayerStore> store_;
  std::string name_;  // of the folder
  HeldLock sweep_lock_;
  HeldLock folder_;
  std::string source_;
  std::optional<int64_t> created_;
  bool of_image_ = false;
  std::unique_ptr<ObjectStage> objects_;
  std::unique_ptr<TreeBuilder> tree_ = std::make_unique<TreeBuilder>();
  std::optional<BlobInfo> blob_;
  std::string blob_file_;
  std::string recipe_file_;
};

// All objects of a tree, in the order of their ids.
Result<std::vector<ObjectId>> ObjectsOf(const TreeFile& tree);

// What the files of a store are called (FORMAT.md).
std::string IndexFileName(const Digest& digest);    // HEX.tree
std::string InfoFileName(const Digest& digest);     // HEX.info
std::string RecipeFileName(const Digest& digest);   // HEX.recipe
std::string RunFileName(const Digest& digest);      // HEX.run
std::string CheckedFileName(const Digest& digest);  // HEX.checked
std::string ImageFileName(const Digest& digest);    // HEX.image
// The digest when `name` is its HEX and `suffix`.
std::optional<Digest> DigestOfFile(std::string_view name,
                                   std::string_view suffix);
// Four or more of a digest's digits.
inline constexpr size_t kLeastPrefix = 4;
bool IsDigestPrefix(std::string_view text);

}  // namespace ufs
