#include "tests/model/op.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>

#include <array>
#include <cstring>
#include <vector>

#include "tests/model/acl.h"
#include "tests/model/fields.h"
#include "tests/model/names.h"

namespace ufs::model {
namespace {

constexpr std::array<const char*, static_cast<size_t>(OpKind::kCount)> kNames =
    {"open",       "close",     "read",        "pread",     "write",
     "pwrite",     "truncate",  "ftruncate",   "fallocate", "seek",
     "copy",       "mmap",      "munmap",      "load",      "store",
     "mkdir",      "rmdir",     "unlink",      "rename",    "link",
     "linkfd",     "symlink",   "mknod",       "chmod",     "fchmod",
     "chown",      "fchown",    "utimens",     "futimens",  "setxattr",
     "getxattr",   "listxattr", "removexattr", "fsetxattr", "readdir",
     "freaddir",   "stat",      "fstat",       "readlink",  "fsync",
     "fdatasync",  "flock",     "lock",        "ofdlock",   "ofdtest",
     "install",    "exec",      "start",       "stop",      "getflags",
     "setflags",   "getxflags", "setxflags",   "remount",   "freeze",
     "dropcaches", "checktree"};

struct FlagName {
  int value;
  const char* name;
};
// O_TMPFILE contains O_DIRECTORY, and O_SYNC contains O_DSYNC: larger first.
constexpr FlagName kOpenFlags[] = {
    {O_WRONLY, "O_WRONLY"},     {O_RDWR, "O_RDWR"},
    {O_CREAT, "O_CREAT"},       {O_EXCL, "O_EXCL"},
    {O_TRUNC, "O_TRUNC"},       {O_APPEND, "O_APPEND"},
    {O_TMPFILE, "O_TMPFILE"},   {O_DIRECTORY, "O_DIRECTORY"},
    {O_NOFOLLOW, "O_NOFOLLOW"}, {O_PATH, "O_PATH"},
    {O_NOATIME, "O_NOATIME"},   {O_SYNC, "O_SYNC"},
    {O_DSYNC, "O_DSYNC"},
};
constexpr FlagName kRenameFlags[] = {{RENAME_NOREPLACE, "NOREPLACE"},
                                     {RENAME_EXCHANGE, "EXCHANGE"}};
constexpr FlagName kFallocFlags[] = {{FALLOC_FL_KEEP_SIZE, "KEEP_SIZE"},
                                     {FALLOC_FL_PUNCH_HOLE, "PUNCH_HOLE"},
                                     {FALLOC_FL_ZERO_RANGE, "ZERO_RANGE"}};

constexpr FlagName kFlockFlags[] = {
    {LOCK_SH, "SHARED"}, {LOCK_EX, "EXCLUSIVE"}, {LOCK_UN, "UNLOCK"}};
constexpr FlagName kLockTypes[] = {{F_WRLCK, "WRITE"}, {F_UNLCK, "UNLOCK"}};

constexpr FlagName kFileFlagNames[] = {{FS_IMMUTABLE_FL, "IMMUTABLE"},
                                       {FS_APPEND_FL, "APPEND"},
                                       {FS_NODUMP_FL, "NODUMP"},
                                       {FS_NOATIME_FL, "NOATIME"}};
constexpr FlagName kRemountFlags[] = {{kCommit, "COMMIT"}};

struct FlagTable {
  const FlagName* begin = nullptr;
  const FlagName* end = nullptr;
};

FlagTable FlagsOf(OpKind kind) {
  switch (kind) {
    case OpKind::kOpen:
      return {std::begin(kOpenFlags), std::end(kOpenFlags)};
    case OpKind::kRename:
      return {std::begin(kRenameFlags), std::end(kRenameFlags)};
    case OpKind::kFallocate:
      return {std::begin(kFallocFlags), std::end(kFallocFlags)};
    case OpKind::kFlock:
      return {std::begin(kFlockFlags), std::end(kFlockFlags)};
    case OpKind::kLock:
    case OpKind::kOfdLock:
    case OpKind::kOfdTest:
      return {std::begin(kLockTypes), std::end(kLockTypes)};
    case OpKind::kSetFlags:
    case OpKind::kSetXflags:
      return {std::begin(kFileFlagNames), std::end(kFileFlagNames)};
    case OpKind::kRemount:
      return {std::begin(kRemountFlags), std::end(kRemountFlags)};
    default:
      return {};
  }
}

std::string FlagText(OpKind kind, int flags) {
  FlagTable table = FlagsOf(kind);
  std::string text;
  for (const FlagName* flag = table.begin; flag != table.end; ++flag) {
    if ((flags & flag->value) != flag->value) continue;
    text += (text.empty() ? "" : "|") + std::string(flag->name);
    flags &= ~flag->value;
  }
  if (flags != 0) text += (text.empty() ? "" : "|") + std::to_string(flags);
  return text;
}

bool ParseFlags(OpKind kind, const std::string& text, int* flags) {
  *flags = 0;
  FlagTable table = FlagsOf(kind);
  for (size_t begin = 0; begin <= text.size();) {
    size_t end = std::min(text.find('|', begin), text.size());
    std::string word = text.substr(begin, end - begin);
    begin = end + 1;
    bool known = false;
    for (const FlagName* flag = table.begin; flag != table.end; ++flag) {
      if (word != flag->name) continue;
      *flags |= flag->value;
      known = true;
    }
    if (known) continue;
    char* rest = nullptr;
    *flags |= static_cast<int>(std::strtol(word.c_str(), &rest, 0));
    if (word.empty() || *rest != 0) return false;
  }
  return true;
}

}  // namespace

const char* NameOf(OpKind kind) { return kNames[static_cast<size_t>(kind)]; }

std::string Op::ToText() const {
  FieldWriter out(NameOf(kind));
  if (uid != 0) out.Number("uid", uid);
  if (at >= 0) out.Number("at", at);
  if (fd >= 0) out.Number("fd", fd);
  if (fd2 >= 0) out.Number("fd2", fd2);
  if (!path.empty()) out.Text("path", path);
  if (!path2.empty()) out.Text("path2", path2);
  if (!name.empty()) out.Text("name", name);
  if (!acl.empty()) out.Text("acl", acl);
  if (off != 0) out.Number("off", off);
  if (off2 != 0) out.Number("off2", off2);
  if (len != 0) out.Number("len", len);
  if (flags != 0) out.Text("flags", FlagText(kind, flags));
  if (mode != 0) out.Octal("mode", mode);
  if (seed != 0) out.Number("seed", seed);
  if (owner != -1) out.Number("owner", owner);
  if (group != -1) out.Number("group", group);
  if (atime != kTimeOmit) out.Number("atime", atime);
  if (mtime != kTimeOmit) out.Number("mtime", mtime);
  return out.line();
}

std::optional<Op> Op::FromText(std::string_view line, std::string* error) {
  FieldReader in(line);
  Op op;
  size_t kind = 0;
  while (kind < kNames.size() && in.head() != kNames[kind]) ++kind;
  if (kind == kNames.size()) {
    *error = "unknown operation: " + in.head();
    return std::nullopt;
  }
  op.kind = static_cast<OpKind>(kind);
  in.Number("uid", &op.uid);
  in.Number("at", &op.at);
  in.Number("fd", &op.fd);
  in.Number("fd2", &op.fd2);
  in.Text("path", &op.path);
  in.Text("path2", &op.path2);
  in.Text("name", &op.name);
  if (in.Text("acl", &op.acl) && !AclFromText(op.acl))
    *error = "no ACL: " + op.acl;
  in.Number("off", &op.off);
  in.Number("off2", &op.off2);
  in.Number("len", &op.len);
  std::string flags;
  if (in.Text("flags", &flags) && !ParseFlags(op.kind, flags, &op.flags))
    *error = "unknown flags: " + flags;
  in.Number("mode", &op.mode);
  in.Number("seed", &op.seed);
  in.Number("owner", &op.owner);
  in.Number("group", &op.group);
  in.Number("atime", &op.atime);
  in.Number("mtime", &op.mtime);
  if (error->empty()) *error = in.error();
  if (!error->empty()) return std::nullopt;
  return op;
}

std::string Pattern(uint32_t seed, int64_t length) {
  std::string bytes(static_cast<size_t>(std::max<int64_t>(length, 0)), '\0');
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (size_t i = 0; i < bytes.size(); i += 8) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    std::memcpy(&bytes[i], &state, std::min<size_t>(8, bytes.size() - i));
  }
  return bytes;
}

// Capabilities and ACLs must be well formed to be accepted.
std::string XattrValue(const Op& op) {
  if (op.name == "security.capability") return kCapability;
  if (!IsAcl(op.name)) return Pattern(op.seed, op.len);
  return op.acl.empty() ? "" : test::AclValue(*AclFromText(op.acl));
}

}  // namespace ufs::model
