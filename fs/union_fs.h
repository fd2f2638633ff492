// UnionFs: the union filesystem with no FUSE in it. It answers the questions a
// kernel asks about inodes, in POSIX terms, over read-only layers and at most
// one writable upper directory.
//
// Threads: every method may be called from any thread at any time. Locks and
// their order: fs/README.md.
//
// Errors: the errno is the one that the caller of the syscall is to see. There
// is a context where the cause lies outside the request (a damaged layer, a
// full disk) and is worth a log line.
//
// Blocking: every method may block on the disk. Callers that must not block use
// MayCopyUp and Read's kNoWait.
#pragma once

#include <sys/statvfs.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fs/fd_cache.h"
#include "fs/inode_table.h"
#include "fs/large_writes.h"
#include "fs/lifted_flags.h"
#include "fs/listing.h"
#include "fs/lower_stack.h"
#include "fs/open_modes.h"
#include "fs/turns.h"
#include "fs/types.h"
#include "fs/union_config.h"
#include "fs/upper_dir.h"
#include "layerdb/base/result.h"

namespace ufs {

class DonePoint;
class TraceRecorder;
struct TraceEntry;

// How often an operation looks again when a name came to mean another object
// between its look and its lock; the kernel keeps that from happening often.
inline constexpr int kNameAttempts = 64;

// Takes directory entries as ReadDir finds them.
class DirSink {
 public:
  virtual ~DirSink() = default;
  // One entry. `next_offset` is where to go on after it. `entry` is null when
  // only names are listed (and always for "." and ".."); else it carries a
  // lookup reference, which the sink owns if it accepts. Returns false when the
  // entry did not fit: nothing was taken, and the listing stops.
  virtual bool Add(const char* name, uint64_t ino, mode_t type,
                   uint64_t next_offset, const Entry* entry) = 0;
};

// Counters of one union since it was opened. A snapshot.
struct UnionStats {
  uint64_t inodes = 0;            // in the table now
  uint64_t open_descriptors = 0;  // held by the descriptor cache now
  uint64_t copy_ups_data = 0;
  uint64_t copy_ups_metadata = 0;  // attributes only, no data copied
  uint64_t copy_ups_partial = 0;   // begun; chunks came up as they were written
  uint64_t copy_up_bytes = 0;
  // Partly in the upper now, of the files that were used since the mount; and
  // how much of them is in layers.
  uint64_t partial_files = 0;
  uint64_t partial_bytes_missing = 0;
  uint64_t passed_writers = 0;  // opens whose writes are no messages
  uint64_t listing_hits = 0;
  uint64_t listing_misses = 0;
};

// The state of a union as it was opened, for `ufs stat`.
struct UnionInfo {
  std::vector<std::string> layers;  // bottom to top, as UnionConfig's
  std::string store;                // of the sealed ones, if there are any
  bool verify = false;              // UnionConfig's
  std::string upper;                // empty: read-only
  std::string work;
  std::string whiteout_form;     // "char", "xattr", "aufs"
  std::string xattr_prefix;      // "trusted.overlay." or "user.overlay."
  bool overrides_owner = false;  // owner and device kept in override xattrs
  bool metacopy = false;
  bool partial = false;
  bool index = false;
  std::string durability;
};

class UnionFs final {
 public:
  // Opens layers and upper, takes the upper's lock, sweeps what an earlier
  // daemon left half-done. On error nothing has changed and the message names
  // the path and the remedy.
  static Result<std::unique_ptr<UnionFs>> Open(const UnionConfig& config);
  ~UnionFs();
  UnionFs(const UnionFs&) = delete;
  UnionFs& operator=(const UnionFs&) = delete;

  // Sets what to call when cached attributes of a node changed and the kernel
  // does not know it (a directory copied up on the way to its child, file flags
  // set). It may be called with locks held, from any thread, so it must only
  // queue. Set before the first request.
  using InvalidateFn = std::function<void(NodeId)>;
  void SetInvalidate(InvalidateFn invalidate);
  // The same for changes that the kernel must know of before the request that
  // made them is answered. Called without locks, by the thread that serves the
  // request.
  void SetForgetAttrs(InvalidateFn forget);

  // Notes in the work directory that this process uses the upper for the mount
  // with number `device`, for others that want the upper meanwhile.
  void NoteMount(dev_t device);

  // --- names -------------------------------------------------------------
  // nullopt: no such name. An Entry carries one lookup reference.
  Result<std::optional<Entry>> Lookup(NodeId parent, Name name);
  void Forget(NodeId node, uint64_t lookups);
  // Gives the memory of forgotten nodes back to the system, if enough have gone
  // to be worth the time. To be called every few seconds, by a thread that may
  // wait.
  void TrimMemory();
  Status ReadDir(NodeId dir, uint64_t offset, bool plus, DirSink& sink);
  // Whether the names of `dir` have changed since this was last asked.
  bool TakeNamesChanged(NodeId dir);
  Result<std::string> ReadLink(NodeId node);

  Result<Entry> MkNod(NodeId parent, Name name, mode_t mode, dev_t rdev,
                      const Caller& caller);
  Result<Entry> MkDir(NodeId parent, Name name, mode_t mode,
                      const Caller& caller);
  Result<Entry> Symlink(NodeId parent, Name name, const char* target,
                        const Caller& caller);
  Result<Entry> Link(NodeId node, NodeId parent, Name name);
  // A new regular file; EEXIST when the name is taken and O_EXCL is in `flags`;
  // without O_EXCL an existing regular file is returned as it is.
  Result<Entry> Create(NodeId parent, Name name, mode_t mode, int flags,
                       const Caller& caller);
  Result<Entry> TmpFile(NodeId parent, mode_t mode, int flags,
                        const Caller& caller);
  Status Unlink(NodeId parent, Name name);
  Status RmDir(NodeId parent, Name name);
  // `flags` as renameat2.
  Status Rename(NodeId parent, Name name, NodeId new_parent, Name new_name,
                unsigned flags);

  // --- attributes --------------------------------------------------------
  Result<Attr> GetAttr(NodeId node);
  Result<Attr> SetAttr(NodeId node, const AttrChange& change,
                       const Caller& caller);
  Result<std::string> GetXattr(NodeId node, const char* name);
  // Names, each ended by NUL, as listxattr(2).
  Result<std::string> ListXattr(NodeId node);
  Status SetXattr(NodeId node, const char* name, std::string_view value,
                  int flags, const Caller& caller);
  // Removing an ACL that is not there succeeds.
  Status RemoveXattr(NodeId node, const char* name);
  // FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR and
  // FS_IOC_GETVERSION, and kIoctlComplete of fs/ioctl.h: `arg` is the ioctl's
  // in/out struct, already sized. ENOTTY for any other command.
  Status Ioctl(NodeId node, unsigned cmd, void* arg);

  // --- data --------------------------------------------------------------
  // There are no handles: a node knows its current backing, so that every open
  // of it, old or new, reads and writes the same bytes.
  // `loses` is the caller, if he may not keep the set-id bits of what he
  // changes; null if he may.
  enum class Wait { kMayWait, kNoWait };
  // Bytes read; less than `size` only at the end. EAGAIN under kNoWait when
  // the data is not in memory.
  Result<size_t> Read(NodeId node, char* buffer, size_t size, uint64_t offset,
                      Wait wait);
  Result<size_t> Write(NodeId node, const char* data, size_t size,
                       uint64_t offset, const Caller* loses);
  // Contents that were stored through a mapping, or written, and that the
  // kernel writes back in its own time: this clears no set-id bits and no
  // capabilities. With kTold the kernel also tells, by SetAttr, when the file
  // was changed.
  enum class Times { kMove, kTold };
  Result<size_t> WriteBack(NodeId node, const char* data, size_t size,
                           uint64_t offset, Times times);
  Status FSync(NodeId node, bool data_only);
  // False: FSync does nothing, now and later, as there is no upper, or one that
  // need not outlive a crash.
  bool syncs() const { return upper_ != nullptr && !upper_->is_volatile(); }
  Status Fallocate(NodeId node, int mode, uint64_t offset, uint64_t length,
                   const Caller* loses);
  Result<uint64_t> LSeek(NodeId node, uint64_t offset, int whence);
  Result<size_t> CopyFileRange(NodeId in, uint64_t in_offset, NodeId out,
                               uint64_t out_offset, size_t length,
                               const Caller* loses);

  // --- opens (union_opens.cc) ---------------------------------------------
  // For a mount whose kernel announces opens; on others nothing of this is
  // called. From now on files whose contents are all in the upper are opened in
  // `files`, which outlives the requests. An error means that the kernel
  // accepts none of the upper's files; then nothing changes.
  Status UsePassthrough(BackingFiles& files);
  struct Opened {
    int backing_id = 0;  // 0: to be read and written by messages
    // What the kernel knows of the file's times may be wrong from now on.
    bool lost_times = false;
  };
  // `flags` as open(2). One that succeeds is given back by CloseFile.
  Result<Opened> OpenFile(NodeId node, int flags);
  void CloseFile(NodeId node, int flags);
  // How many have a file open that they write without a message.
  size_t passed_writers() const { return passed_writers_; }

  Result<struct statvfs> StatFs();
  Status SyncFs();

  // Whether a write or an attribute change of this node would first copy data
  // up, or wait for another that does: that is, take long.
  bool MayCopyUp(NodeId node);
  // The same for a change that needs no data in the upper: of attributes, or a
  // link.
  bool AttrsMayCopyUp(NodeId node);
  // The same of a write to these bytes of it.
  bool MayCopyUp(NodeId node, uint64_t offset, uint64_t size);
  // The same of renaming or removing some name.
  bool NamesMayCopyUp() const;

  // Has the host drop from its cache large files that nobody wrote to for
  // `quiet`: the kernel keeps them as well. To be called now and then.
  void DropWritten(std::chrono::steady_clock::duration quiet);

  // Puts on disk what was copied up in parts since the last call, so that it
  // outlives a power cut: to be called every few seconds, and at the end.
  Status Settle();

  // Until StopRecording, `recorder` is told what is read of the layers:
  // contents alone, and not those in memory. EBUSY while another recorder is
  // told. A read under way may still be told to the one before.
  Status RecordReads(TraceRecorder& recorder);
  // Does nothing if `recorder` is not the one that is told.
  void StopRecording(TraceRecorder& recorder);
  // Has the host read what an entry of a trace names, and returns how many
  // bytes. ENOENT where no layer has it.
  Result<uint64_t> ReadAheadData(const TraceEntry& entry);
  void ReadNamesAhead();
  // Copies up a piece of what is missing of some file that is partly in the
  // upper and not being written to. Returns the bytes it took, 0 where there is
  // nothing to do. For one thread, at its leisure. ENOSPC where the disk is too
  // full for it.
  Result<uint64_t> CompleteSome();
  // Empties the upper; what was in it becomes the topmost layer of this mount
  // and of every later one (frozen_upper.h). Meanwhile nobody else may call
  // anything but what background threads call: Settle, CompleteSome and reading
  // ahead. Call CompleteAll first, and have files completed that were not used
  // since the mount, as a file that is in a layer in part cannot be read: EBUSY
  // for one that is known. ENOTSUP after UsePassthrough; other errors as
  // UpperDir::Freeze. On error all is as it was.
  Status Freeze();

  // Brings up all that is missing of the files that were used since the mount,
  // so that others can read them in the upper.
  Status CompleteAll();
  // Makes CompleteAll, a running one and any later one, end soon: ECANCELED.
  void StopCompleting() { stop_completing_ = true; }

  UnionStats Stats() const;
  const UnionInfo& Info() const;

 private:
  // A host place of an upper object, with what keeps it valid.
  struct Place {
    FdCache::Pin dir;
    std::string name;  // empty: `dir` itself
    sys::At at() const { return {*dir, name.c_str()}; }
  };
  // What a name in a directory is, in the upper and below.
  struct Child {
    UpperDir::Hidden hidden = UpperDir::Hidden::kNo;
    std::optional<UpperDir::Looked> upper;
    LowerFound
        lower;  // of a file in the upper: only where a metacopy's data is
    std::string lower_alias;  // as Inode::lower_alias
    bool exists() const {
      return upper.has_value() || lower.kind != LowerFound::Kind::kAbsent;
    }
  };
  // A name that is free to take, in a directory that is in the upper and
  // locked.
  struct Spot {
    const InodeRef& dir;
    Name name;
    FdCache::Pin fd;
    UpperDir::Hidden hidden;
    sys::At at() const { return {*fd, name.c_str()}; }
  };

  UnionFs(const UnionConfig& config, bool trusted);
  Status OpenLayers();
  Status OpenRoot();
  Status OpenIndex();

  // --- finding (union_lookup.cc) ------------------------------------------
  Result<InodeRef> Get(NodeId node) const;  // ESTALE for one never given out
  Result<InodeRef> GetDir(NodeId node) const;
  Result<Child> Probe(const InodeRef& dir, Name name);
  Status ProbeBelowUpper(const InodeRef& dir, Name name, BorrowedFd fd,
                         Child& child);
  Result<InodeRef> Adopt(const InodeRef& dir, Name name, Child& child);
  Result<InodeRef> AdoptUpper(Name name, const Child& child);
  Result<InodeRef> AdoptLower(const Child& child);
  static Status BackingFromMarks(const Marks& marks, const struct statx& stat,
                                 InodeTable::Birth& birth);
  // Where the layers, without the upper, show an object.
  std::string LowerPathOf(const Inode& inode) const;
  std::string AliasOf(const Inode& dir, Name name,
                      const std::string& redirect) const;
  // The inode of a name, null where there is none. Takes dir's lock.
  Result<InodeRef> Resolve(const InodeRef& dir, Name name);
  Identity LowerIdentity(const LowerFound& lower) const;
  // nullopt for one of a layer that is not there.
  std::optional<Identity> IdentityOf(const Origin& origin) const;
  std::optional<Identity> OriginIdentity(const Marks& marks) const;
  Origin OriginOf(const Inode& inode, const Attr& lower_attr) const;
  Entry MakeEntry(const InodeRef& inode, const Attr& attr);
  // REQUIRES: inode->mu held, shared or alone, for all of these.
  Result<Place> UpperPlace(const InodeRef& inode);
  Result<Attr> AttrLocked(const InodeRef& inode);
  Result<Attr> LowerAttr(const InodeRef& inode) const;
  Result<Attr> Compose(const InodeRef& inode, const UpperDir::Looked& looked);
  Attr ShowLower(Attr attr) const;
  // An O_PATH descriptor of a directory's upper part.
  Result<FdCache::Pin> UpperFd(const InodeRef& dir);
  Result<FdCache::Pin> FindUpper(const InodeRef& dir);
  Result<std::optional<Entry>> LookupIn(const InodeRef& dir, Name name);
  Result<std::shared_ptr<const Listing>> ListingOf(const InodeRef& dir);
  Result<std::vector<Listing::Source>> Names(const InodeRef& dir);
  Status UpperNames(const InodeRef& dir,
                    std::unordered_map<std::string, bool>& seen,
                    std::vector<Listing::Source>& names);
  Status AddEntry(const InodeRef& dir, const Listing& listing,
                  const Listing::Item& item, bool plus, DirSink& sink,
                  bool& full);

  // Hidden in the upper by an AUFS whiteout. REQUIRES: nothing is there.
  Result<UpperDir::Hidden> HiddenByName(const InodeRef& dir, BorrowedFd fd,
                                        Name name);
  static uint64_t AbsenceOf(const InodeRef& dir, Name name);

  // --- moving up (union_copy_up.cc) ---------------------------------------
  // Brings an inode to at least `want`, and the directories above it into the
  // upper. Of the contents only the first `keep` bytes are wanted.
  // REQUIRES: no inode lock held.
  Status CopyUp(const InodeRef& inode, Backing want,
                uint64_t keep = UINT64_MAX);
  // The same of a file that is about to lose a name: if it has others, they are
  // only put into the upper by what changes it.
  Status CopyUpUnnamed(const InodeRef& inode, Backing want,
                       uint64_t keep = UINT64_MAX);
  Status EnsureUpperDir(const InodeRef& dir);
  Status CopyUpDir(const InodeRef& dir);
  Status MoveUp(const InodeRef& inode, Backing want, uint64_t keep);
  Status FillData(const InodeRef& inode, uint64_t keep);
  Result<Draft> DraftOf(const InodeRef& inode, const Attr& attr, Backing& want,
                        uint64_t keep);
  Status CopyAttributes(const Draft& draft, const Attr& attr,
                        const NodeRef& lower);
  Status CopyXattrs(const Draft& draft, const NodeRef& lower);
  Status CopyContents(const InodeRef& inode, BorrowedFd to, uint64_t size);
  Status PublishUp(const InodeRef& inode, Draft& draft, Backing want,
                   const Attr& attr);
  void PlaceNames(const InodeRef& inode);
  Status PublishAs(const LinkName& name, Draft& draft, DonePoint& done);
  // `fd` is UpperFd's, for both.
  Status MarkImpure(const InodeRef& dir, BorrowedFd fd);
  // Of a directory that keeps its names, of others nothing. REQUIRES: dir->mu
  // held alone for as long as it lives.
  Result<LiftedFlags> Lift(const InodeRef& dir, BorrowedFd fd, int flags);
  Status SetRedirect(const InodeRef& inode, sys::At at);
  // The tag of the layer that an identity names.
  uint64_t TagOf(const Identity& identity) const;
  std::string IndexNameOf(const Identity& identity) const;
  bool InIndex(const std::string& name) const;
  // What `change` returns, done while nobody brings contents up: he sets again
  // the times and privileges that he saw when he began, and what is cut off may
  // not come back. REQUIRES: the inode is in the upper; no lock of it held.
  template <typename Change>
  auto WhileNoneFills(const InodeRef& inode, Change change) {
    if (!inode->is_split()) return change();
    const Turn turn(turns_, inode->id);
    return change();
  }

  // --- changing names (union_create.cc, union_remove.cc, union_rename.cc) --
  Result<Spot> FreeSpot(const InodeRef& dir, Name name);
  Status PlaceDraft(const Spot& spot, Draft& draft, mode_t type);
  Status GiveOwner(const Spot& spot, const Draft& draft, mode_t mode,
                   const Caller& caller);
  Result<Entry> NewEntry(const Spot& spot, bool bare);
  Result<Entry> CreateFile(const Spot& spot, mode_t mode, const Caller& caller);
  Result<Entry> CreateNode(NodeId parent, Name name, mode_t mode, dev_t rdev,
                           const char* target, const Caller& caller);
  mode_t MaskedMode(const InodeRef& dir, mode_t mode,
                    const Caller& caller) const;
  Result<bool> LowerShows(const InodeRef& dir, Name name) const;
  Status RemoveName(const InodeRef& dir, Name name, bool is_dir);
  Status RemoveLocked(const InodeRef& dir, Name name, const InodeRef& inode,
                      bool below);
  Result<FdCache::Pin> PinUpper(const InodeRef& inode);
  static Status MayLoseName(const InodeRef& inode, const FdCache::Pin& pin);
  // After one name of `inode` went: what it needs to live on without.
  void DropName(const InodeRef& dir, Name name, const InodeRef& inode,
                FdCache::Pin pin);
  Result<int64_t> SetNlink(const InodeRef& inode, int64_t change);
  struct Move;
  Status PrepareMove(const InodeRef& inode);
  Status MakeWayFor(const InodeRef& comes, BorrowedFd dir, Name name,
                    const InodeRef& there);
  Status RenameLocked(const Move& move);
  Result<std::optional<Draft>> PrepareTarget(const Move& move);
  void PutBack(const Move& move, Draft& target);
  Status MoveUpper(const Move& move);
  Status MoveForWhiteout(const Move& move);
  Status MoveInTwoSteps(const Move& move, bool over_upper);
  Status MoveOverDir(const Move& move, bool leaves_whiteout);
  Status ExchangeLocked(const Move& move);
  Status SyncMoved(const Move& move);
  Status MarkMoved(const InodeRef& inode, const InodeRef& to_dir,
                   BorrowedFd to_fd, Name to);
  // What `move` returns, which moves `a`, and `b` if there is one, on the host
  // and in the table: in one for who looks for a way through them. Call neither
  // UpperFd nor UpperPlace in it.
  template <typename Call>
  auto InOne(const InodeRef& a, const InodeRef& b, Call move) {
    if (!a->is_dir() && !(b && b->is_dir())) return move();
    ReaderLock lock(moves_mu_);
    return move();
  }
  // `fd` is dir's of UpperFd. REQUIRES: both locked alone.
  Status EnsureUpperName(const InodeRef& inode, const InodeRef& dir,
                         BorrowedFd fd, Name name);
  Result<Draft> WhiteoutDevice();
  void Changed(const InodeRef& dir);

  // --- contents (union_file.cc) -------------------------------------------
  // The contents of a file whose layer has them in memory, while they are in
  // the layer. REQUIRES: inode->mu held.
  std::optional<std::string_view> DataInMemory(const InodeRef& inode) const;
  Result<FdCache::Pin> DataFd(const InodeRef& inode);
  Result<FdCache::Pin> WritableDataFd(const InodeRef& inode);
  Result<UniqueFd> AppendFd(const InodeRef& inode);
  Result<bool> DropIfClean(NodeId node);
  Result<size_t> Append(const InodeRef& inode, const char* data, size_t size,
                        uint64_t offset);
  // The descriptor kept under `key`, or the one that `open` makes.
  template <typename Open>
  Result<FdCache::Pin> OpenCached(uint64_t key, Open open) {
    if (auto pin = fds_.Find(key)) return pin;
    Result<UniqueFd> fd = open();
    if (fd.code() == EMFILE || fd.code() == ENFILE) {
      fds_.Shrink();
      fd = open();
    }
    return fds_.Insert(key, TRY(fd));
  }
  Result<FdCache::Pin> SourceAt(const InodeRef& inode, uint64_t offset,
                                size_t& length);
  Status KillSuid(const InodeRef& inode, const Caller& who);
  Result<size_t> WriteKept(const InodeRef& inode, const char* data, size_t size,
                           uint64_t offset);
  Result<size_t> WriteProtected(const InodeRef& inode, const char* data,
                                size_t size, uint64_t offset);
  Status NoteMtime(const InodeRef& inode);
  Status RestoreMtime(const InodeRef& inode);
  Status SetTimesOfAppend(const InodeRef& inode, const timespec times[2]);
  Status SetAttrLocked(const InodeRef& inode, const AttrChange& change,
                       const Caller& caller);
  Status HostIoctl(const InodeRef& inode, unsigned cmd, void* arg);
  Result<Attr> SetNothing(const InodeRef& inode, const Caller& caller);

  Result<int> BackingId(const InodeRef& inode, int flags);
  static bool IsPassed(const InodeRef& inode);

  // --- contents in parts (union_partial.cc) -------------------------------
  bool MaySplitContents(const Inode& inode) const;
  bool SharesBlocks(const Inode& inode);
  bool IsAtHand(const InodeRef& inode, uint64_t offset, uint64_t size);
  Result<bool> MarkSplit(sys::At at, const ChunkMap& map);
  Result<bool> Split(const InodeRef& inode);
  Result<FdCache::Pin> LayerDataFd(const InodeRef& inode);
  static Error LayerCutShort(const InodeRef& inode);
  static Status CheckReaches(const InodeRef& inode, BorrowedFd fd,
                             uint64_t end);
  static Result<uint64_t> CopyFromLayer(const InodeRef& inode, BorrowedFd from,
                                        BorrowedFd to, uint64_t begin,
                                        uint64_t end);
  Result<size_t> ReadPartial(const InodeRef& inode, char* buffer, size_t size,
                             uint64_t offset, Wait wait);
  Result<size_t> WritePartial(const InodeRef& inode, const char* data,
                              size_t size, uint64_t offset);
  Status FallocatePartial(const InodeRef& inode, int mode, uint64_t offset,
                          uint64_t length);
  Result<uint64_t> LSeekPartial(const InodeRef& inode, uint64_t offset,
                                int whence);
  template <typename Put>
  Result<size_t> Overwrite(const InodeRef& inode, uint64_t begin, uint64_t end,
                           Put put);
  Status FetchRange(const InodeRef& inode, uint64_t begin, uint64_t end);
  Status FetchChunks(const InodeRef& inode, uint64_t begin, uint64_t end);
  Status AddChunks(const InodeRef& inode, uint64_t begin, uint64_t end);
  Status AddLocked(const InodeRef& inode, uint64_t begin, uint64_t end);
  Status MendMarks(const InodeRef& inode, BorrowedFd fd);
  void TimesMoved(const InodeRef& inode);
  Status StoreChunks(const InodeRef& inode, BorrowedFd fd);
  Status TruncateChunks(const InodeRef& inode, BorrowedFd fd,
                        uint64_t size_bytes);
  Status Complete(const InodeRef& inode, uint64_t& copied);
  Status MakeWhole(const InodeRef& inode, uint64_t keep);
  Status FinishLocked(const InodeRef& inode, BorrowedFd fd);
  Status FillRest(const InodeRef& inode);
  Status FillPiece(const InodeRef& inode, uint64_t bytes);
  void FillSmallRest(const InodeRef& inode);
  // What of a split file is not known to be on disk.
  struct Unsettled {
    InodeRef inode;
    std::optional<ChunkMap> chunks;
    FdCache::Pin fd;
  };
  void NoteUnsettled(const InodeRef& inode);
  Result<Unsettled> SnapshotOf(const InodeRef& inode);
  Result<bool> Settled(const Unsettled& then);
  // False: the file is no longer kPartial, and nothing was done.
  Result<bool> SettleOne(const InodeRef& inode);

  // --- files in parts, all of them (union_complete.cc) --------------------
  struct Partial {
    InodeRef inode;
    bool failed = false;  // its rest cannot be had
  };
  void NotePartial(const InodeRef& inode);
  void ForgetPartial(const InodeRef& inode);
  std::vector<Partial> Partials() const;
  InodeRef NextPartial();
  static uint64_t MissingOf(Inode& inode);
  Result<bool> HasRoomFor(uint64_t bytes);
  Status WarmNext(const InodeRef& inode);
  void CountPartials(UnionStats& stats) const;

  // --- an upper that begins afresh (union_freeze.cc) ------------------------
  struct Seat;
  class SeatPlan;
  void Take(Seat& seat);

  // --- what a start reads (union_trace.cc) ---------------------------------
  void NoteRead(const InodeRef& inode, uint64_t offset, uint64_t size);
  Result<UniqueFd> OpenContents(std::string_view name) const
      REQUIRES(lowers_mu_);

  const UnionConfig config_;
  const MarkNames names_;
  // Destroyed in reverse: inodes before the layers that their nodes belong to.
  FdCache fds_;
  std::unique_ptr<UpperDir> upper_;  // null: read-only
  std::unique_ptr<LowerStack> lowers_;
  // Held by Freeze, and by who asks of layers outside of a request.
  Mutex lowers_mu_;
  std::unordered_map<uint64_t, uint32_t> layer_by_tag_;  // Identity::layer
  uint64_t upper_tag_ = 0;  // its Identity::layer is 0
  UniqueFd stat_fd_;        // what statfs asks
  UnionInfo info_;
  InvalidateFn invalidate_;
  InvalidateFn forget_attrs_;
  std::atomic<BackingFiles*> backing_files_{nullptr};  // null: not used
  std::atomic<size_t> passed_writers_{0};
  ListingCache listings_;
  // Held shared by whoever moves a directory on the host and in the table: what
  // a move changes is guarded by inodes' locks, so moves go side by side. Held
  // alone by whoever looked for a directory and found another, because one
  // above it moved, which may be any. He waits for all moves of directories
  // under way, and they for his opening of one path; it is rare to look twice.
  SharedMutex moves_mu_;
  mutable Mutex index_mu_;
  std::unordered_set<std::string> index_names_ GUARDED_BY(index_mu_);
  Turns<NodeId> turns_;  // who brings contents up; before the inode's mu
  std::atomic<int> copying_{0};  // contents under way, by any thread
  InodeTable table_;
  Mutex shares_mu_;
  std::unordered_map<const Layer*, bool> shares_blocks_ GUARDED_BY(shares_mu_);
  Mutex settle_mu_;  // one Settle at a time: after it all is on disk
  Mutex unsettled_mu_;
  std::unordered_map<NodeId, InodeRef> unsettled_ GUARDED_BY(unsettled_mu_);
  LargeWrites large_writes_;
  mutable Mutex partials_mu_;
  std::unordered_map<NodeId, Partial> partials_ GUARDED_BY(partials_mu_);
  std::atomic<TraceRecorder*> recorder_{nullptr};
  std::atomic<bool> stop_completing_{false};
  NodeId completing_ = NodeId::kNone;  // CompleteSome's, to go on there

  std::atomic<size_t> forgotten_{0};  // since memory was last given back
  std::atomic<uint64_t> copy_ups_data_{0};
  std::atomic<uint64_t> copy_ups_metadata_{0};
  std::atomic<uint64_t> copy_ups_partial_{0};
  std::atomic<uint64_t> copy_up_bytes_{0};
  std::atomic<uint64_t> listing_hits_{0};
  std::atomic<uint64_t> listing_misses_{0};
};

}  // namespace ufs
