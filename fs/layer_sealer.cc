#include "fs/layer_sealer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <set>
#include <utility>

#include "fs/fd_cache.h"
#include "fs/host_layer.h"
#include "fs/joined_contents.h"
#include "fs/lower_stack.h"
#include "fs/marks.h"
#include "layerdb/base/selinux.h"
#include "layerdb/base/syscall.h"

namespace ufs {
namespace {

constexpr size_t kDescriptors = 256;

// An object of the layers, as the index of an upper names it.
using Original = std::pair<uint64_t, uint64_t>;  // layer tag, number

Original OriginalOf(const LowerFound& found) {
  const Origin origin = OriginOf(found);
  return {origin.layer_tag, origin.ino};
}

class Sealer {
 public:
  Sealer(const SealSource& source, TreeBuilder& tree, ObjectStage& objects)
      : source_(source),
        names_(source.trusted_marks),
        fds_(kDescriptors),
        tree_(tree),
        objects_(objects) {}

  Status Run() {
    if (source_.sockets != nullptr) source_.sockets->clear();
    std::vector<std::string> layers = source_.layers;
    layers.push_back(std::string(kUpperPrefix) + source_.directory);
    OpenedLayers opened =
        TRY(OpenLayers(layers, source_.open_sealed, fds_, names_));
    std::reverse(opened.layers.begin(), opened.layers.end());
    stack_ = std::make_unique<LowerStack>(std::move(opened.layers), true);
    TRY(OpenIndex());

    const LowerFound root = TRY(stack_->Root());
    TreeNode node = TRY(NodeOf(root));
    const UniqueFd fd =
        TRY(sys::Open(source_.directory.c_str(), O_RDONLY | O_DIRECTORY));
    node.opaque = TRY(ReadMarks({fd}, S_IFDIR, names_)).opaque;
    TRY(tree_.Put("", node));
    std::vector<Dir> dirs;
    dirs.push_back({TreeBuilder::kRoot, root.parts, /*whole=*/false});
    // A list, not a recursion: the tree may be deep.
    while (!dirs.empty()) {
      const Dir dir = std::move(dirs.back());
      dirs.pop_back();
      TRY(SealDir(dir, dirs));
    }
    if (!changed_.empty()) TRY(SealChangedLinks(root));
    return failed_;
  }

 private:
  struct Dir {
    TreeBuilder::NodeNo to;
    std::vector<LowerPart> parts;
    bool whole;  // all it shows, not only what the directory itself has
  };

  const Layer& top() const { return stack_->top_layer(); }
  // Whether that is of the directory.
  bool IsTop(uint32_t rank) const { return rank == stack_->top(); }

  Error At(const NodeRef& dir, const std::string& name, Error error) const {
    const std::string& label = dir.layer().label();
    // A layer that cannot open a file says which.
    if (error.context().starts_with("layer " + label + ": ")) return error;
    const std::string parent = dir.layer().PathOf(dir);
    return std::move(error).With(label + ": " + (parent == "/" ? "" : parent) +
                                 "/" + name);
  }

  // Ok: go on.
  Status Failed(Error error) {
    if (!source_.keep_going) return error;
    if (failed_.ok()) failed_ = std::move(error);
    return Ok();
  }

  Status SealDir(const Dir& dir, std::vector<Dir>& dirs) {
    std::set<std::string> seen;
    for (const LowerPart& part : dir.parts) {
      const auto entries = part.node.layer().List(part.node);
      if (!entries.ok()) {
        TRY(Failed(entries.error()));
        continue;
      }
      for (const LayerDirEntry& entry : *entries) {
        if (!seen.insert(entry.name).second) continue;
        const auto sealed = SealName(dir, entry, dirs);
        if (!sealed.ok())
          TRY(Failed(At(part.node, entry.name, sealed.error())));
      }
      if (!dir.whole) break;
    }
    return Ok();
  }

  Status SealName(const Dir& dir, const LayerDirEntry& entry,
                  std::vector<Dir>& dirs) {
    if (entry.whiteout)
      return dir.whole ? Ok() : tree_.WhiteoutAt(dir.to, entry.name);
    const Name name = Name::Trusted(entry.name);
    bool opaque = false, whole = dir.whole;
    if (IsTop(dir.parts[0].rank)) {
      const LayerEntry own =
          TRY(top().Lookup(dir.parts[0].node, name, /*more_below=*/true));
      if (own.partial && stack_->top() == 1) return OnlyPart();
      if ((own.metacopy || !own.redirect.empty()) && stack_->top() == 1)
        return Error(ENOENT,
                     "was moved, or has its contents, in a layer below; name "
                     "the layers");
      // What it merges with is elsewhere: bring it along.
      whole |= !own.redirect.empty() && S_ISDIR(own.attr.mode);
      opaque = own.opaque || (whole && !dir.whole);
    }
    const LowerFound found = TRY(stack_->Lookup(dir.parts, name));
    if (found.kind == LowerFound::Kind::kAbsent) return Ok();
    if (!source_.places.empty() && !dir.whole &&
        TRY(IsPlace(dir.parts, name, found)))
      return Ok();
    if (found.kind == LowerFound::Kind::kFile) {
      if (S_ISSOCK(found.attr.mode)) return LeaveOut(dir, name);
      return PutFile(dir.to, entry.name, found);
    }
    TreeNode node = TRY(NodeOf(found));
    node.opaque = opaque;
    const auto to = TRY(tree_.PutAt(dir.to, entry.name, node));
    dirs.push_back({to, found.parts, whole});
    return Ok();
  }

  // What the layers have under that name, the directory aside.
  Result<LowerFound> FindBelow(const std::vector<LowerPart>& parts, Name name) {
    if (parts.size() < 2) return LowerFound();
    return stack_->Lookup({parts.begin() + 1, parts.end()}, name);
  }

  static std::string PathOf(const NodeRef& dir, Name name) {
    const std::string parent = dir.layer().PathOf(dir);
    return (parent == "/" ? "" : parent) + "/" + name.str();
  }

  // See SealSource::places. They are few, and so is what they hold.
  Result<bool> IsPlace(const std::vector<LowerPart>& parts, Name name,
                       const LowerFound& found) {
    const Attr& attr = found.attr;
    const bool directory = S_ISDIR(attr.mode);
    if (!IsTop(parts[0].rank) || !IsTop(found.rank) ||
        !source_.places.contains(PathOf(parts[0].node, name)))
      return false;
    if (attr.uid != 0 || attr.gid != 0 ||
        (attr.mode & 07777) != (directory ? 0755 : 0644) ||
        (!directory && (!S_ISREG(attr.mode) || attr.size_bytes != 0 ||
                        attr.nlink != 1 || found.partial)))
      return false;
    const Layer& layer = found.node.layer();
    const std::string listed = TRY(layer.ListXattr(found.node));
    for (const std::string& xattr : XattrNames(listed))
      if (xattr != kSelinuxXattr) return false;
    if (TRY(FindBelow(parts, name)).kind != LowerFound::Kind::kAbsent)
      return false;
    if (!directory) return true;
    for (const LayerDirEntry& entry : TRY(layer.List(found.node))) {
      if (entry.whiteout) return false;
      const Name below = Name::Trusted(entry.name);
      const LowerFound inside = TRY(stack_->Lookup(found.parts, below));
      if (!TRY(IsPlace(found.parts, below, inside))) return false;
    }
    return true;
  }

  // A socket. What the layers have beneath it is not to show instead.
  Status LeaveOut(const Dir& dir, Name name) {
    if (source_.sockets != nullptr)
      source_.sockets->insert(PathOf(dir.parts[0].node, name));
    if (dir.whole) return Ok();
    const LowerFound below = TRY(FindBelow(dir.parts, name));
    const bool is_socket =
        below.kind == LowerFound::Kind::kFile && S_ISSOCK(below.attr.mode);
    if (below.kind == LowerFound::Kind::kAbsent || is_socket) return Ok();
    return tree_.WhiteoutAt(dir.to, name.str());
  }

  // What a file of the layers is by now, if the index has it.
  const LowerFound& Changed(const LowerFound& found) const {
    if (IsTop(found.rank)) return found;
    const auto changed = changed_.find(OriginalOf(found));
    return changed == changed_.end() ? found : changed->second;
  }

  Status PutFile(TreeBuilder::NodeNo dir, const std::string& name,
                 const LowerFound& original) {
    const LowerFound& found = Changed(original);
    // The index is part of the upper: its files are one with those there.
    const std::pair key{found.rank, found.attr.ino};
    if (found.attr.nlink > 1 || &found != &original) {
      if (const auto known = linked_.find(key); known != linked_.end())
        return tree_.LinkAt(dir, name, known->second);
    }
    const auto to = TRY(tree_.PutAt(dir, name, TRY(NodeOf(found))));
    linked_.emplace(key, to);
    if (IsTop(found.rank) || found.attr.nlink < 2) return Ok();
    // It comes along in a directory that was moved: so do its other names.
    const Original known = OriginalOf(found);
    changed_.emplace(known, found);
    numbers_.insert(known.second);
    return Ok();
  }

  Result<TreeNode> NodeOf(const LowerFound& found) {
    const Layer& layer = found.node.layer();
    const Attr& attr = found.attr;
    TreeNode node;
    // Over layers it shows what theirs is, which somebody did say.
    if (S_ISDIR(attr.mode) && stack_->top() == 1 && layer.Implied(found.node)) {
      node.mode = TreeBuilder::kImpliedMode;
      node.implied = true;
      return node;
    }
    node.mode = attr.mode;
    node.uid = attr.uid;
    node.gid = attr.gid;
    node.mtime_sec = attr.mtime.tv_sec;
    node.mtime_nsec = static_cast<uint32_t>(attr.mtime.tv_nsec);
    if (S_ISCHR(attr.mode) || S_ISBLK(attr.mode)) node.rdev = attr.rdev;
    if (S_ISLNK(attr.mode)) node.link_target = TRY(layer.ReadLink(found.node));
    const std::string listed = TRY(layer.ListXattr(found.node));
    for (const std::string& name : XattrNames(listed)) {
      // This host's policy gave it: elsewhere the same files have another.
      if (name == kSelinuxXattr) continue;
      auto value = layer.GetXattr(found.node, name.c_str());
      if (value.code() == ENODATA) continue;
      node.xattrs.emplace_back(name, TRY(value));
    }
    if (S_ISREG(attr.mode)) TRY(PutContents(found, node));
    return node;
  }

  Status PutContents(const LowerFound& found, TreeNode& node) {
    if (!found.data)
      return Error(ENOENT,
                   "its contents are in a layer that is not named; name it");
    if (found.partial && IsTop(found.rank)) return PutJoined(found, node);
    const Layer& layer = found.data.layer();
    if (const auto bytes = layer.InMemory(found.data)) {
      SetInline(node, std::string(*bytes));
      return Ok();
    }
    const UniqueFd fd = TRY(layer.Open(found.data));
    const timespec before = sys::CoarseNow();
    const struct statx stat = TRY(sys::Statx({fd}));
    const uint64_t size = stat.stx_size;
    // Of a metacopy, whose size the upper has.
    if (&layer != &found.node.layer() && size < found.attr.size_bytes)
      return Error(EIO, "its contents in " + layer.label() + ": " +
                            layer.PathOf(found.data) +
                            " are shorter than when it was changed; name the "
                            "layers it lay over");
    if (size <= kMaxInlineBytes) {
      std::string bytes(size, '\0');
      bytes.resize(TRY(sys::Pread(fd, bytes.data(), size, 0)));
      SetInline(node, std::move(bytes));
      return Ok();
    }
    SealedContents* const contents = source_.contents;
    if (contents != nullptr)
      if (const auto known = contents->Find(stat)) {
        node.size_bytes = size;
        node.content = *known;
        return Ok();
      }
    const auto put = TRY(objects_.PutFile(fd));
    if (contents != nullptr) contents->Add(before, stat, put.id);
    node.size_bytes = put.size_bytes;
    node.content = put.id;
    return Ok();
  }

  static Error OnlyPart() {
    return Error(ENOENT,
                 "only part of it was copied up; name the layers that have the "
                 "rest, or mount it and run 'ufs complete'");
  }

  // Its chunk map says which part of it is where.
  Status PutJoined(const LowerFound& found, TreeNode& node) {
    const UniqueFd part = TRY(found.data.layer().OpenPart(found.data));
    const timespec before = sys::CoarseNow();
    const struct statx stat = TRY(sys::Statx({part}));
    const uint64_t size = stat.stx_size;
    const Marks marks = TRY(ReadMarks({part}, S_IFREG, names_));
    const ChunkMap map = TRY(ChunkMap::Parse(marks.chunks, BootId(), size));
    if (!map.Whole() && !found.rest) return OnlyPart();
    if (size <= kMaxInlineBytes) {
      std::string bytes;
      TRY(ReadJoined(
          part, size, map, found.rest,
          [&](std::string_view data) {
            bytes += data;
            return Ok();
          },
          [&](uint64_t hole) {
            bytes.append(hole, '\0');
            return Ok();
          }));
      SetInline(node, std::move(bytes));
      return Ok();
    }
    ObjectWriter writer = objects_.NewWriter();
    TRY(ReadJoined(
        part, size, map, found.rest,
        [&](std::string_view data) { return writer.Append(data); },
        [&](uint64_t hole) { return writer.Hole(hole); }));
    const ObjectId id = TRY(writer.Finish());
    if (source_.contents != nullptr) source_.contents->Add(before, stat, id);
    node.size_bytes = size;
    node.content = id;
    return Ok();
  }

  static void SetInline(TreeNode& node, std::string bytes) {
    node.size_bytes = bytes.size();
    if (!bytes.empty()) node.content = std::move(bytes);
  }

  // --- changed hard links of the layers --------------------------------------

  Status OpenIndex() {
    if (source_.index.empty() || stack_->top() == 1) return Ok();
    index_ = TRY(HostLayer::OpenIndex(source_.index, fds_, names_));
    const LowerFound root = TRY(stack_->Root());
    const NodeRef dir = index_->Root();
    for (const LayerDirEntry& entry : TRY(index_->List(dir))) {
      const auto original = ParseIndexName(entry.name);
      if (!original || entry.whiteout) continue;
      const Name name = Name::Trusted(entry.name);
      LayerEntry own = TRY(index_->Lookup(dir, name, false));
      if (own.kind != LayerEntry::Kind::kEntry) continue;
      LowerFound found;
      found.kind = LowerFound::Kind::kFile;
      found.rank = stack_->top();
      found.node = own.node;
      found.attr = own.attr;
      found.partial = own.partial;
      if (!own.metacopy) found.data = own.node;
      if (own.redirect.starts_with('/') && (own.metacopy || own.partial))
        (own.partial ? found.rest : found.data) =
            TRY(Below().Follow({}, own.redirect)).data;
      changed_.emplace(Original{original->layer_tag, original->ino},
                       std::move(found));
      numbers_.insert(original->ino);
    }
    return Ok();
  }

  // The layers without the directory.
  const LowerStack& Below() {
    if (below_ == nullptr) {
      auto opened =
          OpenLayers(source_.layers, source_.open_sealed, fds_, names_);
      std::vector<std::unique_ptr<Layer>> layers;
      if (opened.ok()) layers = std::move(opened->layers);
      std::reverse(layers.begin(), layers.end());
      below_ = std::make_unique<LowerStack>(std::move(layers), true);
    }
    return *below_;
  }

  // The names that the layers still show of them.
  Status SealChangedLinks(const LowerFound& root) {
    std::vector<std::pair<std::string, std::vector<LowerPart>>> dirs = {
        {"", root.parts}};  // path and shares
    while (!dirs.empty()) {
      const auto dir = std::move(dirs.back());
      dirs.pop_back();
      std::set<std::string> seen;
      for (const LowerPart& part : dir.second)
        for (const LayerDirEntry& entry :
             TRY(part.node.layer().List(part.node))) {
          if (!seen.insert(entry.name).second || entry.whiteout) continue;
          const bool is_dir = S_ISDIR(entry.type);
          // A frozen upper lists numbers of its own.
          const bool may_be =
              part.node.layer().IsFrozenUpper() || numbers_.contains(entry.ino);
          if (!is_dir && (IsTop(part.rank) || !may_be)) continue;
          const LowerFound found =
              TRY(stack_->Lookup(dir.second, Name::Trusted(entry.name)));
          if (found.kind == LowerFound::Kind::kDirectory)
            dirs.emplace_back(
                dir.first.empty() ? entry.name : dir.first + "/" + entry.name,
                found.parts);
          else if (found.kind == LowerFound::Kind::kFile &&
                   !S_ISSOCK(found.attr.mode) && &Changed(found) != &found)
            TRY(PutFile(TRY(tree_.MakeDir(dir.first)), entry.name, found));
        }
    }
    return Ok();
  }

  const SealSource& source_;
  const MarkNames names_;
  FdCache fds_;
  TreeBuilder& tree_;
  ObjectStage& objects_;
  std::unique_ptr<LowerStack> stack_;
  std::unique_ptr<LowerStack> below_;
  std::unique_ptr<HostLayer> index_;
  std::map<Original, LowerFound> changed_;
  std::set<uint64_t> numbers_;                // of changed_
  using Key = std::pair<uint32_t, uint64_t>;  // layer, number
  std::map<Key, TreeBuilder::NodeNo> linked_;
  Status failed_;  // the first that was passed over
};

}  // namespace

Status SealDirectory(const SealSource& source, TreeBuilder& tree,
                     ObjectStage& objects) {
  return Sealer(source, tree, objects).Run();
}

}  // namespace ufs
