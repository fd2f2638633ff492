// HostLayer: a directory of the host as a Layer.
//
// Paths: a node is a chain of names up to the layer's root. It is opened
// component by component below the root's descriptor, never through a symbolic
// link or out of the root (openat2), so that a layer that changes underneath
// gives an error, not another file.
// Names: a directory that was read is not asked again for what it had not; what
// is added to a layer while it is part of a union shows at the next listing, or
// not at all.
// Mounts below the directory are not part of the layer where the process may
// clone the mount (CAP_SYS_ADMIN), as for overlayfs.
#pragma once

#include <memory>
#include <string>

#include "fs/fd_cache.h"
#include "fs/frozen_upper.h"
#include "fs/layer.h"
#include "fs/marks.h"
#include "fs/origins.h"

namespace ufs {

class HostLayer final : public Layer {
 public:
  // `fds` and `names` are borrowed and outlive the layer.
  // ENOENT, ENOTDIR, EACCES with the path in the context.
  static Result<std::unique_ptr<HostLayer>> Open(const std::string& path,
                                                 FdCache& fds,
                                                 const MarkNames& names);
  // An upper, to be read as one.
  static Result<std::unique_ptr<HostLayer>> OpenUpper(const std::string& path,
                                                      FdCache& fds,
                                                      const MarkNames& names);
  // The index of an upper, "WORK/ufs/index", which has no mark on its root.
  static Result<std::unique_ptr<HostLayer>> OpenIndex(const std::string& path,
                                                      FdCache& fds,
                                                      const MarkNames& names);
  // A frozen upper, "WORK/ufs/frozen/N".
  static Result<std::unique_ptr<HostLayer>> OpenFrozen(const std::string& path,
                                                       FdCache& fds,
                                                       const MarkNames& names);
  ~HostLayer() override;

  NodeRef Root() const override;
  Result<LayerEntry> Lookup(const NodeRef& dir, Name name,
                            bool more_below) const override;
  Result<std::vector<LayerDirEntry>> List(const NodeRef& dir) const override;
  Result<Attr> GetAttr(const NodeRef& node) const override;
  bool Implied(const NodeRef& dir) const override;
  Result<UniqueFd> Open(const NodeRef& file) const override;
  Result<UniqueFd> OpenPart(const NodeRef& file) const override;
  std::string ContentsName(const NodeRef& file) const override;
  Result<UniqueFd> OpenContents(std::string_view name) const override;
  Result<std::string> ReadLink(const NodeRef& link) const override;
  Result<std::string> GetXattr(const NodeRef& node,
                               const char* name) const override;
  Result<std::string> ListXattr(const NodeRef& node) const override;
  std::string PathOf(const NodeRef& node) const override;
  uint64_t tag() const override { return tag_; }
  const std::string& label() const override { return path_; }
  bool IsFrozenUpper() const override { return frozen_ != nullptr; }
  Result<LayerEntry> Superseding(uint64_t layer_tag,
                                 uint64_t ino) const override;

 protected:
  void Retain(uint64_t id) const override;
  void Release(uint64_t id) const override;

 private:
  struct Node;
  // A node's place for a system call: its directory, pinned, and its name.
  struct Place {
    FdCache::Pin dir;
    const char* name;
    sys::At at() const { return {*dir, name}; }
  };

  // What a frozen upper has beside its tree; `index` is null in the index.
  struct Frozen {
    Origins origins;
    std::unique_ptr<HostLayer> index;
  };

  HostLayer(std::string path, UniqueFd root, FdCache& fds,
            const MarkNames& names);

  static Node* NodeOf(const NodeRef& ref);
  NodeRef MakeChild(const NodeRef& dir, Name name) const;
  Result<FdCache::Pin> DirFd(const Node* dir) const;
  Result<Place> PlaceOf(const NodeRef& node) const;
  void CountMiss(const Node* dir, BorrowedFd path_fd) const;
  Result<bool> HasAufsWhiteout(sys::At dir, Name name) const;
  Result<LayerEntry> Found(const NodeRef& dir, Name name, sys::At at,
                           const struct statx& stat) const;
  Result<Marks> MarksOf(sys::At at, const struct statx& stat) const;
  Attr AttrIn(const struct statx& stat, const Marks& marks) const;
  Attr FrozenAttr(const struct statx& stat, const Marks& marks) const;
  uint64_t InoIn(uint32_t dev_major, uint32_t dev_minor, uint64_t ino) const;
  std::string ContentsPrefix() const;
  Error Damaged(const NodeRef& dir, Name name, Error error) const;

  // Constant after construction.
  const std::string path_;
  FdCache& fds_;
  const MarkNames& names_;
  const FdCache::Pin root_fd_;
  Node* const root_;
  uint64_t tag_ = 0;
  uint32_t dev_major_ = 0;
  uint32_t dev_minor_ = 0;
  bool has_overrides_ = false;
  bool redirects_in_files_ = false;       // an upper's, that can have no marks
  std::unique_ptr<const Frozen> frozen_;  // null: a layer like any other
};

}  // namespace ufs
