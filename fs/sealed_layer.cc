#include "fs/sealed_layer.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <unordered_set>

#include "layerdb/base/posix_acl.h"
#include "layerdb/base/syscall.h"

namespace ufs {
namespace {

constexpr char kObjectPrefix[] = "object:";
constexpr uint64_t kDirBytes = 4096;
constexpr uint32_t kBlockBytes = 512;  // st_blocks counts these
constexpr uint64_t kMayBeSparseBytes = 1 << 20;

uint64_t FirstBytes(const Digest& digest) {
  uint64_t bytes;
  memcpy(&bytes, digest.bytes.data(), sizeof(bytes));
  return bytes;
}

}  // namespace

Result<std::unique_ptr<SealedLayer>> SealedLayer::Open(SealedRun run) {
  if (run.layers.empty() || run.tree->source_count() != run.layers.size())
    return Error(EUCLEAN,
                 "layer " +
                     (run.layers.empty() ? "" : run.layers[0].ToString()) +
                     ": its view is of other layers");
  return std::unique_ptr<SealedLayer>(new SealedLayer(std::move(run)));
}

SealedLayer::SealedLayer(SealedRun run)
    : run_(std::move(run)), label_(run_.layers.back().ToString()) {
  // Of the lowest layer: what is put on top changes nothing below.
  tag_ = FirstBytes(run_.layers.front());
  std::unordered_set<uint32_t> taken;
  for (const Digest& digest : run_.layers) {
    auto base = static_cast<uint32_t>(FirstBytes(digest) >> 32);
    while (!taken.insert(base).second) ++base;
    bases_.push_back(base);
  }
}

uint64_t SealedLayer::InoOf(const TreeNodeView& node) const {
  // A damaged view names a layer that there is not.
  const uint32_t base = node.source < bases_.size() ? bases_[node.source] : 0;
  return uint64_t{base} << 32 | (uint64_t{node.source_node} + 1);
}

// The tree does not say where a file has holes; its object does. Small ones are
// not worth the calls.
uint64_t SealedLayer::BlocksOf(const TreeNodeView& node) const {
  if (node.object && node.size_bytes >= kMayBeSparseBytes) {
    const auto object = run_.open_object(*node.object);
    const auto stat = object.ok() ? sys::Statx({*object})
                                  : Result<struct statx>(object.error());
    if (stat.ok()) return stat->stx_blocks;  // who reads it will tell the error
  }
  return (node.size_bytes + kBlockBytes - 1) / kBlockBytes;
}

Attr SealedLayer::AttrOf(const TreeNodeView& node) const {
  Attr attr;
  attr.ino = InoOf(node);
  attr.mode = node.mode;
  attr.nlink = node.nlink;
  attr.uid = node.uid;
  attr.gid = node.gid;
  attr.rdev = node.rdev;
  attr.size_bytes = S_ISDIR(node.mode) ? kDirBytes : node.size_bytes;
  attr.blocks = S_ISREG(node.mode) ? BlocksOf(node) : 0;
  attr.mtime = {node.mtime_sec, static_cast<long>(node.mtime_nsec)};
  attr.atime = attr.ctime = attr.btime = attr.mtime;
  return attr;
}

Error SealedLayer::Damaged(Error error) const {
  return std::move(error).With("layer " + label_);
}

NodeRef SealedLayer::Root() const { return NodeRef(this, TreeFile::kRoot); }

Result<LayerEntry> SealedLayer::Lookup(const NodeRef& dir, Name name,
                                       bool) const {
  const auto found = run_.tree->Lookup(NodeOf(dir), name.view());
  if (!found.ok()) return Damaged(found.error());
  LayerEntry entry;
  if (found->kind == TreeFile::Found::Kind::kAbsent) return entry;
  if (found->kind == TreeFile::Found::Kind::kWhiteout) {
    entry.kind = LayerEntry::Kind::kWhiteout;
    return entry;
  }
  const auto node = run_.tree->Node(found->node);
  if (!node.ok()) return Damaged(node.error());
  entry.kind = LayerEntry::Kind::kEntry;
  entry.node = NodeRef(this, found->node);
  entry.attr = AttrOf(*node);
  entry.opaque = node->opaque;
  return entry;
}

Result<std::vector<LayerDirEntry>> SealedLayer::List(const NodeRef& dir) const {
  std::vector<LayerDirEntry> entries;
  const Status listed = run_.tree->ForEachChild(
      NodeOf(dir), [&](const TreeFile::Child& child) -> Status {
        LayerDirEntry entry;
        entry.name = child.name;
        entry.whiteout = child.whiteout;
        if (!child.whiteout) {
          entry.type = child.mode & S_IFMT;
          entry.ino = InoOf(TRY(run_.tree->Node(child.node)));
        }
        entries.push_back(std::move(entry));
        return Ok();
      });
  if (!listed.ok()) return Damaged(listed.error());
  return entries;
}

Result<Attr> SealedLayer::GetAttr(const NodeRef& node) const {
  const auto found = run_.tree->Node(NodeOf(node));
  if (!found.ok()) return Damaged(found.error());
  return AttrOf(*found);
}

bool SealedLayer::Implied(const NodeRef& dir) const {
  const auto found = run_.tree->Node(NodeOf(dir));
  return found.ok() && found->implied;
}

Result<UniqueFd> SealedLayer::Open(const NodeRef& file) const {
  const auto found = run_.tree->Node(NodeOf(file));
  if (!found.ok()) return Damaged(found.error());
  if (!found->object) return Error(EINVAL);  // InMemory has it
  auto fd = run_.open_object(*found->object);
  if (fd.code() == ENOENT)
    return Error(EIO, WhereIs(file, *found) +
                          ": its contents are not in the store " + run_.store +
                          "; see 'ufs store check'");
  if (fd.ok() && run_.check_object)
    if (const auto sound = run_.check_object(*found->object); !sound.ok())
      return Error(EIO, WhereIs(file, *found) + ": " +
                            std::string(sound.error().context()) +
                            "; import the layer again, which mends it");
  return std::move(fd).With(WhereIs(file, *found));
}

std::string SealedLayer::WhereIs(const NodeRef& file,
                                 const TreeNodeView& node) const {
  const std::string layer = node.source < run_.layers.size()
                                ? run_.layers[node.source].ToString()
                                : label_;
  return "layer " + layer + ": " + PathOf(file);
}

std::optional<std::string_view> SealedLayer::InMemory(
    const NodeRef& file) const {
  const auto found = run_.tree->Node(NodeOf(file));
  if (!found.ok() || found->object || !S_ISREG(found->mode))
    return std::nullopt;
  return found->inline_content;
}

std::string SealedLayer::ContentsName(const NodeRef& file) const {
  const auto found = run_.tree->Node(NodeOf(file));
  if (!found.ok() || !found->object) return "";
  return kObjectPrefix + found->object->FileName();
}

Result<UniqueFd> SealedLayer::OpenContents(std::string_view name) const {
  if (!name.starts_with(kObjectPrefix)) return Error(ENOENT);
  const auto id = ObjectId::FromFileName(name.substr(strlen(kObjectPrefix)));
  if (!id) return Error(ENOENT);
  return run_.open_object(*id);
}

void SealedLayer::ReadNamesAhead() const { run_.tree->ReadAhead(); }

Result<std::string> SealedLayer::ReadLink(const NodeRef& link) const {
  const auto found = run_.tree->Node(NodeOf(link));
  if (!found.ok()) return Damaged(found.error());
  return std::string(found->link_target);
}

Result<std::string> SealedLayer::GetXattr(const NodeRef& node,
                                          const char* name) const {
  std::optional<std::string> wanted;
  const Status read = run_.tree->ForEachXattr(
      NodeOf(node), [&](std::string_view found, std::string_view value) {
        if (found == name) wanted = value;
        return Ok();
      });
  if (!read.ok()) return Damaged(read.error());
  if (!wanted) return Error(ENODATA);
  return IsAcl(name) ? WithoutStrangers(*std::move(wanted))
                     : *std::move(wanted);
}

Result<std::string> SealedLayer::ListXattr(const NodeRef& node) const {
  std::string names;
  const Status read = run_.tree->ForEachXattr(
      NodeOf(node), [&](std::string_view name, std::string_view) {
        names.append(name).push_back('\0');
        return Ok();
      });
  if (!read.ok()) return Damaged(read.error());
  return names;
}

std::string SealedLayer::PathOf(const NodeRef& node) const {
  const auto path = run_.tree->PathOf(NodeOf(node));
  return path.ok() ? "/" + *path : "/?";
}

}  // namespace ufs
