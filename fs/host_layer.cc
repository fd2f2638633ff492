#include "fs/host_layer.h"

#include <sys/stat.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <unordered_set>

#include "fs/name_set.h"
#include "fs/open_chain.h"

namespace ufs {
namespace {

Result<UniqueFd> OpenRoot(const std::string& path) {
  const auto context = "layer " + path;
  UniqueFd plain =
      TRY(sys::Open(path.c_str(), O_RDONLY | O_DIRECTORY).With(context));
  // A private clone of the mount leaves out what is mounted below, and is
  // read-only whatever we do by mistake. Without the privilege, the directory
  // itself serves.
  auto clone = sys::CloneMount(path.c_str(), /*read_only=*/true);
  return clone.ok() ? std::move(clone) : Result<UniqueFd>(std::move(plain));
}

mode_t TypeOfDirent(uint8_t type) { return DTTOIF(type); }

// Larger directories are asked name by name: a set of theirs is 4 MiB.
constexpr size_t kMaxSetNames = 1 << 20;

// How many bytes of a directory one lookup in vain pays for reading: that many
// cost about as much to read as the lookup did.
constexpr uint64_t kBytesPerMiss = 2048;

using NameSetPtr = std::unique_ptr<const NameSet>;

// Where the first letter of a name is; npos: nowhere.
size_t LetterIn(std::string_view name) {
  const auto letter = std::find_if(name.begin(), name.end(), [](char c) {
    return std::isalpha(static_cast<unsigned char>(c)) != 0;
  });
  return letter == name.end() ? name.npos : letter - name.begin();
}

// Whether a directory in which `name` is tells it from the same in other case.
// One that does not has names that no set of what it lists could know.
Result<bool> TellsCaseApart(BorrowedFd dir, std::string name) {
  const size_t letter = LetterIn(name);
  if (letter == name.npos) return false;
  name[letter] = static_cast<char>(name[letter] ^ 0x20);
  const auto stat = sys::Statx({dir, name.c_str()});
  if (stat.ok()) return false;
  if (stat.code() != ENOENT) return Error(stat.code());
  return true;
}

// The names of a directory as they are read.
class NameCollector {
 public:
  void Add(std::string_view name) {
    names_.Add(name);
    if (lettered_.empty() && LetterIn(name) != name.npos) lettered_ = name;
  }
  // Null where a set would say less than there is.
  Result<NameSetPtr> Finish(BorrowedFd dir) && {
    if (names_.size() > kMaxSetNames) return NameSetPtr();
    if (names_.size() > 0 && !TRY(TellsCaseApart(dir, lettered_)))
      return NameSetPtr();
    return std::make_unique<const NameSet>(std::move(names_).Build());
  }

 private:
  NameSet::Builder names_;
  std::string lettered_;  // one of them
};

}  // namespace

// One object: its name and its directory. Reference-counted; a child keeps its
// directory.
struct HostLayer::Node {
  mutable std::atomic<uint32_t> references{1};
  const uint16_t name_bytes;
  mutable std::atomic<bool> partial{false};  // Marks::partial
  mutable std::atomic<bool> implied{false};  // IsImplied
  // It was read again and had names that `names` denies.
  mutable std::atomic<bool> names_changed{false};
  // Of a directory: lookups in vain, and its names once they pay.
  mutable std::atomic<uint32_t> misses{0};
  mutable std::atomic<const NameSet*> names{nullptr};
  Node* const parent;  // null: the root
  const uint64_t fd_key;
  char name[];  // NUL-terminated

  static Node* Make(Node* parent, std::string_view name) {
    void* const memory = malloc(sizeof(Node) + name.size() + 1);
    if (memory == nullptr) throw std::bad_alloc();
    Node* const node = new (memory) Node(parent, name);
    if (parent != nullptr) parent->references.fetch_add(1);
    return node;
  }
  ~Node() { delete names.load(); }
  std::string_view view() const { return {name, name_bytes}; }

  const NameSet* known_names() const {
    return names_changed ? nullptr : names.load();
  }
  void Know(NameSetPtr set) const {
    const NameSet* none = nullptr;
    if (names.compare_exchange_strong(none, set.get())) (void)set.release();
  }

 private:
  Node(Node* parent, std::string_view text)
      : name_bytes(static_cast<uint16_t>(text.size())),
        parent(parent),
        fd_key(FdCache::NewKey()) {
    text.copy(name, text.size());
    name[text.size()] = '\0';
  }
};

Result<std::unique_ptr<HostLayer>> HostLayer::Open(const std::string& path,
                                                   FdCache& fds,
                                                   const MarkNames& names) {
  UniqueFd root = TRY(OpenRoot(path));
  std::unique_ptr<HostLayer> layer(
      new HostLayer(path, std::move(root), fds, names));
  const sys::At at{*layer->root_fd_};
  const auto stat = TRY(sys::Statx(at).With("layer " + path));
  layer->dev_major_ = stat.stx_dev_major;
  layer->dev_minor_ = stat.stx_dev_minor;
  layer->tag_ = LayerTag(stat);
  const Marks marks =
      TRY(ReadMarks(at, stat.stx_mode, names).With("layer " + path));
  layer->has_overrides_ = marks.override.has_value();
  layer->root_->implied = IsImplied(stat, marks);
  return layer;
}

Result<std::unique_ptr<HostLayer>> HostLayer::OpenUpper(
    const std::string& path, FdCache& fds, const MarkNames& names) {
  auto layer = TRY(Open(path, fds, names));
  // As its mount does: where it has marks, anybody may have written the file.
  const auto mark = sys::GetXattr({*layer->root_fd_}, names.redirect.c_str());
  layer->redirects_in_files_ = mark.code() == EOPNOTSUPP;
  return layer;
}

Result<std::unique_ptr<HostLayer>> HostLayer::OpenIndex(
    const std::string& path, FdCache& fds, const MarkNames& names) {
  auto index = TRY(Open(path, fds, names));
  index->frozen_ = std::make_unique<const Frozen>();
  return index;
}

Result<std::unique_ptr<HostLayer>> HostLayer::OpenFrozen(
    const std::string& path, FdCache& fds, const MarkNames& names) {
  const uint64_t tag = TRY(UpperTag(path + "/../.."));
  const std::string origin = path + "/" + kFrozenOrigin;
  const UniqueFd origins = TRY(
      sys::Open(origin.c_str(), O_RDONLY | O_DIRECTORY).With("layer " + path));
  Frozen frozen{TRY(ReadOrigins(origins).With("layer " + origin)),
                TRY(OpenIndex(path + "/" + kFrozenIndex, fds, names))};
  auto layer = TRY(OpenUpper(path + "/" + kFrozenTree, fds, names));
  layer->tag_ = frozen.index->tag_ = tag;
  layer->frozen_ = std::make_unique<const Frozen>(std::move(frozen));
  return layer;
}

HostLayer::HostLayer(std::string path, UniqueFd root, FdCache& fds,
                     const MarkNames& names)
    : path_(std::move(path)),
      fds_(fds),
      names_(names),
      root_fd_(std::make_shared<const UniqueFd>(std::move(root))),
      root_(Node::Make(nullptr, "")) {}

HostLayer::~HostLayer() { Release(reinterpret_cast<uint64_t>(root_)); }

HostLayer::Node* HostLayer::NodeOf(const NodeRef& ref) {
  return reinterpret_cast<Node*>(ref.id());
}

void HostLayer::Retain(uint64_t id) const {
  reinterpret_cast<Node*>(id)->references.fetch_add(1);
}

void HostLayer::Release(uint64_t id) const {
  // A loop, not a recursion: the tree may be deep.
  Node* node = reinterpret_cast<Node*>(id);
  while (node != nullptr && node->references.fetch_sub(1) == 1) {
    Node* const parent = node->parent;
    fds_.Erase(node->fd_key);
    node->~Node();
    free(node);
    node = parent;
  }
}

NodeRef HostLayer::Root() const {
  Retain(reinterpret_cast<uint64_t>(root_));
  return NodeRef(this, reinterpret_cast<uint64_t>(root_));
}

NodeRef HostLayer::MakeChild(const NodeRef& dir, Name name) const {
  return NodeRef(
      this, reinterpret_cast<uint64_t>(Node::Make(NodeOf(dir), name.view())));
}

Result<FdCache::Pin> HostLayer::DirFd(const Node* dir) const {
  if (dir->parent == nullptr) return root_fd_;
  if (auto pin = fds_.Find(dir->fd_key)) return pin;
  // Up to the nearest directory that is open, then down again.
  FdCache::Pin base;
  std::vector<std::string_view> names;
  for (const Node* node = dir; node != nullptr && base == nullptr;
       node = node->parent) {
    if (node->parent == nullptr)
      base = root_fd_;
    else if (node == dir || (base = fds_.Find(node->fd_key)) == nullptr)
      names.push_back(node->view());
  }
  std::reverse(names.begin(), names.end());
  auto fd = OpenChain(*base, names);
  if (fd.code() == EMFILE || fd.code() == ENFILE) {
    fds_.Shrink();
    fd = OpenChain(*base, names);
  }
  if (!fd.ok()) {
    // Its directories were there when it was looked up: somebody changed the
    // layer under the mount.
    const int code = fd.code();
    const bool changed = code == ENOENT || code == ENOTDIR || code == ELOOP;
    return Error(changed ? ESTALE : code,
                 "layer " + path_ + ": a directory cannot be opened" +
                     (changed ? "; the layer changed while mounted" : ""));
  }
  return fds_.Insert(dir->fd_key, std::move(fd).value());
}

Result<HostLayer::Place> HostLayer::PlaceOf(const NodeRef& ref) const {
  const Node* const node = NodeOf(ref);
  if (node->parent == nullptr) return Place{root_fd_, ""};
  return Place{TRY(DirFd(node->parent)), node->name};
}

Error HostLayer::Damaged(const NodeRef& dir, Name name, Error error) const {
  const std::string path = PathOf(dir);
  return std::move(error).With("layer " + path_ + ": " +
                               (path == "/" ? "" : path) + "/" + name.str());
}

Result<bool> HostLayer::HasAufsWhiteout(sys::At dir, Name name) const {
  const auto mark = AufsWhiteoutName(name);
  if (!mark) return false;
  const sys::At at{dir.dir, mark->c_str()};
  const auto stat = sys::Statx(at);
  if (stat.code() == ENOENT || stat.code() == ENAMETOOLONG) return false;
  if (!stat.ok()) return Error(stat.code());
  return S_ISREG(stat->stx_mode) &&
         IsAufsMark(*mark, *stat, TRY(ReadMarks(at, stat->stx_mode, names_)));
}

Result<LayerEntry> HostLayer::Lookup(const NodeRef& dir, Name name,
                                     bool more_below) const {
  const NameSet* const names = NodeOf(dir)->known_names();
  const bool marks_below =
      more_below && (names == nullptr || names->has_aufs());
  if (names != nullptr && !marks_below && !names->MayHave(name.view()))
    return LayerEntry();
  const FdCache::Pin fd = TRY(DirFd(NodeOf(dir)));
  const sys::At at{*fd, name.c_str()};
  const auto stat = sys::Statx(at);
  if (stat.ok()) {
    auto found = Found(dir, name, at, *stat);
    if (!found.ok()) return Damaged(dir, name, std::move(found).error());
    LayerEntry& entry = *found;
    // A whiteout beside a directory of the same layer cuts what is below it.
    if (marks_below && entry.kind == LayerEntry::Kind::kEntry &&
        S_ISDIR(entry.attr.mode) && !entry.opaque)
      entry.opaque = TRY(HasAufsWhiteout({*fd}, name));
    return found;
  }
  if (stat.code() != ENOENT && stat.code() != ENAMETOOLONG)
    return Damaged(dir, name, Error(stat.code()));
  LayerEntry entry;
  if (marks_below && TRY(HasAufsWhiteout({*fd}, name)))
    entry.kind = LayerEntry::Kind::kWhiteout;
  if (names == nullptr) CountMiss(NodeOf(dir), *fd);
  return entry;
}

// Reads the names of a directory when as much was spent on asking for those
// that it has not.
void HostLayer::CountMiss(const Node* dir, BorrowedFd path_fd) const {
  const uint64_t misses = dir->misses.fetch_add(1) + 1;
  if (misses < 2 || !std::has_single_bit(misses) || dir->names.load()) return;
  auto names = [&]() -> Result<NameSetPtr> {
    if (TRY(sys::Statx({path_fd})).stx_size > misses * kBytesPerMiss)
      return NameSetPtr();
    const UniqueFd fd =
        TRY(sys::OpenNoAtime({path_fd, "."}, O_RDONLY | O_DIRECTORY));
    NameCollector collector;
    TRY(sys::ForEachEntry(fd, [&](const char* name, uint8_t, uint64_t) {
      collector.Add(name);
      return true;
    }));
    return std::move(collector).Finish(fd);
  }();
  // Without them every name is asked for, as before.
  if (names.ok() && *names != nullptr) dir->Know(std::move(*names));
}

Result<LayerEntry> HostLayer::Found(const NodeRef& dir, Name name, sys::At at,
                                    const struct statx& stat) const {
  LayerEntry entry;
  entry.kind = LayerEntry::Kind::kWhiteout;
  if (IsCharWhiteout(stat)) return entry;
  const Marks marks = TRY(MarksOf(at, stat));
  if (marks.whiteout && stat.stx_size == 0) return entry;
  if (IsAufsMark(name.view(), stat, marks)) {
    // ".wh.foo" itself is not part of the tree.
    entry.kind = LayerEntry::Kind::kAbsent;
    return entry;
  }
  entry.kind = LayerEntry::Kind::kEntry;
  entry.node = MakeChild(dir, name);
  entry.attr = AttrIn(stat, marks);
  entry.partial = marks.partial() && S_ISREG(entry.attr.mode);
  entry.metacopy = marks.metacopy && !entry.partial && S_ISREG(entry.attr.mode);
  NodeOf(entry.node)->partial = entry.partial;
  NodeOf(entry.node)->implied = IsImplied(stat, marks);
  entry.redirect = marks.redirect;
  entry.opaque = marks.opaque;
  if (frozen_ != nullptr) {
    entry.origin = marks.origin;
    entry.indexed = marks.nlink.has_value();
  }
  if (S_ISDIR(stat.stx_mode) && !entry.opaque) {
    // Two components, but the first was just seen to be a directory.
    entry.opaque = TRY(HasAufsOpaque(at, names_));
  }
  if (S_ISDIR(stat.stx_mode) && redirects_in_files_ && !entry.opaque &&
      entry.redirect.empty())
    entry.redirect = TRY(ReadRedirectFile(at, names_));
  return entry;
}

Result<Marks> HostLayer::MarksOf(sys::At at, const struct statx& stat) const {
  if (frozen_ == nullptr || names_.trusted() ||
      CarriesUserXattrs(stat.stx_mode))
    return ReadMarks(at, stat.stx_mode, names_);
  Marks marks;
  if (const auto found = frozen_->origins.find(OriginKey(stat));
      found != frozen_->origins.end())
    marks.origin = found->second;
  return marks;
}

// As its upper showed it.
Attr HostLayer::FrozenAttr(const struct statx& stat, const Marks& marks) const {
  Attr attr =
      AttrOf(stat, has_overrides_ || S_ISREG(stat.stx_mode) ? marks.override
                                                            : std::nullopt);
  attr.shown_ids = marks.override.has_value();
  if (marks.origin) attr.btime = marks.origin->btime;
  if (marks.nlink) attr.nlink = static_cast<uint32_t>(*marks.nlink);
  TakeHeldTime(marks, attr);
  return attr;
}

Result<LayerEntry> HostLayer::Superseding(uint64_t layer_tag,
                                          uint64_t ino) const {
  if (frozen_ == nullptr || frozen_->index == nullptr) return LayerEntry();
  const std::string name = IndexNameOf(layer_tag, ino);
  return frozen_->index->Lookup(frozen_->index->Root(), Name::Trusted(name),
                                /*more_below=*/false);
}

Attr HostLayer::AttrIn(const struct statx& stat, const Marks& marks) const {
  if (frozen_ != nullptr) return FrozenAttr(stat, marks);
  Attr attr = AttrOf(stat, has_overrides_ ? marks.override : std::nullopt);
  attr.ino = InoIn(stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino);
  TakeHeldTime(marks, attr);
  return attr;
}

// Where another file system is mounted inside the layer, its numbers would
// collide with those of the layer.
uint64_t HostLayer::InoIn(uint32_t dev_major, uint32_t dev_minor,
                          uint64_t ino) const {
  if (dev_major == dev_major_ && dev_minor == dev_minor_) return ino;
  const uint64_t identity[] = {dev_major, dev_minor, ino};
  return XXH3_64bits(identity, sizeof(identity)) | (uint64_t{1} << 63);
}

Result<std::vector<LayerDirEntry>> HostLayer::List(const NodeRef& dir) const {
  const FdCache::Pin path_fd = TRY(DirFd(NodeOf(dir)));
  const UniqueFd fd =
      TRY(sys::OpenNoAtime({*path_fd, "."}, O_RDONLY | O_DIRECTORY)
              .With("layer " + path_ + ": " + PathOf(dir)));
  const auto dir_stat = TRY(sys::Statx({fd}));
  const Marks dir_marks = TRY(ReadMarks({fd}, S_IFDIR, names_));

  std::vector<LayerDirEntry> entries;
  std::vector<std::string> aufs;  // names that AUFS marks as deleted
  NameCollector names;
  const NameSet* const known = NodeOf(dir)->known_names();
  Status failed;
  const auto visit = [&](const char* text, uint8_t type,
                         uint64_t ino) -> Status {
    const Name name = Name::Trusted(text);
    LayerDirEntry entry{
        name.str(), TypeOfDirent(type),
        InoIn(dir_stat.stx_dev_major, dir_stat.stx_dev_minor, ino), false};
    const bool maybe_aufs = IsAufsMarkName(name.view());
    if (known == nullptr)
      names.Add(name.view());
    else if (!known->MayHave(name.view()))
      NodeOf(dir)->names_changed = true;
    // getdents tells all there is to know but for these few.
    const bool maybe_xattr =
        type == DT_REG && (dir_marks.xwhiteouts || dir_marks.opaque);
    const bool tells_all =
        type != DT_UNKNOWN && type != DT_CHR && !maybe_aufs && !has_overrides_;
    if (!tells_all || maybe_xattr) {
      const sys::At at{fd, text};
      const auto stat = TRY(sys::Statx(at));
      if (tells_all && stat.stx_size > 0) {  // a whiteout is empty
        entries.push_back(std::move(entry));
        return Ok();
      }
      const Marks marks = TRY(MarksOf(at, stat));
      entry.type = AttrIn(stat, marks).mode & S_IFMT;
      entry.whiteout =
          IsCharWhiteout(stat) || (marks.whiteout && stat.stx_size == 0);
      if (IsAufsMark(name.view(), stat, marks)) {
        std::string hides = name.str().substr(kAufsWhiteoutPrefix.size());
        if (S_ISREG(stat.stx_mode) &&
            AufsWhiteoutName(Name::Trusted(hides)).has_value())
          aufs.push_back(std::move(hides));
        return Ok();
      }
    }
    entries.push_back(std::move(entry));
    return Ok();
  };
  TRY(sys::ForEachEntry(fd, [&](const char* name, uint8_t type, uint64_t ino) {
    failed = visit(name, type, ino);
    return failed.ok();
  }));
  if (!failed.ok())
    return std::move(failed).error().With("layer " + path_ + ": " +
                                          PathOf(dir));
  if (known == nullptr)
    if (auto set = std::move(names).Finish(fd); set.ok() && *set != nullptr)
      NodeOf(dir)->Know(std::move(*set));
  if (!aufs.empty()) {
    std::unordered_set<std::string_view> present;
    for (const auto& entry : entries) present.insert(entry.name);
    std::erase_if(aufs, [&](const auto& name) { return present.count(name); });
    for (auto& name : aufs) entries.push_back({std::move(name), 0, 0, true});
  }
  return entries;
}

Result<Attr> HostLayer::GetAttr(const NodeRef& node) const {
  const Place place = TRY(PlaceOf(node));
  const auto stat =
      TRY(sys::Statx(place.at()).With("layer " + path_ + ": " + PathOf(node)));
  Marks marks;
  if (has_overrides_ || frozen_ != nullptr)
    marks = TRY(MarksOf(place.at(), stat));
  return AttrIn(stat, marks);
}

bool HostLayer::Implied(const NodeRef& dir) const {
  return NodeOf(dir)->implied;
}

Result<UniqueFd> HostLayer::Open(const NodeRef& file) const {
  if (NodeOf(file)->partial)
    return Error(EIO, "layer " + path_ + ": " + PathOf(file) +
                          ": only part of it was copied up; run `ufs "
                          "complete` where it is mounted as an upper");
  return OpenPart(file);
}

Result<UniqueFd> HostLayer::OpenPart(const NodeRef& file) const {
  const Place place = TRY(PlaceOf(file));
  auto fd = sys::OpenNoAtime(place.at(), O_RDONLY | O_NONBLOCK);
  if (fd.code() == EMFILE || fd.code() == ENFILE) {
    fds_.Shrink();
    fd = sys::OpenNoAtime(place.at(), O_RDONLY | O_NONBLOCK);
  }
  return std::move(fd).With("layer " + path_ + ": " + PathOf(file));
}

std::string HostLayer::ContentsName(const NodeRef& file) const {
  return ContentsPrefix() + PathOf(file);
}

Result<UniqueFd> HostLayer::OpenContents(std::string_view name) const {
  const std::string prefix = ContentsPrefix() + "/";
  if (!name.starts_with(prefix)) return Error(ENOENT);
  const std::string path(name.substr(prefix.size()));
  const UniqueFd place = TRY(
      sys::OpenAt2(*root_fd_, path.c_str(), O_PATH | O_NOFOLLOW,
                   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV));
  // A device could do something as it is opened.
  if (!S_ISREG(TRY(sys::Statx({place})).stx_mode)) return Error(ENOENT);
  return sys::Reopen(place, O_RDONLY);
}

std::string HostLayer::ContentsPrefix() const {
  char tag[20];
  const int size = snprintf(tag, sizeof(tag),
                            "%llx:", static_cast<unsigned long long>(tag_));
  return std::string(tag, size);
}

Result<std::string> HostLayer::ReadLink(const NodeRef& link) const {
  const Place place = TRY(PlaceOf(link));
  auto target = sys::ReadLinkAt(place.at());
  const bool may_stand_in = has_overrides_ || frozen_ != nullptr;
  if (target.code() != EINVAL || !may_stand_in) return target;
  // A regular file that stands for a link, by its override.
  const UniqueFd fd = TRY(sys::OpenNoAtime(place.at(), O_RDONLY));
  std::string text(PATH_MAX, '\0');
  text.resize(TRY(sys::Pread(fd, text.data(), text.size(), 0)));
  return text;
}

Result<std::string> HostLayer::GetXattr(const NodeRef& node,
                                        const char* name) const {
  const Place place = TRY(PlaceOf(node));
  return GetShownXattr(place.at(), name, names_);
}

Result<std::string> HostLayer::ListXattr(const NodeRef& node) const {
  const Place place = TRY(PlaceOf(node));
  return ListShownXattrs(place.at(), names_);
}

std::string HostLayer::PathOf(const NodeRef& ref) const {
  std::vector<std::string_view> names;
  for (const Node* node = NodeOf(ref); node->parent != nullptr;
       node = node->parent)
    names.push_back(node->view());
  if (names.empty()) return "/";
  std::string path;
  for (auto name = names.rbegin(); name != names.rend(); ++name)
    path.append("/").append(*name);
  return path;
}

}  // namespace ufs
