// Marks: what a layer writes beside its files to say that something is deleted,
// opaque, moved, or only half here. This is the one place that knows how they
// are spelled. Formats: fs/FORMAT.md; those of overlayfs are described in the
// kernel's Documentation/filesystems/overlayfs.rst, those of AUFS and OCI in
// the image specification's layer.md.
//
// Trust: redirect, metacopy and origin lead to other files, so they count only
// under the namespace the mount uses (trusted.* when privileged, which only
// root can have written), and a redirect in a file only in what is or was an
// upper on a file system without attributes. Whiteouts and opacity only hide,
// and count in each.
//
// Threads: immutable values and pure functions.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/types.h"
#include "layerdb/base/result.h"
#include "layerdb/base/syscall.h"

namespace ufs {

// Names of files that are marks, not files.
inline constexpr std::string_view kAufsWhiteoutPrefix = ".wh.";
inline constexpr char kAufsOpaqueName[] = ".wh..wh..opq";
// Ours: the redirect of the directory that holds it, where the host has no
// extended attributes. It goes where the directory goes.
inline constexpr char kRedirectFileName[] = ".wh..wh.ufs.redirect";

// Attributes an ordinary user cannot set on the host. The format is that of
// containers/storage: "UID:GID:OCTALMODE[:TYPE]".
struct Override {
  uid_t uid = 0;
  gid_t gid = 0;
  mode_t mode = 0;  // with the S_IFMT bits; those are 0 when not given
  dev_t rdev = 0;

  // As that of an object whose mode on the host is `host_mode`: of its type
  // where none was given.
  Override Of(mode_t host_mode) const {
    Override of = *this;
    if ((mode & S_IFMT) == 0) of.mode |= host_mode & S_IFMT;
    return of;
  }
};
inline constexpr char kOverrideXattr[] = "user.containers.override_stat";
// What fuse-overlayfs writes instead, up to 1.10 at least, and by root with
// xattr_permissions=1. They count where none before them is there, and are
// never written.
inline constexpr char kOldOverrideXattr[] = "user.fuseoverlayfs.override_stat";
inline constexpr char kPrivilegedOverrideXattr[] =
    "security.fuseoverlayfs.override_stat";
Result<Override> ParseOverride(std::string_view text);
// "UID:GID:OCTALMODE[:TYPE]", with the bits of the type in the mode or without.
Result<Override> ParseForeignOverride(std::string_view text);
// That of an object, whichever counts; ENODATA for none.
Result<Override> ReadOverride(sys::At at);
std::string FormatOverride(const Override& override);

// Which lower object an upper one was copied up from; its identity goes on.
struct Origin {
  uint64_t layer_tag = 0;
  uint64_t ino = 0;  // the layer's own number
  timespec btime{};
};
Result<Origin> ParseOrigin(std::string_view text);
std::string FormatOrigin(const Origin& origin);

// What tells a layer from others, by its root: it survives a reboot, unlike
// st_dev, and tells a restored copy from the original.
uint64_t LayerTag(const struct statx& root);

// The name in an upper's index of what a layer's file of several names became.
std::string IndexNameOf(uint64_t layer_tag, uint64_t ino);
struct IndexName {
  uint64_t layer_tag = 0;
  uint64_t ino = 0;
};
std::optional<IndexName> ParseIndexName(std::string_view name);

// The time of last change of a file whose contents are being copied into its
// metacopy: it counts while the file has that size and is a metacopy.
struct HeldTime {
  uint64_t size_bytes = 0;
  timespec mtime{};
};
Result<HeldTime> ParseHeldTime(std::string_view text);
std::string FormatHeldTime(const HeldTime& held);

// A redirect is one name, or an absolute path from the root of the layers
// below, without empty, "." or ".." components. EIO for anything else.
Result<std::string> ParseRedirect(std::string_view text);

// The names of the marks that are xattrs.
class MarkNames {
 public:
  // "trusted.overlay." or "user.overlay.".
  explicit MarkNames(bool trusted);

  const std::string& prefix() const { return prefix_; }
  bool trusted() const { return trusted_; }

  // As overlayfs writes them.
  const std::string opaque, redirect, metacopy, impure, whiteout;
  // Ours: the origin record, how many names of an indexed hard link are left,
  // "this .wh.NAME is a file, not a whiteout", a HeldTime, and the chunk map of
  // a file that is partly in the upper.
  const std::string origin, nlink, literal, held_time, chunks;
  // "Nobody said what the attributes of this directory are", in a layer of the
  // store that was written as a directory.
  const std::string implied;

  // The name under which an attribute the user calls `name` is stored: marks
  // are escaped, so that unions nest.
  std::string ToStored(std::string_view name) const;
  // The name to show for a stored one; nullopt for marks.
  std::optional<std::string> ToVisible(std::string_view stored) const;
  // Where an attribute is kept that the host would not take under its name.
  std::string ToOverride(std::string_view name) const;

 private:
  const bool trusted_;
  const std::string prefix_;
};

inline constexpr char kCapabilityXattr[] = "security.capability";

struct Marks {
  bool whiteout = false;  // an xattr whiteout
  bool opaque = false;
  bool xwhiteouts = false;  // the directory may hold xattr whiteouts
  bool impure = false;      // the directory may hold copied-up entries
  bool metacopy = false;
  bool literal = false;
  bool has_default_acl = false;
  bool has_other = false;       // attributes that are no marks
  bool has_given = false;       // of those, some that are no label
  bool has_capability = false;  // of a file, or one kept aside
  std::string redirect;
  std::string chunks;  // counts with metacopy only
  std::optional<Origin> origin;
  std::optional<Override> override;
  std::optional<int64_t> nlink;
  std::optional<HeldTime> held_time;
  // Of a directory, the attributes that nobody said: not, if it has others.
  std::optional<Override> implied;

  bool partial() const { return metacopy && !chunks.empty(); }
};

// What the implied mark holds: the attributes that a directory has by default.
// Once it has others, somebody did say.
std::string FormatImplied(const struct statx& stat);
// Whether nobody said what the attributes of a directory are.
bool IsImplied(const struct statx& stat, const Marks& marks);

// The time of the last change of contents that `marks` hold for an object whose
// attributes the host has as `attr`; else the host's.
void TakeHeldTime(const Marks& marks, Attr& attr);

// Reads the marks of an object whose mode is `mode`. An object without extended
// attributes costs one system call. EIO, with the cause, for damaged ones.
Result<Marks> ReadMarks(sys::At at, mode_t mode, const MarkNames& names);

// Extended attributes as the union shows them: those under their own names, and
// those kept aside because the host would not take the name.
Result<std::string> GetShownXattr(sys::At at, const char* name,
                                  const MarkNames& names);
// Each name ended by NUL; none where the host has no such attributes.
Result<std::string> ListShownXattrs(sys::At at, const MarkNames& names);

// A list of names, each ended by NUL, one by one.
std::vector<std::string> XattrNames(std::string_view list);

// Whether statx says it is a whiteout by itself: a character device 0/0.
bool IsCharWhiteout(const struct statx& stat);

// "foo" -> ".wh.foo"; nullopt when that is too long for a name, or says
// something else.
std::optional<std::string> AufsWhiteoutName(Name name);
// Whether an object of that name may be an AUFS mark.
bool IsAufsMarkName(std::string_view name);
// Whether it is one: an empty ".wh." file, a redirect, or what AUFS keeps for
// itself in the root of a branch (".wh..wh.plnk", ".wh..wh.orph").
bool IsAufsMark(std::string_view name, const struct statx& stat,
                const Marks& marks);

// Whether an object of that type needs the literal mark to be itself under that
// name.
bool NeedsLiteral(std::string_view name, mode_t type);
// Whether a directory holds the AUFS form of the opaque mark.
Result<bool> HasAufsOpaque(sys::At dir, const MarkNames& names);
// The redirect in a directory's file, empty for none. EIO for a damaged one.
Result<std::string> ReadRedirectFile(sys::At dir, const MarkNames& names);

// statx's answer as an Attr, with `override` applied. attr.ino is the host's.
Attr AttrOf(const struct statx& stat,
            const std::optional<Override>& override = std::nullopt);

}  // namespace ufs
