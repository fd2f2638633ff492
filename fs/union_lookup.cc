// Finding: names, attributes, links and directories.
#include <malloc.h>
#include <sys/stat.h>
#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "fs/open_chain.h"
#include "fs/union_fs.h"
#include "layerdb/base/log.h"

namespace ufs {
namespace {

constexpr const char* kMissingLayer =
    "; mount the layers that it was made over, in their order";

// So many names of a directory are listed with what they are, and those after
// them while somebody looks at what was listed: who wants no more than a
// hundred thousand names shall not wait for as many inodes.
constexpr size_t kListedWithAttrs = 2048;

}  // namespace

Result<InodeRef> UnionFs::Get(NodeId node) const {
  InodeRef inode = table_.Find(node);
  if (inode == nullptr) return Error(ESTALE);
  return inode;
}

Result<InodeRef> UnionFs::GetDir(NodeId node) const {
  InodeRef inode = TRY(Get(node));
  if (!inode->is_dir()) return Error(ENOTDIR);
  return inode;
}

// --- places ----------------------------------------------------------------

Result<FdCache::Pin> UnionFs::UpperFd(const InodeRef& dir) {
  if (dir->id == NodeId::kRoot) return upper_->root_pin();
  if (auto pin = fds_.Find(dir->fd_key())) return pin;
  // A directory on the way may be renamed meanwhile.
  if (auto found = FindUpper(dir); found.code() != ESTALE) return found;
  WriterLock lock(moves_mu_);
  return FindUpper(dir);
}

// By the way down from the nearest directory that is open. The number at its
// end tells whether it is the right one; ESTALE if not.
Result<FdCache::Pin> UnionFs::FindUpper(const InodeRef& dir) {
  FdCache::Pin base;
  std::vector<std::string> names;
  const auto place = table_.PlaceOf(dir);
  if (place.ok() && place->orphan != nullptr) return place->orphan;
  TRY(table_.Ancestry(
      dir,
      [&](const Inode& at) {
        return at.id != dir->id && (base = fds_.Find(at.fd_key())) != nullptr;
      },
      names));
  if (base == nullptr) base = upper_->root_pin();
  const std::vector<std::string_view> down(names.rbegin(), names.rend());
  auto fd = OpenChain(*base, down);
  if (fd.code() == EMFILE || fd.code() == ENFILE) {
    fds_.Shrink();
    fd = OpenChain(*base, down);
  }
  const bool other_object =
      fd.ok() && TRY(sys::Statx({*fd})).stx_ino != table_.UpperIno(dir);
  if (other_object || fd.code() == ENOENT || fd.code() == ENOTDIR ||
      fd.code() == ELOOP)
    return Error(ESTALE, "upper " + upper_->path() +
                             ": a directory is not where it was; was the "
                             "upper changed from outside?");
  return fds_.Insert(dir->fd_key(), TRY(fd));
}

Result<UnionFs::Place> UnionFs::UpperPlace(const InodeRef& inode) {
  if (inode->id == NodeId::kRoot) return Place{upper_->root_pin(), ""};
  auto place = TRY(table_.PlaceOf(inode));
  if (place.orphan != nullptr) return Place{std::move(place.orphan), ""};
  if (!place.index_name.empty())
    return Place{upper_->index_pin(), std::move(place.index_name)};
  return Place{TRY(UpperFd(place.parent)), std::move(place.name)};
}

// --- what a name is --------------------------------------------------------

// REQUIRES: dir->mu held.
Result<UnionFs::Child> UnionFs::Probe(const InodeRef& dir, Name name) {
  Child child;
  if (dir->in_upper()) {
    const FdCache::Pin fd = TRY(UpperFd(dir));
    const sys::At at{*fd, name.c_str()};
    const auto stat = upper_->StatOf(at);
    if (stat.ok()) {
      child.hidden = TRY(upper_->IsHidden(*fd, name, &*stat));
      if (child.hidden != UpperDir::Hidden::kNo) return child;
      child.upper = UpperDir::Looked{*stat, {}};
      child.upper->marks = TRY(upper_->MarksOf(at, *stat).With(
          "upper " + upper_->path() + ": " + name.str()));
      TRY(ProbeBelowUpper(dir, name, *fd, child));
      return child;
    }
    if (stat.code() == ENAMETOOLONG) return Error(ENAMETOOLONG);
    if (stat.code() != ENOENT) return Error(stat.code());
    if (!dir->parts().empty()) {
      child.hidden = TRY(HiddenByName(dir, *fd, name));
      if (child.hidden != UpperDir::Hidden::kNo) return child;
    }
  }
  if (!dir->parts().empty())
    child.lower = TRY(lowers_->Lookup(dir->parts(), name));
  if (child.lower.kind == LowerFound::Kind::kFile && !child.lower.data &&
      S_ISREG(child.lower.attr.mode))
    return Error(EIO, child.lower.node.layer().PathOf(child.lower.node) +
                          ": a layer holds its attributes, none its contents" +
                          kMissingLayer);
  return child;
}

Result<UpperDir::Hidden> UnionFs::HiddenByName(const InodeRef& dir,
                                               BorrowedFd fd, Name name) {
  if (dir->no_aufs) return UpperDir::Hidden::kNo;
  return upper_->IsHidden(fd, name, nullptr);
}

uint64_t UnionFs::AbsenceOf(const InodeRef& dir, Name name) {
  // Never 0, which is no absence at all.
  return XXH3_64bits_withSeed(name.c_str(), name.view().size(),
                              dir->version.load()) |
         1;
}

// What the layers add to an object of the upper.
Status UnionFs::ProbeBelowUpper(const InodeRef& dir, Name name, BorrowedFd fd,
                                Child& child) {
  Marks& marks = child.upper->marks;
  const mode_t mode = child.upper->stat.stx_mode;
  // ".wh.NAME" of the AUFS form is a mark, not a file; nor may it be replaced.
  if (IsAufsMark(name.view(), child.upper->stat, marks)) {
    child.upper.reset();
    child.hidden = UpperDir::Hidden::kMark;
    return Ok();
  }
  const bool is_dir = S_ISDIR(mode);
  if (!is_dir && !marks.metacopy) return Ok();
  if (is_dir && marks.redirect.empty())
    marks.redirect =
        TRY(upper_->RedirectInFile({fd, name.c_str()})
                .With("upper " + upper_->path() + ": " + name.str()));
  if (dir->parts().empty() && marks.redirect.empty()) {
    if (marks.metacopy)
      return Error(EIO, "upper " + upper_->path() + ": " + name.str() +
                            ": its contents are in no layer" + kMissingLayer);
    return Ok();
  }
  if (is_dir && marks.opaque) return Ok();
  if (is_dir) {
    if (TRY(upper_->HasAufsOpaque({fd, name.c_str()}))) return Ok();
    const auto beside = TRY(HiddenByName(dir, fd, name));
    if (beside != UpperDir::Hidden::kNo) return Ok();
  }
  if (marks.redirect.empty()) {
    child.lower = TRY(lowers_->Lookup(dir->parts(), name));
  } else if (config_.redirect_dir != RedirectDir::kNoFollow) {
    child.lower = TRY(lowers_->Follow(dir->parts(), marks.redirect));
  }
  if (is_dir) {
    if (child.lower.kind == LowerFound::Kind::kFile) child.lower = LowerFound();
  } else if (child.lower.kind != LowerFound::Kind::kFile || !child.lower.data) {
    return Error(EIO, "upper " + upper_->path() + ": " + name.str() +
                          ": its contents are in no layer" +
                          (marks.redirect.empty()
                               ? std::string()
                               : " (redirect " + marks.redirect + ")") +
                          kMissingLayer);
  }
  return Ok();
}

Identity UnionFs::LowerIdentity(const LowerFound& lower) const {
  if (lower.node.layer().IsFrozenUpper()) {
    if (lower.origin)
      if (const auto known = IdentityOf(*lower.origin)) return *known;
    return {0, lower.attr.ino};
  }
  return {lower.rank, lower.attr.ino};
}

std::optional<Identity> UnionFs::IdentityOf(const Origin& origin) const {
  if (upper_tag_ != 0 && origin.layer_tag == upper_tag_)
    return Identity{0, origin.ino};
  const auto layer = layer_by_tag_.find(origin.layer_tag);
  if (layer == layer_by_tag_.end()) return std::nullopt;
  return Identity{layer->second, origin.ino};
}

std::optional<Identity> UnionFs::OriginIdentity(const Marks& marks) const {
  return marks.origin ? IdentityOf(*marks.origin) : std::nullopt;
}

std::string UnionFs::LowerPathOf(const Inode& inode) const {
  if (inode.lower_alias != nullptr) return *inode.lower_alias;
  return inode.lower.layer().PathOf(inode.lower);
}

std::string UnionFs::AliasOf(const Inode& dir, Name name,
                             const std::string& redirect) const {
  if (redirect.starts_with('/')) return redirect;
  const std::string above = dir.lower ? LowerPathOf(dir) : std::string("/");
  return (above == "/" ? "" : above) + "/" +
         (redirect.empty() ? name.str() : redirect);
}

// REQUIRES: dir->mu held, child.exists().
Result<InodeRef> UnionFs::Adopt(const InodeRef& dir, Name name, Child& child) {
  if ((lowers_->saw_redirect() || child.lower.superseded) && child.lower.node)
    child.lower_alias = AliasOf(
        *dir, name, child.upper ? child.upper->marks.redirect : std::string());
  InodeRef inode =
      child.upper ? TRY(AdoptUpper(name, child)) : TRY(AdoptLower(child));
  table_.AddName(inode, dir, name.view());
  if (inode->hard_linked && !child.upper && inode->in_upper())
    table_.NoteNameLeft(inode, dir, name.view());
  if (inode->backing() == Backing::kPartial) NotePartial(inode);
  return inode;
}

// Where the contents of an object of the upper are.
Status UnionFs::BackingFromMarks(const Marks& marks, const struct statx& stat,
                                 InodeTable::Birth& birth) {
  birth.backing = Backing::kUpper;
  if (!marks.metacopy) return Ok();
  birth.backing = Backing::kMetacopy;
  // Less than the layer has where a truncation was under way when the daemon
  // was killed; more where the layer is not what it was.
  birth.lower_size_bytes = stat.stx_size;
  if (!marks.partial()) return Ok();
  birth.backing = Backing::kPartial;
  birth.chunks = TRY(ChunkMap::Parse(marks.chunks, BootId(), stat.stx_size));
  birth.marks_lag = marks.held_time.has_value() || birth.chunks->was_long();
  return Ok();
}

Result<InodeRef> UnionFs::AdoptUpper(Name name, const Child& child) {
  const struct statx& stat = child.upper->stat;
  const Marks& marks = child.upper->marks;
  const mode_t type = upper_->Shown(stat, marks).mode & S_IFMT;
  if (InodeRef known = table_.FindByUpper(stat.stx_ino);
      known != nullptr && known->type == type)
    return known;
  InodeTable::Birth birth;
  birth.type = type;
  birth.upper_ino = stat.stx_ino;
  birth.identity = {0, stat.stx_ino};
  const bool has_lower = child.lower.kind != LowerFound::Kind::kAbsent;
  if (const auto origin = OriginIdentity(marks)) {
    birth.identity = *origin;
    birth.origin_btime = marks.origin->btime;
    if (marks.nlink && InIndex(IndexNameOf(*origin)))
      birth.index_name = IndexNameOf(*origin);
    // Found by a name of the upper's, it has others in the layers all the same.
    birth.hard_linked = !birth.index_name.empty();
  } else if (has_lower) {
    birth.identity = LowerIdentity(child.lower);
  }
  if (has_lower) {
    birth.lower = child.lower.node;
    birth.data = child.lower.data;
    birth.lower_size_bytes = child.lower.attr.size_bytes;
    birth.parts = child.lower.parts;
    birth.lower_alias = child.lower_alias;
  }
  TRY(BackingFromMarks(marks, stat, birth)
          .With("upper " + upper_->path() + ": " + name.str()));
  birth.impure = marks.impure;
  birth.keeps_names = IsFixed(stat);
  birth.has_default_acl = marks.has_default_acl;
  return table_.Intern(std::move(birth));
}

Result<InodeRef> UnionFs::AdoptLower(const Child& child) {
  const LowerFound& lower = child.lower;
  InodeTable::Birth birth;
  birth.lower_alias = child.lower_alias;
  birth.type = lower.attr.mode & S_IFMT;
  birth.identity = LowerIdentity(lower);
  birth.lower = lower.node;
  birth.data = lower.data;
  birth.lower_size_bytes = lower.attr.size_bytes;
  birth.parts = lower.parts;
  birth.hard_linked = HasOtherNames(lower);
  // Another name of it may have brought it up already.
  const std::string index_name =
      birth.hard_linked ? IndexNameOf(birth.identity) : std::string();
  if (birth.hard_linked && InIndex(index_name)) {
    if (InodeRef known = table_.FindByIdentity(birth.identity)) return known;
    const auto looked =
        TRY(upper_->Look({*upper_->index_pin(), index_name.c_str()}));
    TRY(BackingFromMarks(looked.marks, looked.stat, birth));
    birth.upper_ino = looked.stat.stx_ino;
    birth.index_name = index_name;
    if (looked.marks.origin) birth.origin_btime = looked.marks.origin->btime;
  }
  return table_.Intern(std::move(birth));
}

Result<InodeRef> UnionFs::Resolve(const InodeRef& dir, Name name) {
  ReaderLock lock(dir->mu);
  Child child = TRY(Probe(dir, name));
  if (!child.exists()) return InodeRef();
  return Adopt(dir, name, child);
}

Entry UnionFs::MakeEntry(const InodeRef& inode, const Attr& attr) {
  table_.AddLookup(inode);
  return {inode->id, attr};
}

Result<std::optional<Entry>> UnionFs::Lookup(NodeId parent, Name name) {
  const InodeRef dir = TRY(GetDir(parent));
  // One that is lost to another thread, or beyond its limit, is no matter.
  if (const uint8_t looks = dir->looked_into; looks < UINT8_MAX)
    dir->looked_into = looks + 1;
  return LookupIn(dir, name);
}

Result<std::optional<Entry>> UnionFs::LookupIn(const InodeRef& dir, Name name) {
  InodeRef inode;
  Child child;
  {
    ReaderLock lock(dir->mu);
    child = TRY(Probe(dir, name));
    if (!child.exists()) {
      if (child.hidden == UpperDir::Hidden::kNo)
        dir->absent = AbsenceOf(dir, name);
      return std::optional<Entry>();
    }
    inode = TRY(Adopt(dir, name, child));
  }
  ReaderLock lock(inode->mu);
  // What was just read serves, unless the inode has moved up since, or is one
  // that was known by another name.
  Attr attr;
  if (child.upper && inode->in_upper())
    attr = TRY(Compose(inode, *child.upper));
  else if (!child.upper && !inode->in_upper())
    attr = ShowLower(child.lower.attr);
  else
    attr = TRY(AttrLocked(inode));
  attr.ino = inode->ino();
  if (inode->is_dir() && !inode->in_upper() && inode->parts().size() > 1)
    attr.nlink = 1;
  return std::optional(MakeEntry(inode, attr));
}

void UnionFs::Forget(NodeId node, uint64_t lookups) {
  if (!table_.Forget(node, lookups)) return;
  listings_.Erase(node);
  forgotten_.fetch_add(1, std::memory_order_relaxed);
}

void UnionFs::TrimMemory() {
  // A walk through all that is free costs the more the more is left. But few
  // may hold much: each keeps the page it stands on.
  constexpr size_t kWorthTrimming = 64, kShare = 8;
  if (forgotten_ < std::max(kWorthTrimming, table_.size() / kShare)) return;
  forgotten_ = 0;
  table_.Shrink();
  // malloc keeps what is freed between live objects, and that is most of it.
  malloc_trim(0);
}

// --- attributes ------------------------------------------------------------

Attr UnionFs::ShowLower(Attr attr) const {
  if (!attr.shown_ids) {
    attr.uid = config_.uid_map.ToShown(attr.uid);
    attr.gid = config_.gid_map.ToShown(attr.gid);
  }
  attr.uid = config_.squash_uid.value_or(attr.uid);
  attr.gid = config_.squash_gid.value_or(attr.gid);
  return attr;
}

Result<Attr> UnionFs::LowerAttr(const InodeRef& inode) const {
  return ShowLower(TRY(inode->lower.layer().GetAttr(inode->lower)));
}

// The upper's answer, as the attributes of an object that may have come from a
// layer.
Result<Attr> UnionFs::Compose(const InodeRef& inode,
                              const UpperDir::Looked& looked) {
  Attr attr = upper_->Shown(looked.stat, looked.marks);
  attr.ino = inode->ino();
  attr.times_move = inode->times_move;
  if (inode->came_from_layer()) attr.btime = *inode->times->origin_btime;
  // As overlayfs: the names of a merged directory are not counted. A removed
  // one has none.
  if (inode->is_dir() && !inode->parts().empty() && attr.nlink != 0)
    attr.nlink = 1;
  if (looked.marks.nlink)
    attr.nlink = static_cast<uint32_t>(*looked.marks.nlink);
  // What a copy of it would take, near enough.
  if (inode->is_split() && !(inode->chunks && inode->chunks->Whole()))
    attr.blocks = std::max(
        attr.blocks, TRY(inode->data.layer().GetAttr(inode->data)).blocks);
  return attr;
}

Result<Attr> UnionFs::AttrLocked(const InodeRef& inode) {
  if (inode->in_upper()) {
    const Place place = TRY(UpperPlace(inode));
    if (inode->silent.On(SilentXattrs::kAttributes))
      return Compose(inode, {TRY(upper_->StatOf(place.at())), {}});
    const uint64_t set_before = sys::XattrsSet();
    const auto looked = TRY(upper_->Look(place.at()));
    if (upper_->has_xattrs() && (inode->is_regular() || inode->is_dir()))
      inode->silent.Note(looked.marks, set_before);
    return Compose(inode, looked);
  }
  Attr attr = TRY(LowerAttr(inode));
  attr.ino = inode->ino();
  if (inode->is_dir() && inode->parts().size() > 1) attr.nlink = 1;
  // Deleted in the union; the layer does not know. One with several names comes
  // up before it loses one, so what has none here has others.
  if (inode->id != NodeId::kRoot && !inode->hard_linked &&
      !table_.NameOf(inode)) {
    attr.nlink = 0;
    attr.ctime = table_.RemovedAt(inode).value_or(attr.ctime);
  }
  return attr;
}

Result<Attr> UnionFs::GetAttr(NodeId node) {
  const InodeRef inode = TRY(Get(node));
  ReaderLock lock(inode->mu);
  return AttrLocked(inode);
}

Result<std::string> UnionFs::ReadLink(NodeId node) {
  const InodeRef inode = TRY(Get(node));
  if (!S_ISLNK(inode->type)) return Error(EINVAL);
  ReaderLock lock(inode->mu);
  if (!inode->in_upper()) return inode->lower.layer().ReadLink(inode->lower);
  const Place place = TRY(UpperPlace(inode));
  return upper_->ReadLink(place.at());
}

// --- directories -----------------------------------------------------------

// Names of the upper part; `seen` learns which names the layers may not add.
Status UnionFs::UpperNames(const InodeRef& dir,
                           std::unordered_map<std::string, bool>& seen,
                           std::vector<Listing::Source>& names) {
  const FdCache::Pin path_fd = TRY(UpperFd(dir));
  const UniqueFd fd = TRY(upper_->OpenDir(*path_fd));
  const Marks dir_marks = TRY(upper_->Look({fd})).marks;
  // Entries that came from a layer keep that identity; all others are the
  // upper's own.
  const bool own_numbers = dir->parts().empty() && !dir->impure;
  bool aufs = false;
  const auto visit = [&](const char* text, uint8_t type,
                         uint64_t ino) -> Status {
    const Name name = Name::Trusted(text);
    if (upper_->IsOurWhiteout(ino)) {
      seen.emplace(name.str(), true);
      return Ok();
    }
    aufs = aufs || IsAufsMarkName(name.view());
    Listing::Source source{name.str(), static_cast<mode_t>(DTTOIF(type)),
                           own_numbers ? InoOf({0, ino}) : 0};
    // An opaque directory needs none, but something may be on its way there,
    // in exchange for one, as the daemon is killed.
    const bool may_be_whiteout =
        dir_marks.xwhiteouts ||
        (dir_marks.opaque && upper_->whiteout_form() == WhiteoutForm::kXattr);
    const bool look =
        type == DT_UNKNOWN || type == DT_CHR || IsAufsMarkName(name.view()) ||
        (type == DT_REG && (may_be_whiteout || upper_->overrides_owner()));
    if (look) {
      const auto looked = upper_->Look({fd, text});
      if (looked.code() == ENOENT) return Ok();  // deleted meanwhile
      if (!looked.ok()) return looked.error();
      const bool empty_file =
          S_ISREG(looked->stat.stx_mode) && looked->stat.stx_size == 0;
      if (IsCharWhiteout(looked->stat) ||
          (empty_file && looked->marks.whiteout)) {
        seen.emplace(name.str(), true);
        return Ok();
      }
      if (IsAufsMark(name.view(), looked->stat, looked->marks)) {
        seen.emplace(name.str().substr(kAufsWhiteoutPrefix.size()), true);
        return Ok();
      }
      source.type = upper_->Shown(looked->stat, looked->marks).mode & S_IFMT;
    }
    names.push_back(std::move(source));
    return Ok();
  };
  Status failed;
  TRY(sys::ForEachEntry(fd, [&](const char* name, uint8_t type, uint64_t ino) {
    failed = visit(name, type, ino);
    return failed.ok();
  }));
  if (failed.ok() && !aufs && upper_->whiteout_form() != WhiteoutForm::kAufs)
    dir->no_aufs = true;
  for (const auto& source : names) seen.emplace(source.name, true);
  return failed;
}

// Every name the union shows in a directory.
Result<std::vector<Listing::Source>> UnionFs::Names(const InodeRef& dir) {
  std::unordered_map<std::string, bool> seen;
  std::vector<Listing::Source> names;
  if (dir->in_upper()) TRY(UpperNames(dir, seen, names));
  for (const LowerPart& part : dir->parts()) {
    const Layer& layer = part.node.layer();
    // What it lists may have come from a layer: a look at it tells.
    const bool own_numbers = !layer.IsFrozenUpper();
    const bool last = &part == &dir->parts().back();
    for (LayerDirEntry& entry : TRY(layer.List(part.node))) {
      // Alone, a layer's names are distinct already.
      if ((seen.empty() && last) || seen.emplace(entry.name, true).second) {
        if (!entry.whiteout)
          names.push_back({std::move(entry.name), entry.type,
                           own_numbers ? InoOf({part.rank, entry.ino}) : 0});
      }
    }
  }
  return names;
}

Result<std::shared_ptr<const Listing>> UnionFs::ListingOf(const InodeRef& dir) {
  auto cached = listings_.Find(dir->id);
  // POSIX would let a reader that is under way go on with an older listing. The
  // kernel would not: it may keep one reader's answer as the end of another's,
  // who began later and has seen the directory's newer version. Offsets stay
  // good over any change.
  if (cached.listing != nullptr && cached.version == dir->version) {
    ++listing_hits_;
    return cached.listing;
  }
  ++listing_misses_;
  ReaderLock lock(dir->mu);
  ListingCache::Entry made;
  made.version = dir->version;
  made.listing = std::make_shared<const Listing>(TRY(Names(dir)));
  listings_.Insert(dir->id, made);
  return made.listing;
}

Status UnionFs::AddEntry(const InodeRef& dir, const Listing& listing,
                         const Listing::Item& item, bool plus, DirSink& sink,
                         bool& full) {
  const Name name = Name::Trusted(listing.name(item));
  if (plus) {
    auto entry = LookupIn(dir, name);
    if (entry.ok() && !entry->has_value()) return Ok();  // deleted meanwhile
    if (entry.ok()) {
      const Entry& found = **entry;
      full = !sink.Add(name.c_str(), found.attr.ino, found.attr.mode,
                       item.offset, &found);
      if (full) Forget(found.node, 1);
      return Ok();
    }
    // A damaged entry is listed by name; a look at it tells what is wrong.
    log::Warn(name.str() + ": " + entry.error().ToString());
  }
  uint64_t ino = item.ino;
  if (ino == 0) {
    const auto inode = Resolve(dir, name);
    if (inode.ok() && *inode == nullptr) return Ok();
    ino = inode.ok() ? (*inode)->ino() : uint64_t{1};
  }
  full = !sink.Add(name.c_str(), ino, item.type, item.offset, nullptr);
  return Ok();
}

bool UnionFs::TakeNamesChanged(NodeId node) {
  const auto dir = Get(node);
  return dir.ok() && (*dir)->names_changed.exchange(false);
}

Status UnionFs::ReadDir(NodeId node, uint64_t offset, bool plus,
                        DirSink& sink) {
  const InodeRef dir = TRY(GetDir(node));
  if (offset < 1 && !sink.Add(".", dir->ino(), S_IFDIR, 1, nullptr))
    return Ok();
  if (offset < 2) {
    const auto name = table_.NameOf(dir);
    const uint64_t above = name ? name->parent->ino() : dir->ino();
    if (!sink.Add("..", above, S_IFDIR, 2, nullptr)) return Ok();
  }
  const auto listing = TRY(ListingOf(dir));
  const size_t begin = listing->After(offset);
  // One look may be anybody's. They grow old by the answers.
  const uint8_t looks = begin == 0 ? 0 : dir->looked_into.load();
  dir->looked_into = looks - (looks + 15) / 16;
  bool full = false;
  for (size_t i = begin; i < listing->items().size() && !full; ++i) {
    const bool wanted = plus && (i < kListedWithAttrs || looks > 1);
    TRY(AddEntry(dir, *listing, listing->items()[i], wanted, sink, full));
  }
  // Read to the end: the kernel keeps the names now.
  if (begin == listing->items().size()) listings_.Erase(node);
  return Ok();
}

}  // namespace ufs
