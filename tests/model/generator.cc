#include "tests/model/generator.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/model/acl.h"
#include "tests/model/names.h"
#include "tests/model/program.h"

namespace ufs::model {
namespace {

constexpr int64_t kCheckEvery = 60;  // operations between whole-tree checks
constexpr int64_t kRemountEvery = 90;
constexpr int64_t kDropEvery = 60;
constexpr int64_t kFreezeEvery = 40;
constexpr int64_t kLargest = 3 << 20;  // files stay below this

struct Weight {
  OpKind kind;
  int weight;
};
constexpr Weight kWeights[] = {
    {OpKind::kOpen, 140},     {OpKind::kClose, 30},
    {OpKind::kRead, 25},      {OpKind::kPread, 50},
    {OpKind::kWrite, 40},     {OpKind::kPwrite, 50},
    {OpKind::kTruncate, 15},  {OpKind::kFtruncate, 20},
    {OpKind::kFallocate, 25}, {OpKind::kSeek, 30},
    {OpKind::kCopyRange, 25}, {OpKind::kMmap, 20},
    {OpKind::kMunmap, 6},     {OpKind::kLoad, 25},
    {OpKind::kStore, 20},     {OpKind::kMkdir, 35},
    {OpKind::kRmdir, 25},     {OpKind::kUnlink, 40},
    {OpKind::kRename, 90},    {OpKind::kLink, 35},
    {OpKind::kLinkFd, 10},    {OpKind::kSymlink, 20},
    {OpKind::kMknod, 12},     {OpKind::kChmod, 35},
    {OpKind::kFchmod, 12},    {OpKind::kChown, 25},
    {OpKind::kFchown, 10},    {OpKind::kUtimens, 25},
    {OpKind::kFutimens, 10},  {OpKind::kSetxattr, 30},
    {OpKind::kFsetxattr, 10}, {OpKind::kGetxattr, 20},
    {OpKind::kListxattr, 12}, {OpKind::kRemovexattr, 15},
    {OpKind::kReaddir, 35},   {OpKind::kFreaddir, 15},
    {OpKind::kStat, 50},      {OpKind::kFstat, 30},
    {OpKind::kReadlink, 10},  {OpKind::kFsync, 6},
    {OpKind::kFdatasync, 3},  {OpKind::kFlock, 30},
    {OpKind::kLock, 30},      {OpKind::kOfdLock, 30},
    {OpKind::kOfdTest, 15},   {OpKind::kInstall, 20},
    {OpKind::kExec, 30},      {OpKind::kStart, 20},
    {OpKind::kStop, 10},      {OpKind::kGetFlags, 5},
    {OpKind::kSetFlags, 15},  {OpKind::kGetXflags, 5},
    {OpKind::kSetXflags, 10},
};

constexpr int TotalWeight() {
  int total = 0;
  for (const Weight& weight : kWeights) total += weight.weight;
  return total;
}

std::string Join(const std::string& dir, const std::string& name) {
  return dir.empty() ? name : dir + "/" + name;
}

}  // namespace

int64_t Generator::Below(int64_t bound) {
  return static_cast<int64_t>(random_() % static_cast<uint64_t>(bound));
}

Op Generator::Next(const PosixModel& model) {
  Op op;
  ++count_;
  if (count_ % kCheckEvery == 0) return op;
  if (OneIn(kRemountEvery)) {
    op.kind = OpKind::kRemount;
    op.flags = OneIn(3) ? kCommit : 0;
    return op;
  }
  if (freezes_ && OneIn(kFreezeEvery)) {
    op.kind = OpKind::kFreeze;
    return op;
  }
  if (drop_caches_ && OneIn(kDropEvery)) {
    op.kind = OpKind::kDropCaches;
    return op;
  }
  int64_t at = Below(TotalWeight());
  size_t chosen = 0;
  while (at >= kWeights[chosen].weight) at -= kWeights[chosen++].weight;
  op.kind = kWeights[chosen].kind;
  // The layer that comes of a commit protects nothing by flags.
  if (freezes_ &&
      (op.kind == OpKind::kSetFlags || op.kind == OpKind::kSetXflags))
    op.kind = OpKind::kGetFlags;
  if (OneIn(6)) op.uid = kOrdinaryUser;
  op.seed = static_cast<uint32_t>(random_());
  FillOpen(model, &op);
  FillFile(model, &op);
  FillAttr(model, &op);
  FillLock(model, &op);
  FillProgram(model, &op);
  FillFlags(model, &op);
  FillName(model, &op);
  return op;
}

std::string Generator::ExistingPath(const PosixModel& model,
                                    const Node** found) {
  std::string path;
  const Node* node = model.root().get();
  while (node->IsDir() && !node->entries.empty()) {
    if (!path.empty() && OneIn(4)) break;
    auto child = node->entries.begin();
    std::advance(child, Below(static_cast<int64_t>(node->entries.size())));
    path = Join(path, child->first);
    node = child->second.get();
  }
  if (found != nullptr) *found = node;
  return path.empty() ? "." : path;
}

std::string Generator::ExistingDir(const PosixModel& model) {
  std::string path;
  const Node* node = model.root().get();
  while (!OneIn(3)) {
    std::vector<std::pair<std::string, const Node*>> dirs;
    for (const auto& [name, child] : node->entries)
      if (child->IsDir()) dirs.push_back({name, child.get()});
    if (dirs.empty()) break;
    auto& [name, dir] = dirs[Below(static_cast<int64_t>(dirs.size()))];
    path = Join(path, name);
    node = dir;
  }
  return path;
}

std::string Generator::NewPath(const PosixModel& model) {
  std::string name = OneIn(60) ? std::string(256, 'x') : RandomName(random_);
  std::string path = Join(ExistingDir(model), name);
  // Deep enough trees stay readable by path.
  return path.size() > 1500 ? name : path;
}

std::string Generator::AnyPath(const PosixModel& model) {
  int64_t choice = Below(100);
  if (choice < 82) return ExistingPath(model);
  if (choice < 95) return NewPath(model);
  if (choice < 97) return Join(ExistingPath(model), RandomName(random_));
  return Join(ExistingDir(model), Pick({".", "..", "../a", "./b", "a/../b"}));
}

// The path of a program that is `whole`, or of anything.
std::string Generator::ProgramPath(const PosixModel& model, bool* whole) {
  std::string path;
  *whole = false;
  for (int tries = 0; tries < 20 && !*whole; ++tries) {
    const Node* node = nullptr;
    path = ExistingPath(model, &node);
    *whole = node->content == ProgramBytes();
  }
  return path;
}

// Whether the path leads, without links, to neither file nor directory.
bool Generator::IsSpecial(const PosixModel& model, const Op& op) {
  const Node* node = model.root().get();
  for (size_t begin = 0; begin < op.path.size();) {
    const size_t end = std::min(op.path.find('/', begin), op.path.size());
    const auto found = node->entries.find(op.path.substr(begin, end - begin));
    if (found == node->entries.end()) return true;  // who knows
    node = found->second.get();
    begin = end + 1;
  }
  return !node->IsFile() && !node->IsDir();
}

// The path of something that is open already, or of anything.
std::string Generator::OpenedPath(const PosixModel& model) {
  std::string path;
  for (int tries = 0; tries < 20; ++tries) {
    const Node* node = nullptr;
    path = ExistingPath(model, &node);
    for (int slot = 0; slot < kHandleSlots; ++slot)
      if (model.HandleNode(slot) == node) return path;
  }
  return path;
}

// Of a file that is open in another slot, too; -1 when there is none.
int Generator::TwinSlot(const PosixModel& model, bool writable) {
  const int first = static_cast<int>(Below(kHandleSlots));
  for (int i = 0; i < kHandleSlots * kHandleSlots; ++i) {
    const int slot = (first + i) % kHandleSlots;
    const int other = (slot + 1 + i / kHandleSlots) % kHandleSlots;
    const Node* node = model.HandleNode(slot);
    if (node == nullptr || slot == other || model.HandleNode(other) != node)
      continue;
    if (!writable || model.HandleWritable(slot)) return slot;
  }
  return -1;
}

int Generator::OpenSlot(const PosixModel& model, bool writable) {
  for (int tries = 0; tries < 8; ++tries) {
    int slot = static_cast<int>(Below(kHandleSlots));
    if (model.HandleNode(slot) == nullptr) continue;
    if (!writable || model.HandleWritable(slot)) return slot;
  }
  return static_cast<int>(Below(kHandleSlots));
}

int64_t Generator::Offset() {
  switch (Below(8)) {
    case 0:
    case 1:
      return 0;
    case 2:
      return Below(100);
    case 3:
      return 4096 * Below(20);
    case 4:
      return 4096 * Below(20) + Below(3);
    case 5:
      return Below(70000);
    case 6:
      return OneIn(3) ? Below(kLargest / 2) : Below(5000);
    default:
      return Below(6000);
  }
}

int64_t Generator::Length() {
  switch (Below(8)) {
    case 0:
      return Below(3);
    case 1:
    case 2:
    case 3:
      return 1 + Below(300);
    case 4:
      return 4096;
    case 5:
      return Below(20000);
    case 6:
      return OneIn(6) ? 65536 + Below(500000) : Below(70000);
    default:
      return Below(9000);
  }
}

mode_t Generator::Mode() {
  return Pick<mode_t>({0644, 0600, 0666, 0755, 0777, 0700, 0444, 0, 0711, 04755,
                       02755, 06777, 02644, 01755, 0070, 0007, 0222});
}

std::string Generator::XattrName() {
  if (OneIn(10)) return "security.capability";
  if (OneIn(3)) return Pick({test::kAccessAcl, test::kDefaultAcl});
  if (OneIn(12)) return Pick({"trusted.overlay.x", "user.overlay.y"});
  return RandomXattrName(random_);
}

// The text of an ACL, now and then of none or of one that is not accepted.
std::string Generator::AclChange() {
  if (OneIn(12)) return "";
  Acl acl = RandomAcl(random_);
  if (OneIn(15))
    acl.erase(acl.begin() + Below(static_cast<int64_t>(acl.size())));
  return AclText(acl);
}

void Generator::MaybeAt(const PosixModel& model, Op* op) {
  if (!OneIn(8)) return;
  int slot = OpenSlot(model, false);
  const Node* node = model.HandleNode(slot);
  if (node == nullptr || !node->IsDir()) return;
  op->at = slot;
  op->path = RandomName(random_);
  if (!node->entries.empty() && OneIn(2))
    op->path = std::next(node->entries.begin(),
                         Below(static_cast<int64_t>(node->entries.size())))
                   ->first;
}

void Generator::FillOpen(const PosixModel& model, Op* op) {
  if (op->kind != OpKind::kOpen) return;
  op->fd = static_cast<int>(Below(kHandleSlots));
  op->flags = Pick({O_RDONLY, O_RDONLY, O_WRONLY, O_RDWR, O_RDWR});
  op->mode = Mode();
  if (OneIn(10)) {
    op->flags |= O_TMPFILE | (OneIn(4) ? O_EXCL : 0);
    op->path = ExistingDir(model);
    if (op->path.empty()) op->path = ".";
    return;
  }
  bool whole = false;
  op->path = OneIn(4)   ? NewPath(model)
             : OneIn(6) ? ProgramPath(model, &whole)
             : OneIn(4) ? OpenedPath(model)
                        : AnyPath(model);
  MaybeAt(model, op);
  if (OneIn(12)) {
    op->flags = O_PATH | (OneIn(2) ? O_NOFOLLOW : 0);
    return;
  }
  if (OneIn(3))
    op->flags |= O_CREAT | (OneIn(4) ? O_EXCL : 0);
  else if (OneIn(10))
    op->flags |= O_DIRECTORY;
  if (OneIn(8)) op->flags |= O_TRUNC;
  if (OneIn(6)) op->flags |= O_APPEND;
  if (OneIn(12)) op->flags |= O_NOFOLLOW;
  if (OneIn(20)) op->flags |= O_NOATIME;
  if (OneIn(30)) op->flags |= OneIn(2) ? O_SYNC : O_DSYNC;
}

void Generator::FillFile(const PosixModel& model, Op* op) {
  bool writes = false;
  switch (op->kind) {
    case OpKind::kWrite:
    case OpKind::kPwrite:
    case OpKind::kFtruncate:
    case OpKind::kFallocate:
      writes = true;
      [[fallthrough]];
    case OpKind::kClose:
    case OpKind::kRead:
    case OpKind::kPread:
    case OpKind::kSeek:
    case OpKind::kCopyRange:
    case OpKind::kMmap:
    case OpKind::kFchmod:
    case OpKind::kFchown:
    case OpKind::kFutimens:
    case OpKind::kFsetxattr:
    case OpKind::kFreaddir:
    case OpKind::kFstat:
    case OpKind::kFsync:
    case OpKind::kFdatasync:
    case OpKind::kLinkFd:
      op->fd = OpenSlot(model, writes && !OneIn(10));
      break;
    default:
      break;
  }
  switch (op->kind) {
    case OpKind::kRead:
    case OpKind::kWrite:
      op->len = Length();
      break;
    case OpKind::kPread:
    case OpKind::kPwrite:
      op->off = OneIn(40) ? -1 : Offset();
      op->len = Length();
      break;
    case OpKind::kTruncate:
      op->path = AnyPath(model);
      op->len = OneIn(3) ? 0 : Offset();
      break;
    case OpKind::kFtruncate:
      op->len = OneIn(4) ? 0 : Offset();
      break;
    case OpKind::kFallocate:
      op->flags = Pick(
          {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
           FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE});
      op->off = Offset();
      op->len = Length();
      break;
    case OpKind::kSeek: {
      const Node* node = model.HandleNode(op->fd);
      bool file = node != nullptr && node->IsFile();
      op->flags = Pick({SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE});
      op->off = file ? Offset() : 0;
      if (!file) op->flags = SEEK_SET;
      if (op->flags == SEEK_END) op->off = -Below(5000);
      break;
    }
    case OpKind::kCopyRange:
      op->fd2 = OpenSlot(model, !OneIn(10));
      op->off = Offset();
      op->off2 = Offset();
      op->len = Length();
      break;
    case OpKind::kMmap:
      op->fd2 = static_cast<int>(Below(kMapSlots));
      op->off = 4096 * Below(4);
      op->len = 1 + Below(70000);
      op->flags = OneIn(2) ? PROT_WRITE : 0;
      break;
    case OpKind::kMunmap:
    case OpKind::kLoad:
      op->fd2 = static_cast<int>(Below(kMapSlots));
      break;
    case OpKind::kStore:
      op->fd2 = static_cast<int>(Below(kMapSlots));
      op->off = Below(10000);
      op->len = 1 + Below(6000);
      op->flags = OneIn(4) ? 1 : 0;
      break;
    default:
      break;
  }
}

void Generator::FillAttr(const PosixModel& model, Op* op) {
  switch (op->kind) {
    case OpKind::kChmod:
    case OpKind::kChown:
    case OpKind::kUtimens:
    case OpKind::kSetxattr:
    case OpKind::kGetxattr:
    case OpKind::kListxattr:
    case OpKind::kRemovexattr:
    case OpKind::kStat:
    case OpKind::kReaddir:
    case OpKind::kReadlink:
      op->path = AnyPath(model);
      break;
    default:
      break;
  }
  switch (op->kind) {
    case OpKind::kChmod:
    case OpKind::kFchmod:
      op->mode = Mode();
      if (!Privileged() && IsSpecial(model, *op)) op->path = ".";
      break;
    case OpKind::kChown:
    case OpKind::kFchown:
      op->owner = Pick<int64_t>({-1, 0, kOrdinaryUser, 12345});
      op->group = Pick<int64_t>({-1, 0, kOrdinaryUser, 54321});
      // Told by nothing from the announcement of a write (fs/README.md).
      if (!Privileged() && op->uid != 0 && op->owner < 0)
        op->group = kOrdinaryUser;
      break;
    case OpKind::kUtimens:
    case OpKind::kFutimens:
      op->atime = Pick<int64_t>({kTimeNow, kTimeOmit, 0, 1234567890});
      op->mtime = Pick<int64_t>({kTimeNow, kTimeOmit, 1, 1700000000});
      break;
    case OpKind::kSetxattr:
    case OpKind::kFsetxattr:
      op->flags = Pick<int>({0, 0, XATTR_CREATE, XATTR_REPLACE});
      op->len = OneIn(6) ? 0 : Below(120);
      [[fallthrough]];
    case OpKind::kGetxattr:
    case OpKind::kRemovexattr:
      op->name = XattrName();
      if (op->name == test::kDefaultAcl && !OneIn(6)) {
        op->path = ExistingDir(model);
        if (op->path.empty()) op->path = ".";
      }
      if (IsAcl(op->name) && op->kind != OpKind::kRemovexattr)
        op->acl = AclChange();
      // The kernel takes none from a file without asking us, whose flags may
      // forbid it.
      if (op->name == test::kDefaultAcl && op->acl.empty()) {
        if (op->kind == OpKind::kFsetxattr) op->name = test::kAccessAcl;
        op->path = ExistingDir(model);
        if (op->path.empty()) op->path = ".";
      }
      // Its stand-in keeps its mode apart (fs/README.md).
      if (IsAcl(op->name) && !Privileged() && IsSpecial(model, *op))
        op->path = ".";
      break;
    case OpKind::kReaddir:
      if (!OneIn(5)) op->path = ExistingDir(model);
      if (op->path.empty()) op->path = ".";
      break;
    case OpKind::kStat:
      MaybeAt(model, op);
      break;
    default:
      break;
  }
}

// Few ranges, so that they meet; mostly on what is open twice, so that there is
// somebody to meet.
void Generator::FillLock(const PosixModel& model, Op* op) {
  bool writes = false;
  switch (op->kind) {
    case OpKind::kFlock:
      op->flags = Pick({LOCK_SH, LOCK_EX, LOCK_EX, LOCK_UN});
      break;
    case OpKind::kLock:
    case OpKind::kOfdLock:
      op->flags = Pick({F_RDLCK, F_WRLCK, F_WRLCK, F_UNLCK});
      writes = op->flags == F_WRLCK && !OneIn(8);
      break;
    case OpKind::kOfdTest:
      op->flags = Pick({F_RDLCK, F_WRLCK});
      break;
    default:
      return;
  }
  op->fd = OneIn(8) ? OpenSlot(model, writes) : TwinSlot(model, writes);
  if (op->fd < 0) {
    op->kind = OpKind::kOpen;
    FillOpen(model, op);
    op->path = OpenedPath(model);
    op->at = -1;
    op->flags = O_RDWR;
  } else if (op->kind != OpKind::kFlock) {
    op->off = OneIn(40) ? -1 : 10 * Below(5);
    op->len = Pick<int64_t>({0, 5, 10, 10, 20});
  }
}

void Generator::FillFlags(const PosixModel& model, Op* op) {
  bool sets = false;
  switch (op->kind) {
    case OpKind::kSetFlags:
    case OpKind::kSetXflags:
      sets = true;
      [[fallthrough]];
    case OpKind::kGetFlags:
    case OpKind::kGetXflags:
      op->fd = OpenSlot(model, false);
      break;
    default:
      return;
  }
  const Node* node = model.HandleNode(op->fd);
  if (!sets || node == nullptr) return;
  // New files would inherit those of a directory, where the upper's own do.
  if (node->IsDir()) op->kind = OpKind::kGetFlags;
  if (node->IsDir()) return;
  op->flags = Pick({0, FS_NODUMP_FL, FS_NOATIME_FL, FS_NODUMP_FL});
  // What is open for writing stays so on a disk; and what a write takes away
  // from such a file (set-id bits, capabilities) it keeps there.
  const bool quiet = !model.IsOpenForWriting(*node) &&
                     (node->mode & (S_ISUID | S_ISGID)) == 0 &&
                     !node->xattrs.contains("security.capability");
  if (quiet && OneIn(2))
    op->flags |= Pick({FS_IMMUTABLE_FL, FS_APPEND_FL, FS_APPEND_FL});
}

void Generator::FillProgram(const PosixModel& model, Op* op) {
  bool whole = false;
  switch (op->kind) {
    case OpKind::kInstall:
      op->fd = OpenSlot(model, !OneIn(10));
      break;
    case OpKind::kExec:
      op->path = OneIn(4) ? AnyPath(model) : ProgramPath(model, &whole);
      break;
    case OpKind::kStart:
      op->fd2 = static_cast<int>(Below(kRunSlots));
      op->path = ProgramPath(model, &whole);
      // What a damaged one would do, and for how long, is not known.
      if (!whole) op->kind = OpKind::kExec;
      break;
    case OpKind::kStop:
      op->fd2 = static_cast<int>(Below(kRunSlots));
      break;
    default:
      break;
  }
}

void Generator::FillName(const PosixModel& model, Op* op) {
  switch (op->kind) {
    case OpKind::kMkdir:
    case OpKind::kSymlink:
    case OpKind::kMknod:
      op->path = OneIn(6) ? AnyPath(model) : NewPath(model);
      MaybeAt(model, op);
      break;
    case OpKind::kRmdir:
      op->path = OneIn(3) ? AnyPath(model) : ExistingDir(model);
      if (op->path.empty()) op->path = ExistingPath(model);
      MaybeAt(model, op);
      break;
    case OpKind::kUnlink:
      op->path = AnyPath(model);
      MaybeAt(model, op);
      break;
    default:
      break;
  }
  switch (op->kind) {
    case OpKind::kMkdir:
      op->mode = Pick<mode_t>({0755, 0755, 0777, 0700, 01755, 0711});
      break;
    case OpKind::kMknod:
      op->mode = Pick<mode_t>({S_IFIFO, S_IFSOCK, S_IFREG}) | Mode();
      break;
    case OpKind::kSymlink:
      op->name = RandomTarget(random_);
      break;
    case OpKind::kRename:
      op->path = AnyPath(model);
      op->path2 = OneIn(2) ? AnyPath(model) : NewPath(model);
      op->flags = Pick({0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE});
      if (OneIn(100)) op->flags = RENAME_NOREPLACE | RENAME_EXCHANGE;
      break;
    case OpKind::kLink:
      op->path = AnyPath(model);
      op->path2 = OneIn(5) ? AnyPath(model) : NewPath(model);
      op->flags = OneIn(5) ? AT_SYMLINK_FOLLOW : 0;
      break;
    case OpKind::kLinkFd:
      op->uid = 0;
      op->path2 = NewPath(model);
      break;
    default:
      break;
  }
}

}  // namespace ufs::model
