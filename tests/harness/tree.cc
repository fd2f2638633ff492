#include "tests/harness/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/harness/expect.h"
#include "tests/harness/files.h"

namespace ufs::test {
namespace {

using Kind = Tree::Node::Kind;

std::string ParentOf(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string NameOf(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

bool IsBelow(const std::string& path, const std::string& dir) {
  if (dir.empty()) return !path.empty();
  return path.size() > dir.size() && path[dir.size()] == '/' &&
         path.compare(0, dir.size(), dir) == 0;
}

// Writes one tree. Each step returns false after it has recorded a failure.
class Builder {
 public:
  explicit Builder(const std::string& root) : root_(root) {}

  bool Make(const std::string& path, const std::shared_ptr<Tree::Node>& node) {
    const Tree::Node& n = *node;
    if (path.empty()) return n.kind == Kind::kDir || Wrong("make", path);
    if (auto it = made_.find(node.get()); it != made_.end()) {
      return Check(::link(it->second.c_str(), At(path).c_str()), "link", path);
    }
    made_[node.get()] = At(path);
    switch (n.kind) {
      case Kind::kDir:
        return Check(::mkdir(At(path).c_str(), 0755), "mkdir", path);
      case Kind::kFile:
        return MakeFile(path, n);
      case Kind::kSymlink:
        return Check(::symlink(n.content.c_str(), At(path).c_str()), "symlink",
                     path);
      case Kind::kFifo:
        return Check(::mkfifo(At(path).c_str(), n.mode), "mkfifo", path);
      case Kind::kSocket:
        return MakeSocket(path);
      case Kind::kDevice:
        return Check(
            ::mknod(At(path).c_str(), n.device_type | n.mode, n.device),
            "mknod", path);
      case Kind::kWhiteout:
        return MakeWhiteout(path, n);
    }
    return false;
  }

  // Owner before mode and capabilities, which a chown would clear.
  bool Dress(const std::string& path, const Tree::Node& n) {
    if (n.kind == Kind::kWhiteout) return true;
    if (!Check(::lchown(At(path).c_str(), n.uid, n.gid), "chown", path)) {
      return false;
    }
    if (n.kind != Kind::kSymlink &&
        !Check(::chmod(At(path).c_str(), n.mode), "chmod", path)) {
      return false;
    }
    for (const auto& [name, value] : n.xattrs) {
      if (!PutXattr(path, name, value)) return false;
    }
    return !n.opaque || MakeOpaque(path, n);
  }

  // After everything else, since making children changes a directory's mtime.
  bool Date(const std::string& path, const Tree::Node& n) {
    if (!n.atime) return true;
    const struct timespec times[2] = {*n.atime, *n.mtime};
    return Check(
        ::utimensat(AT_FDCWD, At(path).c_str(), times, AT_SYMLINK_NOFOLLOW),
        "utimensat", path);
  }

 private:
  std::string At(const std::string& path) const {
    return path.empty() ? root_ : root_ + "/" + path;
  }

  bool Wrong(const char* what, const std::string& path) {
    ADD_FAILURE() << "tree builder: " << what << " " << At(path) << ": "
                  << ErrnoName(errno);
    return false;
  }

  bool Check(int result, const char* what, const std::string& path) {
    return result >= 0 || Wrong(what, path);
  }

  bool PutXattr(const std::string& path, const std::string& name,
                const std::string& value) {
    return Check(::lsetxattr(At(path).c_str(), name.c_str(), value.data(),
                             value.size(), 0),
                 ("setxattr " + name).c_str(), path);
  }

  bool MakeFile(const std::string& path, const Tree::Node& n) {
    UniqueFd fd(::open(At(path).c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd.valid()) return Wrong("create", path);
    WriteAt(fd.get(), 0, n.content);
    for (const auto& [offset, data] : n.extents) {
      WriteAt(fd.get(), offset, data);
    }
    return !n.size || Check(::ftruncate(fd.get(), *n.size), "ftruncate", path);
  }

  // Bound by a relative name: sun_path holds 107 bytes only.
  bool MakeSocket(const std::string& path) {
    UniqueFd dir(::open(At(ParentOf(path)).c_str(), O_PATH | O_CLOEXEC));
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    struct sockaddr_un addr = {};
    addr.sun_family = AF_UNIX;
    std::string name =
        "/proc/self/fd/" + std::to_string(dir.get()) + "/" + NameOf(path);
    strncpy(addr.sun_path, name.c_str(), sizeof addr.sun_path - 1);
    return Check(::bind(fd.get(), reinterpret_cast<struct sockaddr*>(&addr),
                        sizeof addr),
                 "bind", path);
  }

  bool MakeEmptyFile(const std::string& path) {
    UniqueFd fd(::open(At(path).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    return fd.valid() || Wrong("create", path);
  }

  bool MakeWhiteout(const std::string& path, const Tree::Node& n) {
    const std::string parent = ParentOf(path);
    const std::string prefix =
        n.whiteout == WhiteoutForm::kUserXattr ? "user." : "trusted.";
    switch (n.whiteout) {
      case WhiteoutForm::kCharDevice:
        return Check(::mknod(At(path).c_str(), S_IFCHR, makedev(0, 0)), "mknod",
                     path);
      case WhiteoutForm::kTrustedXattr:
      case WhiteoutForm::kUserXattr:
        return MakeEmptyFile(path) &&
               PutXattr(path, prefix + "overlay.whiteout", "y") &&
               PutXattr(parent, prefix + "overlay.opaque", "x");
      case WhiteoutForm::kAufs:
        return MakeEmptyFile((parent.empty() ? "" : parent + "/") + ".wh." +
                             NameOf(path));
    }
    return false;
  }

  bool MakeOpaque(const std::string& path, const Tree::Node& n) {
    switch (*n.opaque_form) {
      case OpaqueForm::kTrustedXattr:
        return PutXattr(path, "trusted.overlay.opaque", "y");
      case OpaqueForm::kUserXattr:
        return PutXattr(path, "user.overlay.opaque", "y");
      case OpaqueForm::kFuseOverlayfsXattr:
        return PutXattr(path, "user.fuseoverlayfs.opaque", "y");
      case OpaqueForm::kAufs:
        return MakeEmptyFile((path.empty() ? "" : path + "/") + ".wh..wh..opq");
    }
    return false;
  }

  const std::string root_;
  std::map<const Tree::Node*, std::string> made_;
};

}  // namespace

std::string ToString(WhiteoutForm form) {
  switch (form) {
    case WhiteoutForm::kCharDevice:
      return "CharDevice";
    case WhiteoutForm::kTrustedXattr:
      return "TrustedXattr";
    case WhiteoutForm::kUserXattr:
      return "UserXattr";
    case WhiteoutForm::kAufs:
      return "Aufs";
  }
  return "?";
}

std::string ToString(OpaqueForm form) {
  switch (form) {
    case OpaqueForm::kTrustedXattr:
      return "TrustedXattr";
    case OpaqueForm::kUserXattr:
      return "UserXattr";
    case OpaqueForm::kFuseOverlayfsXattr:
      return "FuseOverlayfsXattr";
    case OpaqueForm::kAufs:
      return "Aufs";
  }
  return "?";
}

Tree::Tree() {
  Node root;
  root.kind = Kind::kDir;
  root.mode = 0755;
  last_ = nodes_[""] = std::make_shared<Node>(root);
}

Tree& Tree::Add(std::string_view path, Node node) {
  AddParents(std::string(path));
  last_ = nodes_[std::string(path)] = std::make_shared<Node>(std::move(node));
  return *this;
}

void Tree::AddParents(const std::string& path) {
  for (std::string dir = ParentOf(path); !dir.empty(); dir = ParentOf(dir)) {
    if (nodes_.count(dir)) continue;
    Node node;
    node.kind = Kind::kDir;
    node.mode = 0755;
    nodes_[dir] = std::make_shared<Node>(node);
  }
}

Tree& Tree::File(std::string_view path, std::string_view content) {
  Node node;
  node.content = content;
  return Add(path, node);
}

Tree& Tree::Dir(std::string_view path) {
  Node node;
  node.kind = Kind::kDir;
  node.mode = 0755;
  return Add(path, node);
}

Tree& Tree::Symlink(std::string_view path, std::string_view target) {
  Node node;
  node.kind = Kind::kSymlink;
  node.content = target;
  return Add(path, node);
}

Tree& Tree::Fifo(std::string_view path) {
  Node node;
  node.kind = Kind::kFifo;
  return Add(path, node);
}

Tree& Tree::Socket(std::string_view path) {
  Node node;
  node.kind = Kind::kSocket;
  return Add(path, node);
}

Tree& Tree::CharDevice(std::string_view path, unsigned major, unsigned minor) {
  Node node;
  node.kind = Kind::kDevice;
  node.device_type = S_IFCHR;
  node.device = makedev(major, minor);
  return Add(path, node);
}

Tree& Tree::BlockDevice(std::string_view path, unsigned major, unsigned minor) {
  Node node;
  node.kind = Kind::kDevice;
  node.device_type = S_IFBLK;
  node.device = makedev(major, minor);
  return Add(path, node);
}

Tree& Tree::HardLink(std::string_view path, std::string_view existing) {
  AddParents(std::string(path));
  last_ = nodes_[std::string(path)] = nodes_.at(std::string(existing));
  return *this;
}

Tree& Tree::Whiteout(std::string_view path, WhiteoutForm form) {
  Node node;
  node.kind = Kind::kWhiteout;
  node.whiteout = form;
  return Add(path, node);
}

Tree& Tree::Mode(mode_t mode) {
  last_->mode = mode;
  return *this;
}

Tree& Tree::Owner(uid_t uid, gid_t gid) {
  last_->uid = uid;
  last_->gid = gid;
  return *this;
}

Tree& Tree::Xattr(const std::string& name, std::string_view value) {
  last_->xattrs[name] = std::string(value);
  return *this;
}

Tree& Tree::Times(struct timespec atime, struct timespec mtime) {
  last_->atime = atime;
  last_->mtime = mtime;
  return *this;
}

Tree& Tree::Opaque(OpaqueForm form) {
  last_->opaque = true;
  last_->opaque_form = form;
  return *this;
}

Tree& Tree::SparseSize(off_t size) {
  last_->size = size;
  return *this;
}

Tree& Tree::Extent(off_t offset, std::string_view data) {
  last_->extents.emplace_back(offset, data);
  return *this;
}

void Tree::EraseBelow(const std::string& path) {
  for (auto it = nodes_.begin(); it != nodes_.end();) {
    it = IsBelow(it->first, path) ? nodes_.erase(it) : std::next(it);
  }
}

Tree Tree::Merge(const std::vector<Tree>& layers) {
  Tree merged;
  for (const Tree& layer : layers) {
    for (const auto& [path, node] : layer.nodes_) {
      auto below = merged.nodes_.find(path);
      const bool merges = below != merged.nodes_.end() &&
                          below->second->kind == Kind::kDir &&
                          node->kind == Kind::kDir && !node->opaque;
      if (!merges) merged.EraseBelow(path);
      if (node->kind == Kind::kWhiteout) {
        merged.nodes_.erase(path);
        continue;
      }
      if (!node->opaque) {
        merged.nodes_[path] = node;  // shared, so hard links stay together
        continue;
      }
      auto plain = std::make_shared<Node>(*node);
      plain->opaque = false;
      merged.nodes_[path] = plain;
    }
  }
  return merged;
}

bool Tree::Build(const std::string& root) const {
  Builder builder(root);
  for (const auto& [path, node] : nodes_) {
    if (!builder.Make(path, node)) return false;
  }
  for (const auto& [path, node] : nodes_) {
    if (!builder.Dress(path, *node)) return false;
  }
  for (auto it = nodes_.rbegin(); it != nodes_.rend(); ++it) {
    if (!builder.Date(it->first, *it->second)) return false;
  }
  return true;
}

}  // namespace ufs::test
