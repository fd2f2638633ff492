// Mark and sweep.
#include <algorithm>
#include <cerrno>
#include <set>
#include <unordered_set>

#include "layerdb/base/cleanup.h"
#include "layerdb/base/fault.h"
#include "layerdb/base/remove_tree.h"
#include "layerdb/layer_store.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

FaultPoint kSweep("gc.sweep");
FaultPoint kSweepObject("gc.object");
FaultPoint kSweepBlob("gc.blob");
FaultPoint kSweepView("gc.view");
FaultPoint kSweepLayer("gc.layer");

}  // namespace

class StoreGc {
 public:
  StoreGc(LayerStore& store, const LayerStore::GcOptions& options)
      : store_(store), options_(options) {}

  Result<GcReport> Run() {
    const HeldLock lock =
        TRY(LockExclusive({store_.dir_, "lock"}).With(store_.path()));
    // No catalog is open without the lock.
    const Cleanup close([&] {
      catalog_.reset();
      known_.reset();
    });
    // Without it imports may count on objects that no layer has yet.
    const auto sweep_lock = TryLockExclusive({store_.dir_, "ingest"});
    if (sweep_lock.code() == EBUSY) {
      report_.imports_under_way = true;
    } else if (!sweep_lock.ok()) {
      return sweep_lock.error();
    }
    if (!options_.dry_run) catalog_ = TRY(store_.OpenCatalogForRemoval());
    // Descriptions that are lost can be read where nothing can be written.
    if (catalog_ == nullptr)
      if (auto known =
              Catalog::Open(store_.catalog_path(), Catalog::Mode::kRead);
          known.ok())
        known_ = std::move(*known);
    for (const auto& [name, digest] : TRY(store_.names().All()))
      named_.insert(digest);
    TRY(MarkImages());
    TRY(ChooseUnusedLayers());
    TRY(Mark());
    // Nothing is removed before all that stays could be read.
    if (!options_.dry_run) TRY(RemoveChosen());
    TRY(kSweep.Visit());
    TRY(SweepViews());
    TRY(SweepTemporaries(store_.names_dir_));
    TRY(SweepTemporaries(store_.images_dir_));
    if (!report_.imports_under_way) {
      TRY(SweepIngest());
      TRY(SweepLayerTexts());
      TRY(SweepBlobs());
      TRY(SweepObjects());
    }
    return report_;
  }

 private:
  const Catalog* known() const {
    return catalog_ != nullptr ? catalog_.get() : known_.get();
  }

  // What images need; those without a name go, if that is asked for.
  Status MarkImages() {
    for (const Digest& digest : TRY(store_.ImageFiles())) {
      if (options_.unnamed_layers && !named_.contains(digest)) {
        if (TRY(store_.IsImageMounted(digest))) {
          ++report_.in_use;
        } else {
          ++report_.images;
          Count({store_.images_dir_, ImageFileName(digest).c_str()});
          removed_images_.push_back(digest);
          continue;
        }
      }
      const auto image = store_.ImageFromFile(digest);
      if (!image.ok())
        return Error(image.error())
            .With(
                "nothing was freed, as it is not known what a damaged "
                "image needs; import it again or 'ufs layer rm' it");
      const std::vector<Digest>& layers = image->config.diff_ids;
      of_images_.insert(layers.begin(), layers.end());
      blobs_.insert(image->blobs.begin(), image->blobs.end());
    }
    return Ok();
  }

  // Layers that came with an image go with it; others when that is asked for.
  // A layer that an import has just sealed may get its image at any moment.
  Result<bool> IsUnused(const Digest& digest) const {
    if (named_.contains(digest) || of_images_.contains(digest)) return false;
    if (options_.unnamed_layers) return true;
    if (report_.imports_under_way) return false;
    const auto info = store_.InfoFrom(known(), digest);
    return info.ok() && info->of_image;  // a damaged one: Mark says so
  }

  Status ChooseUnusedLayers() {
    for (const Digest& digest : TRY(store_.LayerFiles())) {
      if (!TRY(IsUnused(digest))) continue;
      const auto locks = store_.LockForRemoval(digest);
      if (locks.code() == EBUSY) {
        ++report_.in_use;
        continue;
      }
      if (!locks.ok()) return locks.error();
      ++report_.layers;
      removed_.insert(digest);
      Count({store_.layers_dir_, IndexFileName(digest).c_str()});
    }
    return Ok();
  }

  // Images first (S11).
  Status RemoveChosen() {
    for (const Digest& digest : removed_images_)
      TRY(store_.RemoveImageLocked(digest));
    for (const Digest& digest : removed_) {
      TRY(kSweepLayer.Visit());
      TRY(store_.RemoveLocked(digest, catalog_.get()));
    }
    return Ok();
  }

  Status Mark() {
    for (const Digest& digest : TRY(store_.LayerFiles())) {
      if (removed_.contains(digest)) continue;
      layers_.insert(digest);
      const auto objects = store_.ObjectsOf(digest);
      if (!objects.ok())
        return Error(objects.error())
            .With(
                "nothing was freed, as it is not known what a damaged "
                "layer needs; import it again or 'ufs layer rm' it");
      marked_.insert(objects->begin(), objects->end());
      const auto info = store_.InfoFrom(known(), digest);
      if (!info.ok())
        return Error(EUCLEAN,
                     "nothing was freed, as it is not known which blob layer " +
                         digest.ToString() +
                         " has: " + info.error().ToString() +
                         "; 'ufs store repair' writes it anew");
      if (info->blob) blobs_.insert(info->blob->digest);
    }
    return Ok();
  }

  // Counts, and removes unless it is a dry run.
  Status RemoveFile(sys::At at) {
    Count(at);
    if (options_.dry_run) return Ok();
    const auto removed = sys::UnlinkAt(at);
    return removed.code() == ENOENT ? Ok() : removed;
  }

  void Count(sys::At at) {
    const auto found = sys::Statx(at);
    if (found.ok()) report_.freed_bytes += found->stx_blocks * 512;
  }

  bool RunIsWhole(const std::string& run_name) const {
    const auto run =
        ReadSmallFile({store_.views_dir_, run_name.c_str()}, kMaxRunBytes);
    if (!run.ok()) return false;
    std::string_view text = *run;
    for (size_t end; (end = text.find('\n')) != text.npos;
         text.remove_prefix(end + 1)) {
      const auto digest = Digest::Parse(text.substr(0, end));
      if (!digest.ok() || !layers_.contains(*digest)) return false;
    }
    return text.empty();
  }

  Status SweepViews() {
    const BorrowedFd views = store_.views_dir_;
    for (const std::string& name : TRY(ListNames({views}))) {
      const auto chain = DigestOfFile(name, ".tree");
      // Those of a view go with it; without one a crash left them.
      if (const auto of_run = DigestOfFile(name, ".run")) {
        if (store_.MayHaveView(*of_run)) continue;
      } else if (const auto checked = DigestOfFile(name, ".checked")) {
        if (store_.MayHaveIndex(*checked)) continue;
      } else if (chain) {
        const std::string run_name = RunFileName(*chain);
        if (!options_.all_views && RunIsWhole(run_name)) continue;
        const auto lock = TryLockExclusive({views, name.c_str()});
        if (lock.code() == EBUSY) {
          ++report_.in_use;
          continue;
        }
        if (!lock.ok()) return lock.error();
        TRY(kSweepView.Visit());
        ++report_.views;
        TRY(RemoveFile({views, name.c_str()}));
        TRY(RemoveFile({views, run_name.c_str()}));
        TRY(RemoveFile({views, CheckedFileName(*chain).c_str()}));
        continue;
      }
      ++report_.leftovers;
      TRY(RemoveFile({views, name.c_str()}));
    }
    return Ok();
  }

  Status SweepIngest() {
    return store_.ForEachAbandoned([&](sys::At at) {
      ++report_.leftovers;
      report_.freed_bytes += BlocksBelow(at);
      return options_.dry_run ? Ok() : RemoveTree(at);
    });
  }

  static uint64_t BlocksBelow(sys::At at) {
    const auto found = sys::Statx(at);
    uint64_t bytes = found.ok() ? found->stx_blocks * 512 : 0;
    if (!found.ok() || !S_ISDIR(found->stx_mode)) return bytes;
    const auto dir = sys::OpenAt(at, O_RDONLY | O_DIRECTORY);
    if (!dir.ok()) return bytes;
    if (const auto names = ListNames({*dir}); names.ok())
      for (const std::string& name : *names)
        bytes += BlocksBelow({*dir, name.c_str()});
    return bytes;
  }

  Status SweepTemporaries(BorrowedFd dir) {
    for (const std::string& name : TRY(ListNames({dir}))) {
      if (!IsTemporaryName(name)) continue;
      ++report_.leftovers;
      TRY(RemoveFile({dir, name.c_str()}));
    }
    return Ok();
  }

  Status SweepLayerTexts() {
    const BorrowedFd layers = store_.layers_dir_;
    TRY(SweepTemporaries(layers));
    for (const std::string& name : TRY(ListNames({layers}))) {
      auto digest = DigestOfFile(name, ".info");
      if (!digest) digest = DigestOfFile(name, ".recipe");
      if (!digest || layers_.contains(*digest)) continue;
      ++report_.leftovers;
      TRY(RemoveFile({layers, name.c_str()}));
    }
    return Ok();
  }

  Status SweepBlobs() {
    for (const std::string& name : TRY(ListNames({store_.blobs_dir_}))) {
      const auto digest = DigestOfFile(name, "");
      if (!digest || blobs_.contains(*digest)) continue;
      TRY(kSweepBlob.Visit());
      ++report_.blobs;
      TRY(RemoveFile({store_.blobs_dir_, name.c_str()}));
    }
    return Ok();
  }

  Status SweepObjects() {
    const BorrowedFd objects = store_.objects_->dir();
    return store_.objects_->ForEach(
        [&](const ObjectStore::Found& found) -> Status {
          if (!found.id) return Ok();  // not ours to remove; 'check' names it
          if (marked_.contains(*found.id)) {
            ++report_.kept_objects;
            return Ok();
          }
          TRY(kSweepObject.Visit());
          ++report_.objects;
          return RemoveFile({objects, found.path.c_str()});
        });
  }

  LayerStore& store_;
  const LayerStore::GcOptions options_;
  GcReport report_;
  std::unique_ptr<Catalog> catalog_;  // none on a full disk
  std::unique_ptr<Catalog> known_;    // then, to read
  std::set<Digest> named_;
  std::set<Digest> of_images_;
  std::vector<Digest> removed_images_;
  std::set<Digest> removed_;
  std::set<Digest> layers_;
  std::set<Digest> blobs_;
  std::unordered_set<ObjectId> marked_;
};

Result<GcReport> LayerStore::Gc(const GcOptions& options) {
  return StoreGc(*this, options).Run();
}

}  // namespace ufs
