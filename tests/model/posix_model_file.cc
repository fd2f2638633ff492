// Open files and what is in them.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "tests/model/names.h"
#include "tests/model/posix_model.h"

namespace ufs::model {
namespace {

int64_t SizeOf(const Node& node) {
  return static_cast<int64_t>(node.content.size());
}

std::string Slice(const Node& node, int64_t off, int64_t len) {
  if (off >= SizeOf(node)) return "";
  return node.content.substr(static_cast<size_t>(off),
                             static_cast<size_t>(len));
}

}  // namespace

// Compare Linux's fs/namei.c:open_last_lookups() and do_open().
// The may_create_in_sticky() of Linux's fs/namei.c, whose sysctls leave files
// and fifos alone.
bool PosixModel::MayCreateOver(Caller who, const Node& dir, const Node& node) {
  const bool guarded = (dir.mode & S_ISVTX) != 0 && (dir.mode & S_IWOTH) != 0;
  const bool exempt = node.IsFile() || node.IsDir() || S_ISFIFO(node.mode);
  return !guarded || exempt || node.uid == dir.uid || node.uid == who.uid;
}

Expected PosixModel::Open(const Op& op) {
  CloseHandle(op.fd);
  if ((op.flags & O_TMPFILE) == O_TMPFILE) return OpenTmpfile(op);
  bool path_only = (op.flags & O_PATH) != 0;
  bool create = !path_only && (op.flags & O_CREAT) != 0;
  bool exclusive = create && (op.flags & O_EXCL) != 0;
  bool follow = (op.flags & O_NOFOLLOW) == 0 && !exclusive;
  Walk walk = ResolveAt(op, follow);
  if (walk.err != 0) return Expected::Error(walk.err);
  if (exclusive && walk.node != nullptr) return Expected::Error(EEXIST);
  if (create && !walk.ordinary) return Expected::Error(EISDIR);
  if (create && walk.node != nullptr &&
      !MayCreateOver({op.uid}, *walk.parent, *walk.node))
    return Expected::Error(EACCES);
  if (walk.node != nullptr) return OpenFound(op, walk.node);
  if (!create) return Expected::Error(ENOENT);
  if (int err = MayCreate({op.uid}, *walk.parent)) return Expected::Error(err);
  mode_t mode = S_IFREG | (op.mode & 07777);
  PutHandle(op, Create({op.uid}, *walk.parent, walk.last, mode));
  return {};
}

Expected PosixModel::OpenTmpfile(const Op& op) {
  if ((op.flags & O_ACCMODE) == O_RDONLY) return Expected::Error(EINVAL);
  Walk walk = ResolveAt(op, true);
  if (walk.err == 0 && walk.node == nullptr) walk.err = ENOENT;
  if (walk.err != 0) return Expected::Error(walk.err);
  if (!walk.node->IsDir()) return Expected::Error(ENOTDIR);
  if (!May({op.uid}, *walk.node, W_OK | X_OK)) return Expected::Error(EACCES);
  mode_t mode = S_IFREG | (op.mode & 07777);
  NodePtr node = NewNode({op.uid}, *walk.node, mode);
  node->nlink = 0;
  node->linkable = (op.flags & O_EXCL) == 0;
  PutHandle(op, node);
  return {};
}

Expected PosixModel::OpenFound(const Op& op, const NodePtr& node) {
  Caller who{op.uid};
  if ((op.flags & O_PATH) != 0) {
    if ((op.flags & O_DIRECTORY) != 0 && !node->IsDir())
      return Expected::Error(ENOTDIR);
    PutHandle(op, node);
    return {};
  }
  bool truncate = (op.flags & O_TRUNC) != 0;
  int access = op.flags & O_ACCMODE;
  int mask = (access == O_WRONLY ? 0 : R_OK) | (access == O_RDONLY ? 0 : W_OK) |
             (truncate ? W_OK : 0);
  if ((op.flags & O_CREAT) != 0 && node->IsDir())
    return Expected::Error(EISDIR);
  if ((op.flags & O_DIRECTORY) != 0 && !node->IsDir())
    return Expected::Error(ENOTDIR);
  if (node->IsLink()) return Expected::Error(ELOOP);
  if (node->IsDir() && (mask & W_OK) != 0) return Expected::Error(EISDIR);
  Expected forbidden = Expected::Error(EPERM);
  // Only what cuts it off is heard of when it is opened.
  forbidden.union_may_allow = !truncate;
  if ((mask & W_OK) != 0 && node->immutable()) {
    ForbiddenByFlag();
    return forbidden;
  }
  if (!May(who, *node, mask)) return Expected::Error(EACCES);
  const bool appends = access == O_RDONLY || (op.flags & O_APPEND) != 0;
  if ((!appends || truncate) && node->fixed() && (mask & W_OK) != 0) {
    ForbiddenByFlag();
    return forbidden;
  }
  if ((op.flags & O_NOATIME) != 0 && !MayOwn(who, *node))
    return Expected::Error(EPERM);
  if (S_ISSOCK(node->mode)) return Expected::Error(ENXIO);
  // The executor opens without waiting, and keeps no pipe and no device open.
  if (S_ISFIFO(node->mode))
    return Expected::Error(access == O_WRONLY ? ENXIO : 0);
  if (!node->IsFile() && !node->IsDir()) return {};
  if ((mask & W_OK) != 0 && IsRunning(*node)) return Expected::Error(ETXTBSY);
  if (truncate) {
    node->content.clear();
    DropPrivileges(who, *node);
    Modified(*node);
  }
  PutHandle(op, node);
  return {};
}

void PosixModel::PutHandle(const Op& op, const NodePtr& node) {
  handles_[op.fd] = {node, op.flags, 0, next_description_++};
}

Expected PosixModel::Read(const Op& op, bool positioned) {
  if (positioned && op.off < 0) return Expected::Error(EINVAL);
  if (op.fd < 0 || !handles_[op.fd].readable() || !handles_[op.fd].open())
    return Expected::Error(EBADF);
  Handle& handle = handles_[op.fd];
  if (handle.node->IsDir()) return Expected::Error(EISDIR);
  Expected expected;
  expected.data =
      Slice(*handle.node, positioned ? op.off : handle.offset, op.len);
  expected.value = static_cast<int64_t>(expected.data.size());
  if (!positioned) handle.offset += expected.value;
  Accessed(*handle.node);
  return expected;
}

Expected PosixModel::WriteThrough(const Op& op, bool positioned,
                                  const std::string& bytes) {
  if (positioned && op.off < 0) return Expected::Error(EINVAL);
  if (op.fd < 0 || !handles_[op.fd].writable() || !handles_[op.fd].open())
    return Expected::Error(EBADF);
  Handle& handle = handles_[op.fd];
  Expected expected;
  const int64_t len = static_cast<int64_t>(bytes.size());
  expected.value = len;
  if (len == 0) return expected;
  int64_t off = positioned ? op.off : handle.offset;
  if ((handle.flags & O_APPEND) != 0) off = SizeOf(*handle.node);
  WriteBytes({op.uid}, *handle.node, off, bytes);
  if (!positioned) handle.offset = off + len;
  return expected;
}

void PosixModel::WriteBytes(Caller who, Node& node, int64_t off,
                            const std::string& bytes) {
  size_t end = static_cast<size_t>(off) + bytes.size();
  if (node.content.size() < end) node.content.resize(end, '\0');
  node.content.replace(static_cast<size_t>(off), bytes.size(), bytes);
  DropPrivileges(who, node);
  Modified(node);
}

// What a change of contents takes away: capabilities always, set-id bits from
// whoever may not set them. Compare Linux's fs/attr.c.
void PosixModel::DropPrivileges(Caller who, Node& node) {
  node.xattrs.erase("security.capability");
  if (who.root() && Privileged()) return;  // CAP_FSETID of the first namespace
  node.mode &= ~S_ISUID;
  bool in_group = who.root() || who.uid == node.gid;
  if ((node.mode & S_IXGRP) != 0 || !in_group) node.mode &= ~S_ISGID;
}

void PosixModel::Resize(Caller who, Node& node, int64_t size) {
  const TimeRange mtime = node.mtime;
  const int64_t ctime_lo = node.ctime_lo;
  bool same = size == SizeOf(node);
  node.content.resize(static_cast<size_t>(size), '\0');
  DropPrivileges(who, node);
  Modified(node);
  // POSIX leaves the times open when the size stays.
  if (same) node.mtime.lo = std::min(mtime.lo, node.mtime.lo);
  if (same) node.ctime_lo = std::min(ctime_lo, node.ctime_lo);
}

Expected PosixModel::Truncate(const Op& op) {
  if (op.len < 0) return Expected::Error(EINVAL);
  return OnPath(op, true, [&](const Op& o, const NodePtr& node) {
    if (node->IsDir()) return Expected::Error(EISDIR);
    if (!node->IsFile()) return Expected::Error(EINVAL);
    if (node->immutable()) return Expected::Error(ForbiddenByFlag());
    if (!May({o.uid}, *node, W_OK)) return Expected::Error(EACCES);
    if (int err = MayChange(*node)) return Expected::Error(err);
    if (IsRunning(*node)) return Expected::Error(ETXTBSY);
    Resize({o.uid}, *node, o.len);
    return Expected{};
  });
}

Expected PosixModel::Ftruncate(const Op& op) {
  if (op.len < 0) return Expected::Error(EINVAL);
  return OnHandle(op, false, [&](const Op& o, const NodePtr& node) {
    if (!handles_[o.fd].writable()) return Expected::Error(EINVAL);
    if (int err = MayChange(*node)) return Expected::Error(err);
    Resize({o.uid}, *node, o.len);
    return Expected{};
  });
}

Expected PosixModel::Fallocate(const Op& op) {
  return OnHandle(op, false, [&](const Op& o, const NodePtr& node) {
    if (o.off < 0 || o.len <= 0) return Expected::Error(EINVAL);
    if (!handles_[o.fd].writable()) return Expected::Error(EBADF);
    if (node->immutable() ||
        (node->fixed() && o.flags != 0 && o.flags != FALLOC_FL_KEEP_SIZE))
      return Expected::Error(ForbiddenByFlag());
    bool keep = (o.flags & FALLOC_FL_KEEP_SIZE) != 0;
    bool zero = (o.flags & (FALLOC_FL_ZERO_RANGE | FALLOC_FL_PUNCH_HOLE)) != 0;
    int64_t end = o.off + o.len;
    TimeRange before = node->mtime;
    if (zero) {
      int64_t stop = std::min(end, SizeOf(*node));
      for (int64_t i = o.off; i < stop; ++i)
        node->content[static_cast<size_t>(i)] = '\0';
    }
    if (!keep && end > SizeOf(*node))
      node->content.resize(static_cast<size_t>(end), '\0');
    DropPrivileges({o.uid}, *node);
    Modified(*node);
    if (!zero) node->mtime.lo = std::min(before.lo, node->mtime.lo);
    return Expected{};
  });
}

Expected PosixModel::Seek(const Op& op) {
  return OnHandle(op, false, [&](const Op& o, const NodePtr& node) {
    Handle& handle = handles_[o.fd];
    Expected expected;
    if (o.flags == SEEK_DATA || o.flags == SEEK_HOLE) {
      expected.seek_in = node->content;
      return expected;
    }
    int64_t base = o.flags == SEEK_CUR   ? handle.offset
                   : o.flags == SEEK_END ? SizeOf(*node)
                                         : 0;
    if (base + o.off < 0) return Expected::Error(EINVAL);
    expected.value = handle.offset = base + o.off;
    return expected;
  });
}

Expected PosixModel::CopyRange(const Op& op) {
  if (op.fd < 0 || op.fd2 < 0) return Expected::Error(EBADF);
  Handle &in = handles_[op.fd], &out = handles_[op.fd2];
  if (!in.open() || !out.open() || in.path_only() || out.path_only())
    return Expected::Error(EBADF);
  if (op.off < 0 || op.off2 < 0) return Expected::Error(EINVAL);
  if (in.node->IsDir() || out.node->IsDir()) return Expected::Error(EISDIR);
  if (!in.readable() || !out.writable() || (out.flags & O_APPEND) != 0)
    return Expected::Error(EBADF);
  int64_t len = std::clamp<int64_t>(SizeOf(*in.node) - op.off, 0, op.len);
  bool overlap =
      in.node == out.node && op.off < op.off2 + len && op.off2 < op.off + len;
  if (overlap) return Expected::Error(EINVAL);
  Expected expected;
  expected.value = len;
  if (len == 0) return expected;
  WriteBytes({op.uid}, *out.node, op.off2, Slice(*in.node, op.off, len));
  Accessed(*in.node);
  return expected;
}

Expected PosixModel::Mmap(const Op& op) {
  Unmap(op.fd2);
  return OnHandle(op, false, [&](const Op& o, const NodePtr& node) {
    bool write = (o.flags & PROT_WRITE) != 0;
    if (!handles_[o.fd].readable()) return Expected::Error(EACCES);
    if (write && !handles_[o.fd].writable()) return Expected::Error(EACCES);
    if (node->fixed() && handles_[o.fd].writable()) {
      ForbiddenByFlag();
      Expected forbidden = Expected::Error(EACCES);
      forbidden.union_may_allow = true;
      return forbidden;
    }
    if (node->IsDir()) return Expected::Error(ENODEV);
    maps_[o.fd2] = {node,
                    o.off,
                    o.len,
                    write,
                    handles_[o.fd].writable(),
                    handles_[o.fd].description};
    Accessed(*node);
    return Expected{};
  });
}

Expected PosixModel::LoadOrStore(const Op& op) {
  const Mapping& map = maps_[op.fd2];
  bool store = op.kind == OpKind::kStore;
  if (map.node == nullptr || (store && !map.writable))
    return Expected::Error(EBADF);
  int64_t begin = map.off + (store ? op.off : 0);
  int64_t end = std::min(map.off + map.len, SizeOf(*map.node));
  if (store) end = std::min(end, begin + op.len);
  Expected expected;
  expected.value = std::max<int64_t>(end - begin, 0);
  if (expected.value == 0) return expected;
  Accessed(*map.node);
  if (!store) {
    expected.data = Slice(*map.node, begin, expected.value);
    return expected;
  }
  map.node->content.replace(static_cast<size_t>(begin),
                            static_cast<size_t>(expected.value),
                            Pattern(op.seed, expected.value));
  // When the kernel writes the page back, and so sets the times, is its own
  // choice.
  map.node->stored_to = true;
  map.node->mtime = TimeRange::Any();
  return expected;
}

Expected PosixModel::Sync(const Op& op) {
  return OnHandle(op, false, [&](const Op&, const NodePtr& node) {
    node->stored_to = false;
    return Expected{};
  });
}

}  // namespace ufs::model
