// What a union is made of and how it behaves: the result of parsing a command
// line, plain data. Paths are as the user gave them, made absolute.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fs/id_map.h"
#include "fs/open_layers.h"

namespace ufs {

// What survives a power cut. In every mode the upper survives a killed daemon.
enum class Durability {
  kAuto,      // data copied up is on disk before it replaces the lower file
  kStrict,    // every copy-up is; names when their change is answered, and all
              // at the unmount
  kVolatile,  // fsync is a no-op; the upper is refused at the next mount
};

// How a deletion is written in the upper.
enum class WhiteoutForm {
  kAuto,        // the first of the below that the upper's file system takes
  kCharDevice,  // character device 0/0, as overlayfs writes
  kXattr,  // empty file with overlay.whiteout (read by Linux 6.7 and later)
  kAufs,   // empty file .wh.NAME, as in image layers
};

// redirect_dir= of overlayfs.
enum class RedirectDir {
  kOn,        // renaming a lower directory writes a redirect
  kFollow,    // existing redirects count, none is written: EXDEV
  kNoFollow,  // redirects are ignored and none is written
};

struct UnionConfig {
  // Bottom to top: the path of a directory, or a digest, "sha256:...", of a
  // sealed layer.
  std::vector<std::string> layers;
  // Needed with digests.
  OpenSealedFn open_sealed;
  std::optional<std::string> upper;  // absent: the union is read-only
  std::optional<std::string> work;   // absent: beside the upper, NAME.work
  bool read_only = false;
  // Contents of sealed layers are checked against what they are named by before
  // they are first read. Whoever makes `open_sealed` sees to it.
  bool verify = false;

  RedirectDir redirect_dir = RedirectDir::kOn;
  bool metacopy = true;
  bool partial = true;      // a write copies chunks, not files; needs metacopy
  bool user_xattr = false;  // user.overlay.* even where trusted.* is possible
  bool acl = true;
  WhiteoutForm whiteout = WhiteoutForm::kAuto;
  Durability durability = Durability::kAuto;

  IdMap uid_map;  // host id -> id shown
  IdMap gid_map;
  std::optional<uid_t> squash_uid;  // every owner shown as this
  std::optional<gid_t> squash_gid;
  // Owners and modes go to the override xattr even where the host would take
  // them, so that the upper's files on the host stay the mounter's.
  bool keep_owners_in_xattrs = false;
};

}  // namespace ufs
