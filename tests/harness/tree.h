// Tree declares a directory tree, usually one layer of a union:
//
//   Tree().File("bin/tool", "#!/bin/sh\n").Mode(0755).Owner(1000, 1000)
//         .Dir("etc").Opaque()
//         .Whiteout("old")
//
// Parents that are not declared appear with mode 0755. A declaration made twice
// for one path replaces the first. Not thread-safe.
#pragma once

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ufs::test {

// How a layer says "the name below is gone".
enum class WhiteoutForm {
  kCharDevice,    // character device 0/0 (overlayfs)
  kTrustedXattr,  // empty file with trusted.overlay.whiteout, in a directory
                  // whose trusted.overlay.opaque is "x"
  kUserXattr,     // the same with user. for trusted.
  kAufs,          // a file .wh.NAME (AUFS, OCI)
};

// How a layer says "nothing below this directory shows through".
enum class OpaqueForm {
  kTrustedXattr,        // trusted.overlay.opaque=y
  kUserXattr,           // user.overlay.opaque=y
  kFuseOverlayfsXattr,  // user.fuseoverlayfs.opaque=y
  kAufs,                // a file .wh..wh..opq
};

std::string ToString(WhiteoutForm form);
std::string ToString(OpaqueForm form);

class Tree {
 public:
  // The object behind one or more names.
  struct Node {
    enum class Kind {
      kFile,
      kDir,
      kSymlink,
      kFifo,
      kSocket,
      kDevice,
      kWhiteout
    };
    Kind kind = Kind::kFile;
    std::string content;  // file content or symlink target
    std::vector<std::pair<off_t, std::string>> extents;  // of a sparse file
    std::optional<off_t> size;                           // of a sparse file
    mode_t mode = 0644;  // permission and special bits
    mode_t device_type = 0;
    dev_t device = 0;
    uid_t uid = 0;
    gid_t gid = 0;
    std::map<std::string, std::string> xattrs;
    std::optional<struct timespec> atime;
    std::optional<struct timespec> mtime;
    WhiteoutForm whiteout = WhiteoutForm::kCharDevice;
    bool opaque = false;
    std::optional<OpaqueForm> opaque_form;
  };

  Tree();

  Tree& File(std::string_view path, std::string_view content = "");
  Tree& Dir(std::string_view path);
  Tree& Symlink(std::string_view path, std::string_view target);
  Tree& Fifo(std::string_view path);
  Tree& Socket(std::string_view path);
  Tree& CharDevice(std::string_view path, unsigned major, unsigned minor);
  Tree& BlockDevice(std::string_view path, unsigned major, unsigned minor);
  // One more name for the object that `existing` names in this tree.
  Tree& HardLink(std::string_view path, std::string_view existing);
  Tree& Whiteout(std::string_view path,
                 WhiteoutForm form = WhiteoutForm::kCharDevice);

  // These change the object declared last; right after Tree(), the root.
  Tree& Mode(mode_t mode);
  Tree& Owner(uid_t uid, gid_t gid);
  Tree& Xattr(const std::string& name, std::string_view value);
  Tree& Times(struct timespec atime, struct timespec mtime);
  Tree& Opaque(OpaqueForm form = OpaqueForm::kTrustedXattr);
  // A sparse file: `size` bytes, holes but for the extents.
  Tree& SparseSize(off_t size);
  Tree& Extent(off_t offset, std::string_view data);

  // What a union of `layers` (bottom to top) shows, as the specification says
  // it: written without a look at any implementation's code.
  static Tree Merge(const std::vector<Tree>& layers);

  // Makes the tree in `root`, an existing empty directory. Returns false, with
  // a failure recorded in the running test, when that was not possible.
  bool Build(const std::string& root) const;

  const std::map<std::string, std::shared_ptr<Node>>& nodes() const {
    return nodes_;
  }

 private:
  Tree& Add(std::string_view path, Node node);
  void AddParents(const std::string& path);
  void EraseBelow(const std::string& path);

  // By path relative to the root, which is "". Parents sort before children.
  std::map<std::string, std::shared_ptr<Node>> nodes_;
  std::shared_ptr<Node> last_;
};

}  // namespace ufs::test
