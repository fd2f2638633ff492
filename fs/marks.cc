#include "fs/marks.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <xxhash.h>

#include <cerrno>
#include <charconv>
#include <cstdio>

#include "layerdb/base/posix_acl.h"
#include "layerdb/base/selinux.h"

namespace ufs {
namespace {

// What AUFS keeps for itself in the root of a branch.
constexpr std::string_view kAufsBranch = ".wh..wh.aufs";
constexpr std::string_view kAufsPseudoLinks = ".wh..wh.plnk";
constexpr std::string_view kAufsOrphans = ".wh..wh.orph";

constexpr std::string_view kTrustedPrefix = "trusted.overlay.";
constexpr std::string_view kUserPrefix = "user.overlay.";
// Written by fuse-overlayfs where it may not write trusted.*.
constexpr std::string_view kFuseOverlayPrefix = "user.fuseoverlayfs.";
constexpr std::string_view kEscape = "overlay.";
constexpr std::string_view kOverrideInfix = "ufs.x.";

// Takes a number off the front of `text`.
template <typename T>
bool TakeNumber(std::string_view& text, T& number, int base = 10) {
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc()) return false;
  text.remove_prefix(end - text.data());
  return true;
}

bool TakeChar(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

struct TypeName {
  std::string_view name;
  mode_t type;
};
constexpr TypeName kTypeNames[] = {
    {"file", S_IFREG}, {"dir", S_IFDIR},     {"symlink", S_IFLNK},
    {"pipe", S_IFIFO}, {"socket", S_IFSOCK}, {"block", S_IFBLK},
    {"char", S_IFCHR},
};

std::string_view NameOfType(mode_t type) {
  for (const TypeName& t : kTypeNames)
    if (t.type == type) return t.name;
  return "file";
}

// A mark whose name others have chosen.
bool IsForeignMark(std::string_view xattr) {
  return xattr == kOverrideXattr || xattr == kPrivilegedOverrideXattr ||
         xattr.starts_with(kFuseOverlayPrefix);
}

bool IsDevice(mode_t mode) { return S_ISBLK(mode) || S_ISCHR(mode); }

// ":block-8-1", ":file" and so on; nothing at all is allowed.
bool TakeType(std::string_view& text, Override& override) {
  if (text.empty()) return true;
  if (!TakeChar(text, ':')) return false;
  for (const TypeName& t : kTypeNames) {
    if (!text.starts_with(t.name)) continue;
    text.remove_prefix(t.name.size());
    override.mode |= t.type;
    if (!IsDevice(t.type)) return text.empty();
    unsigned major = 0, minor = 0;
    if (!TakeChar(text, '-') || !TakeNumber(text, major) ||
        !TakeChar(text, '-') || !TakeNumber(text, minor) || !text.empty())
      return false;
    override.rdev = makedev(major, minor);
    return true;
  }
  return false;
}

Error Damaged(std::string_view xattr, std::string_view why) {
  return Error(EIO, "damaged " + std::string(xattr) + " mark (" +
                        std::string(why) +
                        "); make the layer anew, or remove the mark with "
                        "setfattr -x");
}

// Opacity and whiteouts count whoever wrote them.
std::optional<std::string_view> HidingMark(std::string_view xattr) {
  for (const std::string_view prefix :
       {kTrustedPrefix, kUserPrefix, kFuseOverlayPrefix})
    if (xattr.starts_with(prefix)) return xattr.substr(prefix.size());
  return std::nullopt;
}

Status TakeHidingMark(sys::At at, const char* xattr, std::string_view mark,
                      mode_t mode, Marks& marks) {
  if (mark == "whiteout") {
    marks.whiteout = S_ISREG(mode);
  } else if (mark == "opaque" && S_ISDIR(mode)) {
    const std::string value = TRY(sys::GetXattr(at, xattr));
    if (value == "y")
      marks.opaque = true;
    else if (value == "x")
      marks.xwhiteouts = true;
    else
      return Damaged(xattr, "neither y nor x");
  }
  return Ok();
}

Status TakeOwnMark(sys::At at, const std::string& xattr, const MarkNames& names,
                   Marks& marks) {
  if (xattr == names.redirect) {
    marks.redirect = TRY(ParseRedirect(TRY(sys::GetXattr(at, xattr.c_str()))));
  } else if (xattr == names.origin) {
    marks.origin = TRY(ParseOrigin(TRY(sys::GetXattr(at, xattr.c_str()))));
  } else if (xattr == names.nlink) {
    const std::string text = TRY(sys::GetXattr(at, xattr.c_str()));
    std::string_view rest = text;
    int64_t nlink = 0;
    if (!TakeNumber(rest, nlink) || !rest.empty())
      return Damaged(xattr, "not a number");
    marks.nlink = nlink;
  } else if (xattr == names.held_time) {
    marks.held_time = TRY(ParseHeldTime(TRY(sys::GetXattr(at, xattr.c_str()))));
  } else if (xattr == names.metacopy) {
    marks.metacopy = true;
  } else if (xattr == names.chunks) {
    marks.chunks = TRY(sys::GetXattr(at, xattr.c_str()));
  } else if (xattr == names.impure) {
    marks.impure = true;
  } else if (xattr == names.implied) {
    marks.implied = TRY(ParseOverride(TRY(sys::GetXattr(at, xattr.c_str()))));
  } else if (xattr == names.literal) {
    marks.literal = true;
  }
  return Ok();
}

Status TakeMark(sys::At at, const std::string& xattr, mode_t mode,
                const MarkNames& names, Marks& marks) {
  if (xattr == kOverrideXattr) {
    marks.override = TRY(ParseOverride(TRY(sys::GetXattr(at, kOverrideXattr))));
    return Ok();
  }
  if (xattr == kOldOverrideXattr || xattr == kPrivilegedOverrideXattr) {
    // The one that counts may be listed later, or have been before.
    if (!marks.override) marks.override = TRY(ReadOverride(at));
    return Ok();
  }
  if (const auto mark = HidingMark(xattr)) {
    TRY(TakeHidingMark(at, xattr.c_str(), *mark, mode, marks));
    return TakeOwnMark(at, xattr, names, marks);
  }
  if (xattr == kDefaultAclXattr) marks.has_default_acl = true;
  marks.has_other = true;
  if (xattr != kSelinuxXattr) marks.has_given = true;
  return Ok();
}

}  // namespace

Result<Override> ParseOverride(std::string_view text) {
  const auto damaged = [] { return Damaged(kOverrideXattr, "UID:GID:MODE"); };
  Override override;
  mode_t mode = 0;
  if (!TakeNumber(text, override.uid) || !TakeChar(text, ':') ||
      !TakeNumber(text, override.gid) || !TakeChar(text, ':') ||
      !TakeNumber(text, mode, 8) || (mode & ~07777) != 0)
    return damaged();
  override.mode = mode;
  if (!TakeType(text, override)) return damaged();
  return override;
}

Result<Override> ParseForeignOverride(std::string_view text) {
  Override override;
  mode_t mode = 0;
  if (!TakeNumber(text, override.uid) || !TakeChar(text, ':') ||
      !TakeNumber(text, override.gid) || !TakeChar(text, ':') ||
      !TakeNumber(text, mode, 8))
    return Damaged("fuseoverlayfs.override_stat", "UID:GID:MODE");
  // A type that is in the mode is the object's own.
  override.mode = mode & 07777;
  if (!TakeType(text, override))
    return Damaged("fuseoverlayfs.override_stat", "UID:GID:MODE:TYPE");
  return override;
}

Result<Override> ReadOverride(sys::At at) {
  auto text = sys::GetXattr(at, kOverrideXattr);
  if (text.code() != ENODATA) return ParseOverride(TRY(text));
  text = sys::GetXattr(at, kOldOverrideXattr);
  if (text.code() == ENODATA)
    text = sys::GetXattr(at, kPrivilegedOverrideXattr);
  // Some hosts have user.* and not security.*.
  if (text.code() == EOPNOTSUPP) return Error(ENODATA);
  return ParseForeignOverride(TRY(text));
}

std::string FormatOverride(const Override& o) {
  char text[96];
  int size =
      snprintf(text, sizeof(text), "%u:%u:%04o", o.uid, o.gid, o.mode & 07777);
  const std::string_view type = NameOfType(o.mode & S_IFMT);
  size += snprintf(text + size, sizeof(text) - size, ":%.*s",
                   static_cast<int>(type.size()), type.data());
  if (IsDevice(o.mode))
    size += snprintf(text + size, sizeof(text) - size, "-%u-%u", major(o.rdev),
                     minor(o.rdev));
  return std::string(text, size);
}

Result<Origin> ParseOrigin(std::string_view text) {
  Origin origin;
  if (!TakeChar(text, '1') || !TakeChar(text, ':') ||
      !TakeNumber(text, origin.layer_tag, 16) || !TakeChar(text, ':') ||
      !TakeNumber(text, origin.ino, 16) || !TakeChar(text, ':') ||
      !TakeNumber(text, origin.btime.tv_sec) || !TakeChar(text, '.') ||
      !TakeNumber(text, origin.btime.tv_nsec) || !text.empty())
    return Damaged("origin", "1:TAG:INO:SECONDS.NANOSECONDS");
  return origin;
}

std::string FormatOrigin(const Origin& origin) {
  char text[96];
  const int size = snprintf(text, sizeof(text), "1:%llx:%llx:%lld.%ld",
                            static_cast<unsigned long long>(origin.layer_tag),
                            static_cast<unsigned long long>(origin.ino),
                            static_cast<long long>(origin.btime.tv_sec),
                            origin.btime.tv_nsec);
  return std::string(text, size);
}

uint64_t LayerTag(const struct statx& root) {
  const uint64_t identity[] = {root.stx_ino,
                               static_cast<uint64_t>(root.stx_btime.tv_sec),
                               root.stx_btime.tv_nsec};
  return XXH3_64bits(identity, sizeof(identity));
}

std::string IndexNameOf(uint64_t layer_tag, uint64_t ino) {
  char text[40];
  const int size = snprintf(text, sizeof(text), "%llx-%llx",
                            static_cast<unsigned long long>(layer_tag),
                            static_cast<unsigned long long>(ino));
  return std::string(text, size);
}

std::optional<IndexName> ParseIndexName(std::string_view name) {
  IndexName parsed;
  if (!TakeNumber(name, parsed.layer_tag, 16) || !TakeChar(name, '-') ||
      !TakeNumber(name, parsed.ino, 16) || !name.empty())
    return std::nullopt;
  return parsed;
}

Result<HeldTime> ParseHeldTime(std::string_view text) {
  HeldTime held;
  if (!TakeNumber(text, held.size_bytes) || !TakeChar(text, ':') ||
      !TakeNumber(text, held.mtime.tv_sec) || !TakeChar(text, '.') ||
      !TakeNumber(text, held.mtime.tv_nsec) || !text.empty())
    return Damaged("mtime", "SIZE:SECONDS.NANOSECONDS");
  return held;
}

std::string FormatHeldTime(const HeldTime& held) {
  char text[96];
  const int size =
      snprintf(text, sizeof(text), "%llu:%lld.%ld",
               static_cast<unsigned long long>(held.size_bytes),
               static_cast<long long>(held.mtime.tv_sec), held.mtime.tv_nsec);
  return std::string(text, size);
}

Result<std::string> ParseRedirect(std::string_view text) {
  const bool absolute = text.starts_with('/');
  std::string_view rest = absolute ? text.substr(1) : text;
  if (text.size() >= PATH_MAX) return Damaged("redirect", "too long");
  if (text.find('\0') != text.npos) return Damaged("redirect", "a NUL byte");
  if (!absolute && rest.find('/') != rest.npos)
    return Damaged("redirect", "a relative path");
  while (true) {
    const size_t slash = rest.find('/');
    const std::string_view component = rest.substr(0, slash);
    if (component.empty() || component == "." || component == ".." ||
        component.size() > NAME_MAX)
      return Damaged("redirect", "an impossible component");
    if (slash == rest.npos) return std::string(text);
    rest.remove_prefix(slash + 1);
  }
}

MarkNames::MarkNames(bool trusted)
    : opaque(std::string(trusted ? kTrustedPrefix : kUserPrefix) + "opaque"),
      redirect(std::string(trusted ? kTrustedPrefix : kUserPrefix) +
               "redirect"),
      metacopy(std::string(trusted ? kTrustedPrefix : kUserPrefix) +
               "metacopy"),
      impure(std::string(trusted ? kTrustedPrefix : kUserPrefix) + "impure"),
      whiteout(std::string(trusted ? kTrustedPrefix : kUserPrefix) +
               "whiteout"),
      origin(std::string(trusted ? kTrustedPrefix : kUserPrefix) +
             "ufs.origin"),
      nlink(std::string(trusted ? kTrustedPrefix : kUserPrefix) + "ufs.nlink"),
      literal(std::string(trusted ? kTrustedPrefix : kUserPrefix) +
              "ufs.literal"),
      held_time(std::string(trusted ? kTrustedPrefix : kUserPrefix) +
                "ufs.mtime"),
      chunks(std::string(trusted ? kTrustedPrefix : kUserPrefix) +
             "ufs.chunks"),
      implied(std::string(trusted ? kTrustedPrefix : kUserPrefix) +
              "ufs.implied"),
      trusted_(trusted),
      prefix_(trusted ? kTrustedPrefix : kUserPrefix) {}

std::string MarkNames::ToStored(std::string_view name) const {
  for (const std::string_view prefix : {kTrustedPrefix, kUserPrefix})
    if (name.starts_with(prefix))
      return std::string(prefix) + std::string(kEscape) +
             std::string(name.substr(prefix.size()));
  if (IsForeignMark(name)) return ToOverride(name);
  return std::string(name);
}

std::optional<std::string> MarkNames::ToVisible(std::string_view stored) const {
  for (const std::string_view prefix : {kTrustedPrefix, kUserPrefix}) {
    if (!stored.starts_with(prefix)) continue;
    const std::string_view rest = stored.substr(prefix.size());
    if (rest.starts_with(kEscape))
      return std::string(prefix) + std::string(rest.substr(kEscape.size()));
    if (prefix == prefix_ && rest.starts_with(kOverrideInfix))
      return std::string(rest.substr(kOverrideInfix.size()));
    return std::nullopt;
  }
  if (IsForeignMark(stored)) return std::nullopt;
  return std::string(stored);
}

std::string MarkNames::ToOverride(std::string_view name) const {
  return prefix_ + std::string(kOverrideInfix) + std::string(name);
}

void TakeHeldTime(const Marks& marks, Attr& attr) {
  if (marks.metacopy && marks.held_time &&
      marks.held_time->size_bytes == attr.size_bytes)
    attr.mtime = marks.held_time->mtime;
}

Result<Marks> ReadMarks(sys::At at, mode_t mode, const MarkNames& names) {
  Marks marks;
  const auto listed = sys::ListXattr(at);
  // A file system without extended attributes has no marks to read.
  if (listed.code() == EOPNOTSUPP) return marks;
  if (!listed.ok()) return Error(listed.code(), "reading marks");
  std::string_view rest = *listed;
  while (!rest.empty()) {
    const std::string xattr(rest.substr(0, rest.find('\0')));
    rest.remove_prefix(xattr.size() + 1);
    if (xattr.ends_with(kCapabilityXattr)) marks.has_capability = true;
    const auto taken = TakeMark(at, xattr, mode, names, marks);
    // Removed since it was listed: not there.
    if (!taken.ok() && taken.code() != ENODATA)
      return Error(taken.code(), std::string(taken.error().context()));
  }
  return marks;
}

Result<std::string> GetShownXattr(sys::At at, const char* name,
                                  const MarkNames& names) {
  auto value = sys::GetXattr(at, names.ToStored(name).c_str());
  if (value.ok()) return IsAcl(name) ? WithoutStrangers(*value) : value;
  auto kept = sys::GetXattr(at, names.ToOverride(name).c_str());
  if (kept.ok()) return kept;
  // The kernel asks for ACLs as it checks access: what has none has its mode.
  if (IsAcl(name) && value.code() == EOPNOTSUPP) return Error(ENODATA);
  return value;
}

Result<std::string> ListShownXattrs(sys::At at, const MarkNames& names) {
  const auto stored = sys::ListXattr(at);
  if (stored.code() == EOPNOTSUPP) return std::string();
  if (!stored.ok()) return Error(stored.code());
  std::string shown;
  std::string_view rest = *stored;
  while (!rest.empty()) {
    const std::string_view name = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(name.size() + 1);
    if (const auto visible = names.ToVisible(name))
      shown.append(*visible).push_back('\0');
  }
  return shown;
}

std::vector<std::string> XattrNames(std::string_view list) {
  std::vector<std::string> names;
  while (!list.empty()) {
    names.emplace_back(list.substr(0, list.find('\0')));
    list.remove_prefix(names.back().size() + 1);
  }
  return names;
}

std::string FormatImplied(const struct statx& stat) {
  Override said;
  said.uid = stat.stx_uid;
  said.gid = stat.stx_gid;
  said.mode = stat.stx_mode;
  return FormatOverride(said);
}

bool IsImplied(const struct statx& stat, const Marks& marks) {
  if (!S_ISDIR(stat.stx_mode) || !marks.implied) return false;
  const Override& said = *marks.implied;
  return !marks.override && !marks.has_given &&
         (stat.stx_mode & 07777) == (said.mode & 07777) &&
         stat.stx_uid == said.uid && stat.stx_gid == said.gid;
}

bool IsCharWhiteout(const struct statx& stat) {
  return S_ISCHR(stat.stx_mode) && stat.stx_rdev_major == 0 &&
         stat.stx_rdev_minor == 0;
}

std::optional<std::string> AufsWhiteoutName(Name name) {
  if (name.view().size() + kAufsWhiteoutPrefix.size() > NAME_MAX)
    return std::nullopt;
  std::string mark = std::string(kAufsWhiteoutPrefix) + name.str();
  // Names that say something else.
  for (const std::string_view taken :
       {std::string_view(kAufsOpaqueName), std::string_view(kRedirectFileName),
        kAufsBranch, kAufsPseudoLinks, kAufsOrphans})
    if (mark == taken) return std::nullopt;
  return mark;
}

bool IsAufsMarkName(std::string_view name) {
  return name.starts_with(kAufsWhiteoutPrefix) &&
         name.size() > kAufsWhiteoutPrefix.size();
}

bool IsAufsMark(std::string_view name, const struct statx& stat,
                const Marks& marks) {
  return NeedsLiteral(name, stat.stx_mode) && !marks.literal &&
         !marks.override &&
         (S_ISDIR(stat.stx_mode) || stat.stx_size == 0 ||
          name == kRedirectFileName);
}

bool NeedsLiteral(std::string_view name, mode_t type) {
  if (!IsAufsMarkName(name)) return false;
  return S_ISREG(type) ||
         (S_ISDIR(type) && (name == kAufsPseudoLinks || name == kAufsOrphans));
}

Result<bool> HasAufsOpaque(sys::At dir, const MarkNames& names) {
  const std::string path = std::string(dir.name) + "/" + kAufsOpaqueName;
  const sys::At at{dir.dir, path.c_str()};
  const auto stat = sys::Statx(at);
  if (stat.code() == ENOENT || stat.code() == ENAMETOOLONG) return false;
  if (!stat.ok()) return Error(stat.code());
  return IsAufsMark(kAufsOpaqueName, *stat,
                    TRY(ReadMarks(at, stat->stx_mode, names)));
}

Result<std::string> ReadRedirectFile(sys::At dir, const MarkNames& names) {
  const std::string path = std::string(dir.name) + "/" + kRedirectFileName;
  const sys::At at{dir.dir, path.c_str()};
  const auto stat = sys::Statx(at);
  if (stat.code() == ENOENT || stat.code() == ENAMETOOLONG)
    return std::string();
  if (!stat.ok()) return Error(stat.code());
  if (!IsAufsMark(kRedirectFileName, *stat,
                  TRY(ReadMarks(at, stat->stx_mode, names))))
    return std::string();
  const UniqueFd fd = TRY(sys::OpenNoAtime(at, O_RDONLY | O_NOFOLLOW));
  std::string text(PATH_MAX, '\0');
  text.resize(TRY(sys::Pread(fd, text.data(), text.size(), 0)));
  auto redirect = ParseRedirect(text);
  if (redirect.ok()) return redirect;
  return Error(EIO, std::string("damaged ") + kRedirectFileName +
                        ": no path; make the layer anew, or remove the file");
}

Attr AttrOf(const struct statx& stat, const std::optional<Override>& override) {
  const auto time = [](const statx_timestamp& t) {
    return timespec{t.tv_sec, static_cast<long>(t.tv_nsec)};
  };
  Attr attr;
  attr.ino = stat.stx_ino;
  attr.mode = stat.stx_mode;
  attr.nlink = stat.stx_nlink;
  attr.uid = stat.stx_uid;
  attr.gid = stat.stx_gid;
  attr.rdev = makedev(stat.stx_rdev_major, stat.stx_rdev_minor);
  attr.size_bytes = stat.stx_size;
  attr.blocks = stat.stx_blocks;
  attr.blksize_bytes = stat.stx_blksize;
  attr.atime = time(stat.stx_atime);
  attr.mtime = time(stat.stx_mtime);
  attr.ctime = time(stat.stx_ctime);
  attr.btime = time(stat.stx_btime);
  if (override) {
    attr.uid = override->uid;
    attr.gid = override->gid;
    const mode_t type = override->mode & S_IFMT;
    // Only a regular file stands for another type.
    const bool stands_in = type != 0 && S_ISREG(attr.mode);
    attr.mode =
        (stands_in ? type : attr.mode & S_IFMT) | (override->mode & 07777);
    if (IsDevice(attr.mode)) attr.rdev = override->rdev;
    if (stands_in && type != S_IFREG && type != S_IFLNK) attr.size_bytes = 0;
  }
  return attr;
}

}  // namespace ufs
