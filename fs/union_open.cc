// Opening a union, and what it tells of itself.
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>

#include "fs/frozen_upper.h"
#include "fs/open_layers.h"
#include "fs/union_fs.h"
#include "layerdb/base/log.h"
#include "layerdb/base/privilege.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

// Bytes of directory listings kept for the next READDIR.
constexpr size_t kListingBudgetBytes = 8 << 20;
constexpr size_t kMinDescriptors = 16;
constexpr size_t kMaxDescriptors = 8192;

// Half of what the process may open: the rest is for layers, unlinked files
// that are still open, and calls under way.
size_t DescriptorBudget() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMinDescriptors;
  return std::clamp<size_t>(limit.rlim_cur / 2, kMinDescriptors,
                            kMaxDescriptors);
}

const char* NameOf(WhiteoutForm form) {
  switch (form) {
    case WhiteoutForm::kAuto:
    case WhiteoutForm::kCharDevice:
      return "char";
    case WhiteoutForm::kXattr:
      return "xattr";
    case WhiteoutForm::kAufs:
      return "aufs";
  }
  return "";
}

const char* NameOf(Durability durability) {
  switch (durability) {
    case Durability::kAuto:
      return "auto";
    case Durability::kStrict:
      return "strict";
    case Durability::kVolatile:
      return "volatile";
  }
  return "";
}

}  // namespace

UnionFs::UnionFs(const UnionConfig& config, bool trusted)
    : config_(config),
      names_(trusted),
      fds_(DescriptorBudget()),
      listings_(kListingBudgetBytes),
      table_(fds_) {}

void UnionFs::NoteMount(dev_t device) {
  if (upper_ == nullptr) return;
  const Status noted = upper_->NoteMount(device);
  if (!noted.ok())
    log::Warn("work directory " + upper_->work_path() +
              ": whose mount this is could not be noted: " +
              noted.error().ToString());
}

UnionFs::~UnionFs() {
  // Where this fails, what was not synced is what a power cut may take.
  if (const Status settled = Settle(); !settled.ok())
    log::Warn("not all is on disk: " + settled.error().ToString());
}

Result<std::unique_ptr<UnionFs>> UnionFs::Open(const UnionConfig& config) {
  if (config.layers.empty() && !config.upper)
    return Error(EINVAL, "a union needs a layer or an upper directory");
  std::unique_ptr<UpperDir> upper;
  if (config.upper && !config.read_only) upper = TRY(UpperDir::Open(config));
  const bool trusted = upper != nullptr ? upper->names().trusted()
                                        : !config.user_xattr && IsHostRoot();
  std::unique_ptr<UnionFs> fs(new UnionFs(config, trusted));
  fs->upper_ = std::move(upper);
  TRY(fs->OpenLayers());
  TRY(fs->OpenIndex());
  TRY(fs->OpenRoot());
  return fs;
}

Status UnionFs::OpenLayers() {
  std::vector<std::string> paths = config_.layers;
  if (config_.upper) {
    const std::string work = config_.work.value_or(DefaultWork(*config_.upper));
    // A read-only mount has perhaps no work directory.
    if (const auto tag = UpperTag(work + "/ufs"); tag.ok()) upper_tag_ = *tag;
    for (std::string& frozen : TRY(FrozenNames(work)))
      paths.push_back(std::move(frozen));
    // A read-only mount may still have an upper: it is just the topmost layer.
    if (upper_ == nullptr)
      paths.push_back(std::string(kUpperPrefix) + *config_.upper);
  }
  OpenedLayers opened =
      TRY(ufs::OpenLayers(paths, config_.open_sealed, fds_, names_));
  if (config_.upper && upper_ == nullptr) paths.back() = *config_.upper;
  for (const auto& layer : opened.layers)
    if (!layer->IsFrozenUpper())
      layer_by_tag_.emplace(
          layer->tag(), static_cast<uint32_t>(&layer - &opened.layers[0] + 1));
  std::reverse(opened.layers.begin(), opened.layers.end());
  lowers_ = std::make_unique<LowerStack>(
      std::move(opened.layers), config_.redirect_dir != RedirectDir::kNoFollow);
  const std::string& shown = upper_ ? *config_.upper : opened.top_directory;
  stat_fd_ = TRY(sys::Open(shown.c_str(), O_PATH | O_DIRECTORY));

  info_.store = opened.store;
  info_.layers = std::move(paths);
  info_.verify = config_.verify;
  info_.xattr_prefix = names_.prefix();
  if (upper_ == nullptr) return Ok();
  info_.upper = upper_->path();
  info_.work = upper_->work_path();
  info_.whiteout_form = NameOf(upper_->whiteout_form());
  info_.overrides_owner = upper_->overrides_owner();
  info_.metacopy = config_.metacopy && upper_->has_xattrs();
  info_.partial = info_.metacopy && config_.partial;
  info_.index = true;
  info_.durability = NameOf(upper_->durability());
  return Ok();
}

Status UnionFs::OpenIndex() {
  if (upper_ == nullptr) return Ok();
  const BorrowedFd dir = *upper_->index_pin();
  std::vector<std::string> names = TRY(ListNames({dir}));
  MutexLock lock(index_mu_);
  for (std::string& name : names) {
    // One that counts no names was to be removed when its daemon was killed.
    const sys::At at{dir, name.c_str()};
    if (TRY(sys::Statx(at)).stx_nlink == 1 &&
        TRY(upper_->Look(at)).marks.nlink == int64_t{0}) {
      TRY(sys::UnlinkAt(at));
    } else {
      index_names_.insert(std::move(name));
    }
  }
  return Ok();
}

Status UnionFs::OpenRoot() {
  LowerFound lower = TRY(lowers_->Root());
  InodeTable::Birth birth;
  birth.type = S_IFDIR;
  bool opaque = false;
  if (upper_ != nullptr) {
    const auto looked =
        TRY(upper_->Look({upper_->root()}).With("upper " + upper_->path()));
    birth.backing = Backing::kUpper;
    birth.upper_ino = looked.stat.stx_ino;
    birth.identity = {0, looked.stat.stx_ino};
    birth.impure = looked.marks.impure;
    birth.keeps_names = IsFixed(looked.stat);
    birth.has_default_acl = looked.marks.has_default_acl;
    opaque = looked.marks.opaque;
  }
  if (lower.kind != LowerFound::Kind::kAbsent && !opaque) {
    // The upper's, and nobody else's, if there is nothing but frozen ones.
    if (!lower.node.layer().IsFrozenUpper() || lower.origin)
      birth.identity = LowerIdentity(lower);
    birth.lower = lower.node;
    birth.parts = std::move(lower.parts);
  }
  table_.MakeRoot(std::move(birth));
  return Ok();
}

void UnionFs::SetInvalidate(InvalidateFn invalidate) {
  invalidate_ = std::move(invalidate);
}

void UnionFs::SetForgetAttrs(InvalidateFn forget) {
  forget_attrs_ = std::move(forget);
}

const UnionInfo& UnionFs::Info() const { return info_; }

UnionStats UnionFs::Stats() const {
  UnionStats stats;
  stats.inodes = table_.size();
  stats.open_descriptors = fds_.size();
  stats.copy_ups_data = copy_ups_data_;
  stats.copy_ups_metadata = copy_ups_metadata_;
  stats.copy_ups_partial = copy_ups_partial_;
  stats.copy_up_bytes = copy_up_bytes_;
  CountPartials(stats);
  stats.passed_writers = passed_writers_;
  stats.listing_hits = listing_hits_;
  stats.listing_misses = listing_misses_;
  return stats;
}

Result<struct statvfs> UnionFs::StatFs() {
  struct statvfs stat = TRY(sys::StatVfs(stat_fd_));
  if (upper_ == nullptr) {
    stat.f_flag |= ST_RDONLY;
    stat.f_bavail = stat.f_bfree = stat.f_favail = stat.f_ffree = 0;
  } else if (upper_->whiteout_form() == WhiteoutForm::kAufs) {
    stat.f_namemax -= kAufsWhiteoutPrefix.size();
  }
  return stat;
}

Status UnionFs::SyncFs() {
  if (upper_ == nullptr || upper_->is_volatile()) return Ok();
  return sys::SyncFs(upper_->root());
}

}  // namespace ufs
