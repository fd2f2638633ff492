// UpperDir: the one writable layer, and the work directory beside it. It knows
// how objects are written so that they appear all at once: each is prepared as
// a Draft that nobody can see and published by one link or rename. It knows
// nothing of inodes; places are host descriptors and names. One class in six
// files: upper_dir, upper_draft, upper_whiteout, upper_moves, upper_attr,
// upper_freeze.
//
// The work directory holds
//   ufs/mount    who has it mounted (upper_lock.h)
//   ufs/tmp/     drafts and remains; emptied at every mount
//   ufs/index/   the upper copies of lower hard links: TAG-INO (hex)
//   ufs/lent/    modes and file flags that are to be set right (lent_notes.h)
//   ufs/moves/   moves of two steps that are under way (move_notes.h)
//   ufs/origin/  origins of objects that carry no user attributes
//   work/incompat/volatile   as overlayfs: an upper that was mounted volatile
//
// Threads: any; what needs order between calls is ordered by the caller.
#pragma once

#include <atomic>
#include <cerrno>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "fs/fd_cache.h"
#include "fs/lent_notes.h"
#include "fs/marks.h"
#include "fs/move_notes.h"
#include "fs/origins.h"
#include "fs/turns.h"
#include "fs/union_config.h"
#include "layerdb/base/syscall.h"

namespace ufs {

// The work directory of an upper that names none: beside it.
std::string DefaultWork(const std::string& upper);

// An object under construction, removed again unless it is published.
class Draft {
 public:
  Draft(BorrowedFd tmp, std::string name, UniqueFd fd)
      : tmp_(tmp), name_(std::move(name)), fd_(std::move(fd)) {}
  Draft(Draft&& other) noexcept
      : tmp_(other.tmp_),
        name_(std::exchange(other.name_, {})),
        fd_(std::move(other.fd_)) {}
  Draft& operator=(Draft&&) = delete;
  ~Draft();

  // Where system calls find it.
  sys::At at() const {
    return name_.empty() ? sys::At{fd_} : sys::At{tmp_, name_.c_str()};
  }
  bool named() const { return !name_.empty(); }
  // Of regular files: open for reading and writing.
  const UniqueFd& fd() const { return fd_; }
  UniqueFd TakeFd() { return std::move(fd_); }
  // It has another name now, or none: nothing to remove.
  void Forget() { name_.clear(); }

 private:
  BorrowedFd tmp_;
  std::string name_;  // in tmp/; empty for an unnamed file
  UniqueFd fd_;
};

class UpperDir {
 public:
  // Opens and locks; creates the work directory; empties tmp/. On error nothing
  // has changed but for directories that are needed anyway, and the context
  // names path and remedy:
  //   EBUSY  in use by another mount      EXDEV   work on another file system
  //   EINVAL was mounted volatile         others  from the host
  static Result<std::unique_ptr<UpperDir>> Open(const UnionConfig& config);

  BorrowedFd root() const { return *root_; }
  const FdCache::Pin& root_pin() const { return root_; }
  const FdCache::Pin& index_pin() const { return index_; }
  BorrowedFd lent_notes() const { return lent_notes_; }
  const MarkNames& names() const { return names_; }
  WhiteoutForm whiteout_form() const { return whiteout_form_; }
  bool has_xattrs() const { return has_xattrs_; }
  bool overrides_owner() const { return overrides_; }
  bool is_volatile() const { return durability_ == Durability::kVolatile; }
  Durability durability() const { return durability_; }
  const std::string& path() const { return path_; }
  const std::string& work_path() const { return work_path_; }
  // Who wants the upper meanwhile is told which mount has it.
  Status NoteMount(dev_t device) const;

  // --- freezing (upper_freeze.cc, frozen_upper.h) --------------------------
  // Moves all that is in the upper, and the index, aside: the upper is empty
  // then. Returns the path of what holds them. Nobody may use the upper
  // meanwhile. An error means that all is as it was; ENOTSUP for an upper whose
  // root is opaque, EPERM for one with a name that the host holds fast (chattr
  // +a or +i).
  Result<std::string> Freeze();
  // Takes back the Freeze that returned `path`, if nothing has come to the
  // upper since.
  Status Thaw(const std::string& path);

  // --- drafts ------------------------------------------------------------
  // A regular file, unnamed where the host can. `dir` is where it will go, for
  // what the host lets it inherit from there: a default ACL, a group.
  Result<Draft> NewFile(BorrowedFd dir, mode_t mode);
  // One that inherits nothing.
  Result<Draft> NewFile(mode_t mode) { return NewFile(tmp_, mode); }
  Result<Draft> NewDir(mode_t mode);
  Result<Draft> NewSymlink(const char* target);
  // A device, fifo or socket; a regular file that stands for it where the host
  // takes no devices from us or would take it for a whiteout.
  Result<Draft> NewNode(mode_t mode, dev_t rdev);
  // A regular file that stands for `attr`'s kind of object, by its override.
  Result<Draft> NewStandIn(const Override& override, std::string_view content);
  // One more name of `from`, to move into place.
  Result<Draft> NewLink(sys::At from);
  // A whiteout to move into `dir`.
  Result<Draft> NewWhiteout(BorrowedFd dir);

  // The publication point: makes it appear at `to`, which has nothing.
  Status Publish(Draft& draft, sys::At to);
  // As Publish, in the place of what is there (no directory, or both are and
  // the other is empty).
  Status Replace(Draft& draft, sys::At to);

  // --- durability ----------------------------------------------------------
  // Nothing unless it is strict; then what they name is on disk.
  Status SyncDraft(const Draft& draft) const;  // before it is published
  Status SyncNames(BorrowedFd dir) const;      // after names in it changed

  // --- whiteouts ---------------------------------------------------------
  // By what is there, by an AUFS whiteout beside it, or not at all; kMark: the
  // name is itself such a mark, and nobody may replace it.
  enum class Hidden { kNo, kObject, kAufs, kMark };
  // How `name` in an upper directory is marked as deleted, if it is. `stat` is
  // what is there, null for nothing.
  Result<Hidden> IsHidden(BorrowedFd dir, Name name, const struct statx* stat);
  // ENAMETOOLONG for a name that the whiteouts of this upper cannot hide.
  Status MayHide(Name name) const;
  // Puts a whiteout where nothing is: one more name of the last one made, as
  // making another costs the host an inode.
  Status Whiteout(BorrowedFd dir, Name name);
  // Whether the object of this number is one. False for one that was made
  // before.
  bool IsOurWhiteout(uint64_t ino) const { return ino == whiteout_ino_; }
  // The same with a NewWhiteout. The AUFS form takes space in `dir`.
  Status PlaceWhiteout(Draft& whiteout, BorrowedFd dir, Name name);
  // Puts a whiteout in the place of what is there; a directory goes, with what
  // it holds.
  Status ReplaceByWhiteout(BorrowedFd dir, Name name, bool is_dir);
  // To be kept while the object at `from` goes to `to` in one step, and
  // a whiteout comes to where it was in another: the next mount does the second
  // if only the first was done.
  Result<WorkNote> NoteMove(BorrowedFd from_dir, Name from, BorrowedFd to_dir,
                            Name to);
  // Hides a name with an AUFS whiteout, as an earlier mount left it, in the
  // form of this one.
  Status ReplaceAufsWhiteout(BorrowedFd dir, Name name);
  // Takes away the AUFS whiteout of a name that has an object now, if there is
  // one.
  void RemoveAufsWhiteout(BorrowedFd dir, Name name);
  // Removes a directory that holds nothing but whiteouts.
  Status RemoveDir(BorrowedFd dir, Name name);
  // Gives the name's directory, of which nothing shows but whose upper part
  // holds whiteouts, an empty one in exchange, so that it can be renamed over:
  // an opaque one that shows the same. Returns the old one, to be exchanged
  // again if it is not. REQUIRES: has_xattrs().
  Result<Draft> EmptyDir(BorrowedFd dir, Name name);
  // Exchanges a draft with what is at `to`; the draft then is the old object,
  // and goes with what it holds.
  Status Exchange(Draft& draft, sys::At to);

  // --- attributes --------------------------------------------------------
  // What statx and the marks say, with ids as the union shows them.
  Attr Shown(const struct statx& stat, const Marks& marks) const;
  // With its own mode, never one that is lent.
  Result<struct statx> StatOf(sys::At at) const;
  // Reads both.
  struct Looked {
    struct statx stat;
    Marks marks;
  };
  Result<Looked> Look(sys::At at) const;
  Result<Attr> GetAttr(sys::At at) const;
  // Owner and mode together, in that order, as the host drops set-id bits at a
  // change of owner. Ids are as the union shows them.
  Status SetOwnerAndMode(sys::At at, const Attr& now, uid_t uid, gid_t gid,
                         mode_t mode);
  Status SetOwner(sys::At at, const Attr& now, uid_t uid, gid_t gid);
  Status SetMode(sys::At at, const Attr& now, mode_t mode);
  // Owner ids our own new files get.
  bool MakesOwner(uid_t uid, gid_t gid) const;
  // Whether what the host makes in `dir` gets from it what the union shows: the
  // group, and set-group-id. Not where an override says something else.
  bool HostInherits(sys::At dir) const;

  // Extended attributes as the union shows them.
  Result<std::string> GetXattr(sys::At at, const char* name) const;
  Result<std::string> ListXattr(sys::At at) const;
  Status SetXattr(sys::At at, const char* name, std::string_view value,
                  int flags);
  Status RemoveXattr(sys::At at, const char* name);
  // Where an object came from, kept in its mark or, for objects that carry no
  // user attributes (links, devices), in the work directory. Before it is
  // published.
  Status SetOrigin(sys::At at, const Origin& origin);
  // To be called once such an object is gone.
  void ForgetOrigin(const struct statx& stat);
  Result<Marks> MarksOf(sys::At at, const struct statx& stat) const;
  // A mark; ENOTSUP where the upper has no xattrs, but for those that a file in
  // the directory `at` can be: opaque, redirect.
  Status SetMark(sys::At at, const std::string& name, std::string_view value);
  // ENODATA where it has none.
  Status RemoveMark(sys::At at, const std::string& name);

  // Contents of a stand-in symlink or of a real one.
  Result<std::string> ReadLink(sys::At at) const;
  // Opens a regular file for reading and writing though its mode may forbid it
  // to us, who are not root. EPERM for another's file that only may be read.
  Result<UniqueFd> OpenData(sys::At at) const;
  // Opens a directory for reading, whatever its mode.
  Result<UniqueFd> OpenDir(BorrowedFd dir) const;
  // As the function of marks.h.
  Result<bool> HasAufsOpaque(sys::At dir) const;
  // The redirect of a directory where it is in a file, empty for none.
  Result<std::string> RedirectInFile(sys::At dir) const;

 private:
  explicit UpperDir(const UnionConfig& config, bool trusted);

  // --- upper_freeze.cc
  Result<Draft> NewFrozen();
  Status MayFreeze() const;
  Status MoveAside(BorrowedFd ufs, BorrowedFd frozen);
  Status MoveBack(BorrowedFd ufs, BorrowedFd frozen);
  Status MoveNames(BorrowedFd from, BorrowedFd to);
  Status FinishFreezing(BorrowedFd ufs);
  Result<bool> IsEmpty() const;
  Status DropFrozen(BorrowedFd ufs, const std::vector<std::string>& layers);
  // The directories of the work directory that move aside, and are made anew.
  Status OpenBooks(BorrowedFd ufs);

  // Moves what is no draft, to where nothing is.
  Status Relocate(sys::At from, sys::At to);

  static Result<bool> MayTrust(const UnionConfig& config, BorrowedFd tmp);
  Status SweepWork();
  Status FinishMoves();
  Status FinishMove(const TwoStepMove& move);
  Result<bool> IsRemains(sys::At at);
  Status RefuseVolatile() const;
  Status MarkVolatile() const;
  Status Probe(const UnionConfig& config);
  Status ProbeWhiteout(WhiteoutForm wanted);
  Status LoadOrigins();
  Status EnableOverrides();
  Status SetOverride(sys::At at, const Override& override);
  // Makes one directory of the host as another in all but its times.
  Status CopyStored(sys::At from, sys::At to) const;
  Status AclFollowsMode(sys::At at, mode_t mode);
  Status ModeFollowsAcl(sys::At at);
  // Whether the owner and mode of `at` are kept in its override.
  bool KeepsOverride(sys::At at, mode_t mode) const;
  Status MarkXattrWhiteouts(BorrowedFd dir);
  FdCache::Pin SharedWhiteout() const;
  void ShareWhiteout(sys::At at);
  // What `call` answers. Where a mode keeps us out, who are not root, it is
  // called again with the owner's bits lent to `objects`, as far as they are
  // ours; they have their own modes again when this returns. A Status or a
  // Result; it must not come back here.
  template <typename Call>
  auto Lending(std::initializer_list<sys::At> objects, Call call) const
      -> decltype(call());
  struct Object {
    UniqueFd fd;  // it may be elsewhere by then
    uint64_t ino;
  };
  // What a mode could be lent to.
  static std::vector<Object> OpenObjects(
      std::initializer_list<sys::At> objects);
  static std::vector<uint64_t> NumbersOf(const std::vector<Object>& objects);
  struct Lent {
    UniqueFd fd;
    LentNote note;
  };
  // REQUIRES: the turn of them all, for both.
  std::vector<Lent> Lend(std::vector<Object> objects) const;
  void TakeBack(std::vector<Lent>& lent) const;
  // What `call` answers, done while `at` has its own mode.
  template <typename Call>
  auto WithOwnMode(sys::At at, Call call) const -> decltype(call());
  // user.* asks for read permission by mode as well.
  Result<Marks> StoredMarks(sys::At at, mode_t mode) const;
  Status ChangeMode(sys::At at, mode_t mode) const;
  Status StoreXattr(sys::At at, const char* name, std::string_view value,
                    int flags = 0) const;
  Status EraseXattr(sys::At at, const char* name) const;
  Status SetMarkFile(sys::At dir, const char* name, std::string_view value);
  Result<Draft> NamedFile(mode_t mode);
  std::string NextName();

  const MarkNames names_;
  const std::string path_;
  const Durability durability_;
  const IdMap uid_map_;
  const IdMap gid_map_;
  const std::optional<uid_t> squash_uid_;
  const std::optional<gid_t> squash_gid_;
  const bool keep_owners_in_xattrs_;
  std::string work_path_;
  FdCache::Pin root_;
  FdCache::Pin index_;
  UniqueFd work_;
  UniqueFd tmp_;
  UniqueFd origin_dir_;
  UniqueFd lent_notes_;
  UniqueFd move_notes_;
  UniqueFd upper_lock_;
  UniqueFd work_lock_;
  uid_t own_uid_ = 0;
  gid_t own_gid_ = 0;
  bool has_xattrs_ = true;
  bool has_tmpfile_ = true;
  WhiteoutForm whiteout_form_ = WhiteoutForm::kCharDevice;
  std::atomic<bool> overrides_{false};
  std::atomic<uint64_t> next_name_{0};
  // Of objects by number: who lends modes, or needs an object with its own.
  // Who has one takes no lock.
  mutable Turns<uint64_t> lend_turns_;
  // All that began, in units of kBegun, and those that have not ended.
  static constexpr uint64_t kBegun = uint64_t{1} << 32;
  mutable std::atomic<uint64_t> lendings_{0};
  mutable Mutex origins_mu_;  // a leaf
  Origins origins_ GUARDED_BY(origins_mu_);
  mutable Mutex whiteout_mu_;  // a leaf
  // The last one made, wherever it is; kept open, so that its number is not
  // given to anything else.
  FdCache::Pin whiteout_ GUARDED_BY(whiteout_mu_);
  std::atomic<uint64_t> whiteout_ino_{0};
};

template <typename Call>
auto UpperDir::Lending(std::initializer_list<sys::At> objects, Call call) const
    -> decltype(call()) {
  auto done = call();
  if (done.code() != EACCES) return done;
  std::vector<Object> open = OpenObjects(objects);
  const TurnOfAll turn(lend_turns_, NumbersOf(open));
  std::vector<Lent> lent = Lend(std::move(open));
  // Called again though nothing was lent, the answer would be the same.
  if (!lent.empty()) done = call();
  TakeBack(lent);
  return done;
}

// Most often nothing is lent, and the object's number need not be asked for.
// Where something is, the call is made again, or first, in the object's turn.
template <typename Call>
auto UpperDir::WithOwnMode(sys::At at, Call call) const -> decltype(call()) {
  const uint64_t before = lendings_;
  if (before % kBegun == 0 && !LentNote::AnyKept()) {
    auto done = call();
    if (lendings_ == before) return done;
  }
  const uint64_t ino = TRY(sys::Statx(at)).stx_ino;
  const Turn turn(lend_turns_, ino);
  return call();
}

// Whether a file flag (chattr +a or +i) keeps it under its name, and a
// directory the names in it.
bool IsFixed(const struct statx& stat);

// Sets the times of a directory of the upper to those it had, after a change in
// it that nobody asked for: a copy-up, or whiteouts that went. It is done by
// then, so that a failure is only told.
void KeepDirTimes(BorrowedFd dir, const Attr& attr);

}  // namespace ufs
