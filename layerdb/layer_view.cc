// Views: what runs of layers show, merged once and kept.
#include <cerrno>

#include "layerdb/base/cleanup.h"
#include "layerdb/base/log.h"
#include "layerdb/checked_mark.h"
#include "layerdb/layer_store.h"
#include "layerdb/store_io.h"
#include "layerdb/tree_merge.h"

namespace ufs {
namespace {

// A view that is removed between being made and being opened is made again.
constexpr int kMostTries = 4;

bool CannotBeKept(int code) {
  return code == EROFS || code == EACCES || code == EPERM || code == ENOSPC ||
         code == EDQUOT;
}

}  // namespace

// The view of one run.
class ViewBuilder {
 public:
  ViewBuilder(const LayerStore& store, std::span<const Digest> run,
              LayerStore::IndexCheck check)
      : store_(store), run_(run), chain_(ChainId(run)), check_(check) {}

  Result<std::shared_ptr<const TreeFile>> Open() {
    for (int tries = 0; tries < kMostTries; ++tries) {
      auto view = OpenKept();
      if (view.ok() || (view.code() != ENOENT && view.code() != EUCLEAN))
        return view;
      if (view.code() == EUCLEAN)
        log::Warn(Name() + ": " + view.error().ToString() +
                  "; it is made again");
      TRY(Build());
      built_ = true;
      if (unkept_) return Result<std::shared_ptr<const TreeFile>>(unkept_);
    }
    return Error(EAGAIN, Name() + ": removed while it was made");
  }

  const Digest& chain() const { return chain_; }
  bool built() const { return built_; }
  // Why a view could not be kept; ok otherwise.
  const Status& kept() const { return kept_; }

 private:
  std::string Name() const { return "view " + chain_.ToString(); }

  Result<std::shared_ptr<const TreeFile>> OpenKept() const {
    UniqueFd fd =
        TRY(OpenPinned({store_.views_dir_, IndexFileName(chain_).c_str()}));
    auto view = TRY(TreeFile::Open(std::move(fd), TreeFile::Verify::kHeader));
    TRY(store_.CheckHashes(*view, chain_, check_));
    if (view->identity() != chain_.bytes || view->source_count() != run_.size())
      return Error(EUCLEAN, "that of another run of layers");
    // Whoever removes a layer looks for the views it is in by this.
    const auto run = ReadSmallFile(
        {store_.views_dir_, RunFileName(chain_).c_str()}, RunText().size());
    if (!run.ok() || *run != RunText())
      return Error(EUCLEAN, "it does not say its layers");
    return view;
  }

  std::string RunText() const {
    std::string text;
    for (const Digest& digest : run_) text += digest.ToString() + "\n";
    return text;
  }

  Status Build() {
    // No layer goes while they are merged, nor before the view is pinned.
    const HeldLock lock =
        TRY(LockShared({store_.dir_, "lock"}).With(store_.path()));
    std::vector<std::shared_ptr<const TreeFile>> layers;
    std::vector<const TreeFile*> trees;
    for (const Digest& digest : run_) {
      layers.push_back(TRY(store_.OpenLayer(digest, TreeFile::Verify::kAll)));
      trees.push_back(layers.back().get());
    }
    TreeBuilder merged;
    TRY(MergeTrees(trees, merged).With(Name()));
    kept_ = Keep(merged);
    if (kept_.ok() || !CannotBeKept(kept_.code())) return kept_;
    // For this mount alone, in memory; the layers themselves stay pinned.
    const UniqueFd memory = TRY(sys::MemFd("ufs-view"));
    TRY(merged.Write(memory, chain_.bytes, run_.size()).With(Name()));
    auto view = TRY(TreeFile::Open(TRY(sys::Reopen(memory, O_RDONLY)),
                                   TreeFile::Verify::kHeader));
    struct Pinned {
      std::vector<std::shared_ptr<const TreeFile>> layers;
      std::shared_ptr<const TreeFile> view;
    };
    auto pinned =
        std::make_shared<Pinned>(Pinned{std::move(layers), std::move(view)});
    unkept_ = std::shared_ptr<const TreeFile>(pinned, pinned->view.get());
    return Ok();
  }

  // Not synced: a view that a crash tore does not pass its hashes.
  Status Keep(const TreeBuilder& merged) const {
    const BorrowedFd views = store_.views_dir_;
    TRY(ReplaceFile(views, RunFileName(chain_), RunText()));
    const std::string name = IndexFileName(chain_);
    const std::string draft = TemporaryNameFor(name);
    Cleanup remove([&] { (void)sys::UnlinkAt({views, draft.c_str()}); });
    {
      const UniqueFd file = TRY(sys::OpenAt(
          {views, draft.c_str()}, O_RDWR | O_CREAT | O_EXCL, kStoreFileMode));
      TRY(merged.Write(file, chain_.bytes, run_.size()));
    }
    TRY(sys::RenameAt2({views, draft.c_str()}, {views, name.c_str()}));
    remove.Dismiss();
    return Ok();
  }

  const LayerStore& store_;
  const std::span<const Digest> run_;
  const Digest chain_;
  const LayerStore::IndexCheck check_;
  std::shared_ptr<const TreeFile> unkept_;
  bool built_ = false;
  Status kept_ = Ok();
};

Result<std::shared_ptr<const TreeFile>> LayerStore::OpenView(
    std::span<const Digest> bottom_to_top, IndexCheck check) const {
  if (bottom_to_top.size() > 1)
    return ViewBuilder(*this, bottom_to_top, check).Open();
  const Digest& diff_id = bottom_to_top[0];
  auto tree = TRY(OpenLayer(diff_id));
  TRY(CheckHashes(*tree, diff_id, check).With("layer " + diff_id.ToString()));
  return tree;
}

Result<LayerStore::ReadyView> LayerStore::MakeView(
    std::span<const Digest> bottom_to_top) const {
  if (bottom_to_top.size() == 1) {
    TRY(OpenView(bottom_to_top));
    return ReadyView{bottom_to_top[0], false};
  }
  ViewBuilder builder(*this, bottom_to_top, IndexCheck::kOnceABoot);
  TRY(builder.Open());
  if (!builder.kept().ok())
    return Error(builder.kept().error())
        .With("view " + builder.chain().ToString() + " cannot be kept in " +
              path_);
  return ReadyView{builder.chain(), builder.built()};
}

Status LayerStore::CheckHashes(const TreeFile& tree, const Digest& chain,
                               IndexCheck check) const {
  const CheckedMark mark(views_dir_, CheckedFileName(chain), tree.fd());
  if (check == IndexCheck::kOnceABoot && mark.Holds()) return Ok();
  TRY(tree.CheckHashes());
  mark.Set();
  return Ok();
}

bool LayerStore::MayHaveView(const Digest& chain) const {
  return sys::Statx({views_dir_, IndexFileName(chain).c_str()}).code() !=
         ENOENT;
}

bool LayerStore::MayHaveIndex(const Digest& chain) const {
  return MayHaveView(chain) ||
         sys::Statx({layers_dir_, IndexFileName(chain).c_str()}).code() !=
             ENOENT;
}

void LayerStore::ForgetChecked(const Digest& chain) const {
  (void)sys::UnlinkAt({views_dir_, CheckedFileName(chain).c_str()});
}

}  // namespace ufs
