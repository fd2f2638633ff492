#include "fs/upper_diff.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "fs/fd_cache.h"
#include "fs/lower_stack.h"
#include "fs/marks.h"
#include "fs/open_chain.h"
#include "layerdb/base/syscall.h"

namespace ufs {
namespace {

constexpr size_t kDescriptors = 256;

std::string Join(const std::string& directory, std::string_view name) {
  return (directory == "/" ? "" : directory) + "/" + std::string(name);
}

// Which object of a layer: its tag and the layer's own number.
using Identity = std::pair<uint64_t, uint64_t>;

// What a file of a layer has in it.
class Contents {
 public:
  static Result<Contents> Open(const NodeRef& file) {
    Contents contents;
    contents.bytes_ = file.layer().InMemory(file);
    if (!contents.bytes_) contents.fd_ = TRY(file.layer().Open(file));
    return contents;
  }
  Result<size_t> Read(char* buffer, size_t size, uint64_t offset) const {
    if (!bytes_) return sys::Pread(fd_, buffer, size, offset);
    return bytes_->substr(std::min<uint64_t>(offset, bytes_->size()))
        .copy(buffer, size);
  }
  Result<bool> IsSameFileAs(const Contents& other) const {
    if (bytes_ || other.bytes_) return false;
    const auto a = TRY(sys::Statx({fd_})), b = TRY(sys::Statx({other.fd_}));
    return std::tie(a.stx_dev_major, a.stx_dev_minor, a.stx_ino) ==
           std::tie(b.stx_dev_major, b.stx_dev_minor, b.stx_ino);
  }

 private:
  std::optional<std::string_view> bytes_;  // else fd_
  UniqueFd fd_;
};

// A directory on both sides.
struct DirPair {
  std::string path;         // in the union
  std::string source_path;  // where the layers have it; differs below a rename
  std::vector<LowerPart> now;     // now[0] is the upper's
  std::vector<LowerPart> before;  // empty: the layers have none
};

class Differ {
 public:
  explicit Differ(const UpperDiffOptions& options)
      : names_(options.trusted_marks),
        fds_(kDescriptors),
        know_layers_(!options.layers.empty()) {}

  Status Open(const UpperDiffOptions& options) {
    upper_root_ = TRY(sys::Open(options.upper.c_str(), O_PATH | O_DIRECTORY)
                          .With("upper directory " + options.upper));
    const auto open = [&](std::vector<std::string> layers)
        -> Result<std::unique_ptr<LowerStack>> {
      auto opened = TRY(OpenLayers(layers, options.open_sealed, fds_, names_));
      std::reverse(opened.layers.begin(), opened.layers.end());
      return std::make_unique<LowerStack>(std::move(opened.layers), true);
    };
    before_ = TRY(open(options.layers));
    std::vector<std::string> all = options.layers;
    all.push_back(std::string(kUpperPrefix) + options.upper);
    now_ = TRY(open(std::move(all)));
    return Ok();
  }

  Result<std::vector<Change>> Run() {
    DirPair root{"/", "/", TRY(now_->Root()).parts, {}};
    if (know_layers_) {
      const LowerFound before = TRY(before_->Root());
      root.before = before.parts;
      if (TRY(MetadataDiffers(TRY(now_->Root()), before)))
        Add(ChangeKind::kMetadata, "/", S_IFDIR);
    }
    // A list, not recursion: trees may be deeper than our stack.
    std::vector<DirPair> waiting;
    waiting.push_back(std::move(root));
    while (!waiting.empty()) {
      const DirPair dir = std::move(waiting.back());
      waiting.pop_back();
      TRY(DiffDirectory(dir, waiting));
    }
    PairRenames();
    std::sort(changes_.begin(), changes_.end(),
              [](const Change& a, const Change& b) {
                return std::tie(a.path, a.kind) < std::tie(b.path, b.kind);
              });
    return std::move(changes_);
  }

 private:
  void Add(ChangeKind kind, const std::string& path, mode_t type,
           std::string from = {}) {
    changes_.push_back({kind, path, std::move(from), type & S_IFMT});
  }

  // --- names ---------------------------------------------------------------

  Status DiffDirectory(const DirPair& dir, std::vector<DirPair>& waiting) {
    std::set<std::string> in_upper;
    for (const LayerDirEntry& entry :
         TRY(now_->top_layer().List(dir.now[0].node))) {
      in_upper.insert(entry.name);
      TRY(DiffName(dir, entry, waiting));
    }
    // Names that the upper does not have are gone if the directory was cut off
    // from the layers.
    const bool cut = dir.now.size() == 1 && !dir.before.empty();
    if (!cut) return Ok();
    std::set<std::string> gone;
    for (const LowerPart& part : dir.before)
      for (const LayerDirEntry& entry : TRY(part.node.layer().List(part.node)))
        if (in_upper.count(entry.name) == 0) gone.insert(entry.name);
    for (const std::string& name : gone) {
      const LowerFound before =
          TRY(before_->Lookup(dir.before, Name::Trusted(name)));
      Deleted(Join(dir.path, name), Join(dir.source_path, name), before);
    }
    return Ok();
  }

  Status DiffName(const DirPair& dir, const LayerDirEntry& entry,
                  std::vector<DirPair>& waiting) {
    const Name name = Name::Trusted(entry.name);
    const std::string path = Join(dir.path, entry.name);
    LowerFound before;
    if (!dir.before.empty()) before = TRY(before_->Lookup(dir.before, name));
    if (entry.whiteout) {
      Deleted(path, Join(dir.source_path, entry.name), before);
      return Ok();
    }
    const LayerEntry upper = TRY(
        now_->top_layer().Lookup(dir.now[0].node, name, /*more_below=*/true));
    if (upper.kind != LayerEntry::Kind::kEntry) return Ok();
    const LowerFound now = TRY(now_->Lookup(dir.now, name));
    return S_ISDIR(upper.attr.mode)
               ? DiffSubdirectory(dir, path, upper, before, now, waiting)
               : DiffFile(dir, path, upper, before, now);
  }

  void Deleted(const std::string& path, const std::string& source_path,
               const LowerFound& before) {
    if (know_layers_ && before.kind == LowerFound::Kind::kAbsent) return;
    deleted_.emplace(IdentityOf(before), changes_.size());
    deleted_sources_.emplace(source_path, changes_.size());
    Add(ChangeKind::kDeleted, path, before.attr.mode);
  }

  // --- directories ---------------------------------------------------------

  Status DiffSubdirectory(const DirPair& dir, const std::string& path,
                          const LayerEntry& upper, const LowerFound& before,
                          const LowerFound& now,
                          std::vector<DirPair>& waiting) {
    DirPair below{path, Join(dir.source_path, NameIn(path)), now.parts, {}};
    // Without layers below, the upper's own part is still there.
    if (below.now.empty()) below.now.push_back({now_->top(), upper.node});
    LowerFound base = before;
    if (!upper.redirect.empty()) {
      below.source_path = SourceOf(dir, upper.redirect);
      Add(ChangeKind::kRenamed, path, S_IFDIR, below.source_path);
      if (know_layers_) base = TRY(before_->Follow(dir.before, upper.redirect));
    } else if (!know_layers_) {
      if (upper.opaque) Add(ChangeKind::kAdded, path, S_IFDIR);
    } else if (before.kind == LowerFound::Kind::kAbsent) {
      Add(ChangeKind::kAdded, path, S_IFDIR);
    } else if (before.kind == LowerFound::Kind::kFile) {
      Add(ChangeKind::kChanged, path, S_IFDIR);
    }
    if (base.kind == LowerFound::Kind::kDirectory) {
      below.before = base.parts;
      if (TRY(MetadataDiffers(now, base)))
        Add(ChangeKind::kMetadata, path, S_IFDIR);
    }
    waiting.push_back(std::move(below));
    return Ok();
  }

  static std::string NameIn(const std::string& path) {
    return path.substr(path.rfind('/') + 1);
  }

  // Where the layers have what a redirect in `dir` names.
  static std::string SourceOf(const DirPair& dir, const std::string& redirect) {
    return redirect.starts_with('/') ? redirect
                                     : Join(dir.source_path, redirect);
  }

  // --- everything else -----------------------------------------------------

  Status DiffFile(const DirPair& dir, const std::string& path,
                  const LayerEntry& upper, const LowerFound& before,
                  const LowerFound& now) {
    const mode_t type = upper.attr.mode;
    const Marks marks = TRY(MarksOf(upper));
    const std::string source =
        upper.redirect.empty() ? "" : SourceOf(dir, upper.redirect);
    if (!know_layers_) {
      if (upper.metacopy && (source.empty() || source == path)) {
        Add(ChangeKind::kMetadata, path, type);
        return Ok();
      }
      if (!source.empty()) arrived_from_.emplace(source, changes_.size());
      Add(TRY(HasOrigin(upper, marks)) ? ChangeKind::kChanged
                                       : ChangeKind::kAdded,
          path, type);
      return Ok();
    }
    if (before.kind == LowerFound::Kind::kAbsent) {
      // It may be one of the deleted names, moved; PairRenames decides.
      if (!source.empty()) arrived_from_.emplace(source, changes_.size());
      if (marks.origin)
        added_.emplace(Identity{marks.origin->layer_tag, marks.origin->ino},
                       changes_.size());
      Add(ChangeKind::kAdded, path, type);
      return Ok();
    }
    // Another object of the layers under this name: moved over the one there.
    if (marks.origin && before.kind == LowerFound::Kind::kFile &&
        Identity{marks.origin->layer_tag, marks.origin->ino} !=
            IdentityOf(before)) {
      replaced_.emplace(Identity{marks.origin->layer_tag, marks.origin->ino},
                        changes_.size());
      Add(ChangeKind::kChanged, path, type);
      return Ok();
    }
    if (before.kind == LowerFound::Kind::kDirectory ||
        TRY(ContentDiffers(now, before)))
      Add(ChangeKind::kChanged, path, type);
    else if (TRY(MetadataDiffers(now, before)))
      Add(ChangeKind::kMetadata, path, type);
    return Ok();
  }

  static mode_t TypeOf(const LowerFound& found) {
    return found.attr.mode & S_IFMT;
  }

  Result<bool> ContentDiffers(const LowerFound& now, const LowerFound& before) {
    if (TypeOf(now) != TypeOf(before)) return true;
    switch (TypeOf(now)) {
      case S_IFREG:
        return FileDiffers(now, before);
      case S_IFLNK:
        return TRY(now.node.layer().ReadLink(now.node)) !=
               TRY(before.node.layer().ReadLink(before.node));
      case S_IFCHR:
      case S_IFBLK:
        return now.attr.rdev != before.attr.rdev;
      default:
        return false;
    }
  }

  // A file that was opened for writing is in the upper whether or not it was
  // written. Only a look tells.
  Result<bool> FileDiffers(const LowerFound& now, const LowerFound& before) {
    if (now.attr.size_bytes != before.attr.size_bytes) return true;
    if (now.partial) return true;  // something was written to it
    // A metacopy's data is still the layer's; of this file, as the callers
    // know.
    if (!now.data || !before.data)
      return Error(EIO, "a file whose data is in no layer: " +
                            now.node.layer().PathOf(now.node));
    if (&now.data.layer() == &before.data.layer() &&
        now.data.id() == before.data.id())
      return false;
    const Contents a = TRY(Contents::Open(now.data));
    const Contents b = TRY(Contents::Open(before.data));
    if (TRY(a.IsSameFileAs(b))) return false;
    constexpr size_t kBlockBytes = 128 << 10;
    std::vector<char> a_block(kBlockBytes), b_block(kBlockBytes);
    for (uint64_t offset = 0;; offset += kBlockBytes) {
      const size_t got = TRY(a.Read(a_block.data(), kBlockBytes, offset));
      if (got != TRY(b.Read(b_block.data(), kBlockBytes, offset)) ||
          memcmp(a_block.data(), b_block.data(), got) != 0)
        return true;
      if (got < kBlockBytes) return false;
    }
  }

  Result<bool> MetadataDiffers(const LowerFound& now,
                               const LowerFound& before) {
    const Attr& a = now.attr;
    const Attr& b = before.attr;
    if (a.mode != b.mode || a.uid != b.uid || a.gid != b.gid) return true;
    // Those of a directory follow from what is done in it.
    const bool times_matter = !S_ISDIR(a.mode);
    if (times_matter && (a.mtime.tv_sec != b.mtime.tv_sec ||
                         a.mtime.tv_nsec != b.mtime.tv_nsec))
      return true;
    return TRY(XattrsOf(now)) != TRY(XattrsOf(before));
  }

  static Result<std::map<std::string, std::string>> XattrsOf(
      const LowerFound& found) {
    std::map<std::string, std::string> xattrs;
    const Layer& layer = found.node.layer();
    const std::string listed = TRY(layer.ListXattr(found.node));
    for (const std::string& name : XattrNames(listed))
      xattrs[name] = TRY(layer.GetXattr(found.node, name.c_str()));
    return xattrs;
  }

  // --- marks and renames ---------------------------------------------------

  Result<UniqueFd> ParentOf(const std::string& path) {
    std::vector<std::string_view> names =
        NamesIn(std::string_view(path).substr(1));
    if (!names.empty()) names.pop_back();
    return OpenChain(upper_root_, names);
  }

  Result<Marks> MarksOf(const LayerEntry& upper) {
    const std::string path = now_->top_layer().PathOf(upper.node);
    const UniqueFd parent = TRY(ParentOf(path));
    const std::string name = NameIn(path);
    return ReadMarks({parent, name.c_str()}, upper.attr.mode, names_)
        .With("upper directory: " + path);
  }

  // Of ours, or the file handle that overlayfs writes.
  Result<bool> HasOrigin(const LayerEntry& upper, const Marks& marks) {
    if (marks.origin) return true;
    const std::string path = now_->top_layer().PathOf(upper.node);
    const UniqueFd parent = TRY(ParentOf(path));
    const std::string name = NameIn(path);
    return sys::GetXattr({parent, name.c_str()},
                         (names_.prefix() + "origin").c_str())
        .ok();
  }

  static Identity IdentityOf(const LowerFound& found) {
    if (found.kind == LowerFound::Kind::kAbsent) return {};
    const Origin origin = OriginOf(found);
    return {origin.layer_tag, origin.ino};
  }

  // A file that is gone under one name and has come up under another was
  // renamed. A directory says itself where it came from.
  void PairRenames() {
    std::set<size_t> settled;
    for (const auto& [source, arrival] : arrived_from_) {
      const auto gone = deleted_sources_.find(source);
      if (gone == deleted_sources_.end()) continue;  // one more hard link
      settled.insert(gone->second);
      changes_[arrival].kind = ChangeKind::kRenamed;
      changes_[arrival].from = source;
    }
    for (auto* arrivals : {&added_, &replaced_}) {
      for (const auto& [identity, arrival] : *arrivals) {
        for (auto [at, end] = deleted_.equal_range(identity); at != end; ++at) {
          if (changes_[arrival].kind == ChangeKind::kRenamed) break;
          if (!settled.insert(at->second).second) continue;
          changes_[arrival].kind = ChangeKind::kRenamed;
          changes_[arrival].from = changes_[at->second].path;
          break;
        }
      }
    }
    for (const Change& change : changes_) {
      if (change.kind != ChangeKind::kRenamed) continue;
      const auto source = deleted_sources_.find(change.from);
      if (source != deleted_sources_.end()) settled.insert(source->second);
    }
    std::vector<Change> left;
    for (size_t i = 0; i < changes_.size(); ++i)
      if (settled.count(i) == 0) left.push_back(std::move(changes_[i]));
    changes_ = std::move(left);
  }

  const MarkNames names_;
  FdCache fds_;
  const bool know_layers_;
  std::unique_ptr<LowerStack> before_;  // the layers
  std::unique_ptr<LowerStack> now_;     // the upper on top of them
  UniqueFd upper_root_;

  std::vector<Change> changes_;
  // Indices into changes_.
  std::multimap<Identity, size_t> deleted_;
  std::map<std::string, size_t> deleted_sources_;
  std::multimap<std::string, size_t> arrived_from_;
  std::multimap<Identity, size_t> added_;
  std::multimap<Identity, size_t> replaced_;
};

}  // namespace

Result<std::vector<Change>> DiffUpper(const UpperDiffOptions& options) {
  Differ differ(options);
  TRY(differ.Open(options));
  return differ.Run();
}

}  // namespace ufs
