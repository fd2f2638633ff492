#include "layerdb/tree_file.h"

#include <limits.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "layerdb/base/syscall.h"
#include "layerdb/tree_hash.h"

namespace ufs {
namespace {

using tree_format::Entry;
using tree_format::Header;
using tree_format::Object;
using tree_format::Section;
using tree_format::SectionRecord;
using tree_format::Slot;
using tree_format::XattrBlock;
using tree_format::XattrRecord;

constexpr size_t kRecordBytes[] = {sizeof(tree_format::Node),
                                   sizeof(Entry),
                                   sizeof(Slot),
                                   1,
                                   1,
                                   4,
                                   sizeof(Object)};
static_assert(std::size(kRecordBytes) == tree_format::kSectionCount);

constexpr const char* kSectionNames[] = {"nodes", "entries", "slots",  "names",
                                         "bytes", "xattrs",  "objects"};

}  // namespace

Error TreeFile::Damaged(std::string_view what, uint64_t number) {
  return Error(EUCLEAN, "tree file: " + std::string(what) + " " +
                            std::to_string(number) + " is damaged");
}

Result<std::shared_ptr<const TreeFile>> TreeFile::Open(UniqueFd fd,
                                                       Verify verify) {
  const auto stat = TRY(sys::Statx({fd}));
  if (!S_ISREG(stat.stx_mode) || stat.stx_size < sizeof(Header))
    return Error(EUCLEAN, "is no tree file: too short");
  std::shared_ptr<TreeFile> file(new TreeFile);
  file->map_ = TRY(sys::MapReadOnly(fd, stat.stx_size, verify == Verify::kAll));
  file->mapped_ = true;
  file->fd_ = std::move(fd);
  TRY(file->Attach(file->map_, verify));
  return std::shared_ptr<const TreeFile>(std::move(file));
}

Result<std::shared_ptr<const TreeFile>> TreeFile::Parse(std::string_view bytes,
                                                        Verify verify) {
  if (bytes.size() < sizeof(Header))
    return Error(EUCLEAN, "is no tree file: too short");
  std::shared_ptr<TreeFile> file(new TreeFile);
  file->copy_ = std::make_unique<uint64_t[]>((bytes.size() + 7) / 8);
  memcpy(file->copy_.get(), bytes.data(), bytes.size());
  TRY(file->Attach(
      {reinterpret_cast<const char*>(file->copy_.get()), bytes.size()},
      verify));
  return std::shared_ptr<const TreeFile>(std::move(file));
}

TreeFile::~TreeFile() {
  if (mapped_) sys::Unmap(map_);
}

void TreeFile::ReadAhead() const {
  if (mapped_) (void)sys::PopulateMap(map_);
}

Status TreeFile::Attach(std::span<const char> map, Verify verify) {
  map_ = map;
  header_ = reinterpret_cast<const Header*>(map.data());
  if (header_->magic != tree_format::kMagic)
    return Error(EUCLEAN, "is no tree file: it begins with something else");
  if (header_->version != tree_format::kVersion)
    return Error(EPROTO, "is a tree file of version " +
                             std::to_string(header_->version) +
                             "; this ufs knows version " +
                             std::to_string(tree_format::kVersion));
  if (header_->header_bytes != sizeof(Header) ||
      header_->hash != TreeBytesHash({map.data(), offsetof(Header, hash)}))
    return Error(EUCLEAN, "tree file: the header is damaged");
  if (header_->file_bytes != map.size())
    return Error(EUCLEAN, "tree file: it is " + std::to_string(map.size()) +
                              " bytes long and should be " +
                              std::to_string(header_->file_bytes));
  for (size_t i = 0; i < tree_format::kSectionCount; ++i) {
    const SectionRecord& section = header_->sections[i];
    if (section.offset % tree_format::kSectionAlignment != 0 ||
        section.offset > map.size() ||
        section.bytes > map.size() - section.offset ||
        section.bytes % kRecordBytes[i] != 0 ||
        section.bytes / kRecordBytes[i] >= tree_format::kNone)
      return Error(EUCLEAN, std::string("tree file: section ") +
                                kSectionNames[i] + " is not within the file");
  }
  nodes_ = SectionAs<tree_format::Node>(Section::kNodes);
  entries_ = SectionAs<Entry>(Section::kEntries);
  slots_ = SectionAs<Slot>(Section::kSlots);
  node_count_ = static_cast<uint32_t>(nodes_.size());
  entry_count_ = static_cast<uint32_t>(entries_.size());
  object_count_ =
      static_cast<uint32_t>(SectionAs<Object>(Section::kObjects).size());
  if (!std::has_single_bit(slots_.size()) || nodes_.empty() ||
      !S_ISDIR(nodes_[kRoot].mode))
    return Error(EUCLEAN, "tree file: it has no root");
  // A lookup in a full table would go round.
  if (header_->max_probes > slots_.size())
    return Error(EUCLEAN, "tree file: a lookup would never end");
  return verify == Verify::kAll ? CheckHashes() : Ok();
}

template <typename T>
std::span<const T> TreeFile::SectionAs(Section section) const {
  const SectionRecord& record = header_->sections[section];
  return {reinterpret_cast<const T*>(map_.data() + record.offset),
          record.bytes / sizeof(T)};
}

std::string_view TreeFile::SectionBytes(Section section) const {
  const SectionRecord& record = header_->sections[section];
  return {map_.data() + record.offset, record.bytes};
}

Status TreeFile::CheckHashes() const {
  uint64_t end = sizeof(Header);
  for (uint32_t i = 0; i < tree_format::kSectionCount; ++i) {
    // What lies between sections has no hash: it is zeros.
    const SectionRecord& section = header_->sections[i];
    for (; end < section.offset; ++end)
      if (map_[end] != 0) return Damaged("byte", end);
    end = std::max(end, section.offset + section.bytes);
    if (TreeBytesHash(SectionBytes(static_cast<Section>(i))) !=
        header_->sections[i].hash)
      return Error(EUCLEAN, std::string("tree file: section ") +
                                kSectionNames[i] + " is damaged");
  }
  return Ok();
}

Result<const tree_format::Node*> TreeFile::NodeAt(NodeNo node) const {
  if (node >= nodes_.size()) return Damaged("node", node);
  return &nodes_[node];
}

Result<std::span<const Entry>> TreeFile::EntriesOf(NodeNo dir) const {
  const tree_format::Node& node = *TRY(NodeAt(dir));
  if (!S_ISDIR(node.mode)) return Error(ENOTDIR);
  if (node.content > entries_.size() ||
      node.size > entries_.size() - node.content)
    return Damaged("directory", dir);
  return entries_.subspan(node.content, node.size);
}

Result<std::string_view> TreeFile::NameOf(const Entry& entry) const {
  const std::string_view names = SectionBytes(Section::kNames);
  if (entry.name > names.size() ||
      entry.name_bytes > names.size() - entry.name || entry.name_bytes == 0 ||
      entry.name_bytes > NAME_MAX)
    return Damaged("entry", static_cast<uint64_t>(&entry - entries_.data()));
  return names.substr(entry.name, entry.name_bytes);
}

Result<TreeFile::Child> TreeFile::ChildAt(const Entry& entry) const {
  Child child;
  child.name = TRY(NameOf(entry));
  // A name is one component, or a damaged file could lead out of the tree.
  if (child.name == "." || child.name == ".." ||
      child.name.find('/') != child.name.npos ||
      child.name.find('\0') != child.name.npos)
    return Damaged("entry", static_cast<uint64_t>(&entry - entries_.data()));
  child.whiteout = entry.node == tree_format::kNone;
  if (child.whiteout) return child;
  child.node = entry.node;
  child.mode = TRY(NodeAt(entry.node))->mode;
  return child;
}

Result<TreeFile::Found> TreeFile::Lookup(NodeNo dir,
                                         std::string_view name) const {
  const uint64_t hash = TreeNameHash(dir, name);
  const auto check = static_cast<uint32_t>(hash >> 32);
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  for (uint32_t probe = 0; probe < header_->max_probes; ++probe) {
    const Slot slot = slots_[at];
    if (slot.entry == 0) break;
    at = (at + 1) & mask;
    if (slot.check != check) continue;
    if (slot.entry > entries_.size()) return Damaged("slot", at);
    const Entry& entry = entries_[slot.entry - 1];
    if (entry.parent != dir || TRY(NameOf(entry)) != name) continue;
    if (entry.node == tree_format::kNone)
      return Found{Found::Kind::kWhiteout, 0};
    if (entry.node >= nodes_.size()) return Damaged("entry", slot.entry - 1);
    return Found{Found::Kind::kNode, entry.node};
  }
  return Found{};
}

Result<ObjectId> TreeFile::ObjectAt(uint64_t number) const {
  const auto objects = SectionAs<Object>(Section::kObjects);
  if (number >= objects.size()) return Damaged("object", number);
  const Object& object = objects[number];
  return ObjectId{object.hi, object.lo, object.variant};
}

Result<TreeNodeView> TreeFile::Node(NodeNo number) const {
  const tree_format::Node& from = *TRY(NodeAt(number));
  TreeNodeView node;
  node.mode = from.mode;
  node.uid = from.uid;
  node.gid = from.gid;
  node.nlink = from.nlink;
  node.mtime_sec = from.mtime_sec;
  node.mtime_nsec = from.mtime_nsec;
  node.opaque = (from.flags & tree_format::kOpaque) != 0;
  node.implied = (from.flags & tree_format::kImplied) != 0;
  node.source = from.source;
  node.source_node = from.source_node;
  const bool is_link = S_ISLNK(from.mode);
  if (S_ISCHR(from.mode) || S_ISBLK(from.mode)) node.rdev = from.size;
  if (S_ISREG(from.mode) || is_link) node.size_bytes = from.size;
  if (S_ISREG(from.mode) && (from.flags & tree_format::kObject)) {
    node.object = TRY(ObjectAt(from.content));
  } else if (is_link || (S_ISREG(from.mode) && from.size > 0)) {
    const std::string_view bytes = SectionBytes(Section::kBytes);
    const bool inlined = is_link || (from.flags & tree_format::kInline) != 0;
    if (!inlined || from.content > bytes.size() ||
        from.size > bytes.size() - from.content)
      return Damaged("node", number);
    (is_link ? node.link_target : node.inline_content) =
        bytes.substr(from.content, from.size);
  }
  return node;
}

Result<std::string_view> TreeFile::XattrBlockOf(
    const tree_format::Node& node) const {
  if (node.xattrs == tree_format::kNone) return std::string_view();
  const std::string_view section = SectionBytes(Section::kXattrs);
  const uint64_t at = uint64_t{node.xattrs} * 4;
  XattrBlock block;
  if (at > section.size() || section.size() - at < sizeof(block))
    return Damaged("attributes at", at);
  memcpy(&block, section.data() + at, sizeof(block));
  if (block.bytes > section.size() - at - sizeof(block))
    return Damaged("attributes at", at);
  return section.substr(at + sizeof(block), block.bytes);
}

Result<std::pair<std::string_view, std::string_view>> TreeFile::NextXattr(
    std::string_view& block) {
  XattrRecord record;
  if (block.size() < sizeof(record))
    return Damaged("attribute before byte", block.size());
  memcpy(&record, block.data(), sizeof(record));
  block.remove_prefix(sizeof(record));
  if (record.name_bytes == 0 || record.name_bytes > block.size() ||
      record.value_bytes > block.size() - record.name_bytes)
    return Damaged("attribute before byte", block.size());
  const auto name = block.substr(0, record.name_bytes);
  const auto value = block.substr(record.name_bytes, record.value_bytes);
  block.remove_prefix(record.name_bytes + record.value_bytes);
  return std::pair(name, value);
}

Result<std::string> TreeFile::PathOf(NodeNo node) const {
  std::vector<std::string_view> names;
  while (node != kRoot) {
    const uint32_t number = TRY(NodeAt(node))->first_name;
    // More steps than there are nodes: a circle.
    if (number >= entries_.size() || names.size() > nodes_.size())
      return Damaged("node", node);
    names.push_back(TRY(NameOf(entries_[number])));
    node = entries_[number].parent;
  }
  std::string path;
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    if (!path.empty()) path += '/';
    path += *name;
  }
  return path;
}

Result<TreeNode> TreeFile::Copy(NodeNo number) const {
  const TreeNodeView from = TRY(Node(number));
  TreeNode node;
  node.mode = from.mode;
  node.uid = from.uid;
  node.gid = from.gid;
  node.rdev = from.rdev;
  node.mtime_sec = from.mtime_sec;
  node.mtime_nsec = from.mtime_nsec;
  node.link_target = from.link_target;
  node.opaque = from.opaque;
  node.implied = from.implied;
  if (S_ISREG(from.mode)) node.size_bytes = from.size_bytes;
  if (from.object)
    node.content = *from.object;
  else if (!from.inline_content.empty())
    node.content = std::string(from.inline_content);
  TRY(ForEachXattr(number, [&](auto name, auto value) {
    node.xattrs.emplace_back(name, value);
    return Ok();
  }));
  return node;
}

}  // namespace ufs
