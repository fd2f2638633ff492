#include "layerdb/tree_builder.h"

#include <limits.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "layerdb/tree_hash.h"

namespace ufs {
namespace {

constexpr size_t kFirstSlots = 64;
constexpr uint32_t kMaxNodes = tree_format::kNone - 2;
constexpr size_t kMaxXattrName = 255;        // XATTR_NAME_MAX
constexpr size_t kMaxXattrValue = 64 << 10;  // XATTR_SIZE_MAX
constexpr size_t kMaxXattrBlock = 1 << 20;   // of one object
constexpr uint32_t kNanosPerSecond = 1'000'000'000;

Error At(int code, std::string_view path, const std::string& what) {
  return Error(code, "'" + std::string(path) + "': " + what);
}

Status CheckName(std::string_view name, std::string_view path) {
  if (name.empty() || name == "." || name == "..")
    return At(EINVAL, path, "is no path within a layer");
  if (name.find('\0') != name.npos)
    return At(EINVAL, path.substr(0, path.find('\0')),
              "a name with a zero byte");
  if (name.find('/') != name.npos)
    return At(EINVAL, path, "a name with a slash");
  if (name.size() > NAME_MAX)
    return At(ENAMETOOLONG, path, "a name is longer than 255 bytes");
  return Ok();
}

uint64_t RandomSeed() {
  std::random_device random;
  return uint64_t{random()} << 32 | random();
}

template <typename T>
void AppendRecord(std::string& to, const T& record) {
  to.append(reinterpret_cast<const char*>(&record), sizeof(record));
}

}  // namespace

TreeBuilder::TreeBuilder(const TreeLimits& limits)
    : limits_(limits), slots_(kFirstSlots), seed_(RandomSeed()) {
  tree_format::Node root{};
  root.mode = kImpliedMode;
  root.flags = tree_format::kImplied;
  root.content = root.xattrs = kNone;
  nodes_.push_back(root);
}

bool TreeBuilder::IsDir(NodeNo number) const {
  return S_ISDIR(nodes_[number].mode);
}

std::string_view TreeBuilder::NameOf(EntryNo entry) const {
  const uint32_t at = entries_[entry].text;
  const auto size = static_cast<uint8_t>(names_.Get(at, 1).front());
  return names_.Get(at, size_t{1} + size).substr(1);
}

// --- names -----------------------------------------------------------------

size_t TreeBuilder::SlotOf(NodeNo dir, std::string_view name,
                           size_t mask) const {
  return SeededNameHash(seed_ + dir, name) & mask;
}

TreeBuilder::EntryNo TreeBuilder::FindEntry(NodeNo dir,
                                            std::string_view name) const {
  const size_t mask = slots_.size() - 1;
  for (size_t at = SlotOf(dir, name, mask); slots_[at] != 0;
       at = (at + 1) & mask) {
    const EntryNo entry = slots_[at] - 1;
    if (entries_[entry].parent == dir && NameOf(entry) == name) return entry;
  }
  return kNone;
}

void TreeBuilder::GrowSlots() {
  std::vector<EntryNo> bigger(slots_.size() * 2);
  const size_t mask = bigger.size() - 1;
  for (const EntryNo slot : slots_) {
    if (slot == 0) continue;
    size_t at = SlotOf(entries_[slot - 1].parent, NameOf(slot - 1), mask);
    while (bigger[at] != 0) at = (at + 1) & mask;
    bigger[at] = slot;
  }
  slots_ = std::move(bigger);
}

// A name that names nothing yet.
Result<TreeBuilder::EntryNo> TreeBuilder::MakeEntry(NodeNo dir,
                                                    std::string_view name) {
  if (const EntryNo found = FindEntry(dir, name); found != kNone) return found;
  TRY(CheckRoom(name));
  if ((entries_.size() + 1) * 3 > slots_.size() * 2) GrowSlots();
  char text[1 + NAME_MAX];
  text[0] = static_cast<char>(name.size());
  name.copy(text + 1, name.size());
  const auto entry = static_cast<EntryNo>(entries_.size());
  entries_.push_back(
      {dir, kDead, static_cast<EntryNo>(nodes_[dir].content),
       static_cast<uint32_t>(names_.Append({text, name.size() + 1}))});
  nodes_[dir].content = entry;
  const size_t mask = slots_.size() - 1;
  size_t at = SlotOf(dir, name, mask);
  while (slots_[at] != 0) at = (at + 1) & mask;
  slots_[at] = entry + 1;
  return entry;
}

// Whether `name`, or the components of a path, may still be added.
Status TreeBuilder::CheckRoom(std::string_view name) const {
  const size_t more = std::count(name.begin(), name.end(), '/') + 1;
  const size_t known = std::max(entries_.size(), nodes_.size());
  if (known + more > std::min<uint64_t>(limits_.entries, kMaxNodes))
    return At(EFBIG, name,
              "more than " + std::to_string(limits_.entries) + " entries" +
                  limits_.entries_remedy);
  // The pool leaves gaps, and counts with 32 bits.
  if (names_.size() + more + name.size() + BytePool::kChunkBytes >
      std::min<uint64_t>(limits_.name_bytes, kNone))
    return At(EFBIG, name, "the names of this layer are too many bytes");
  return Ok();
}

Result<TreeBuilder::Spot> TreeBuilder::Resolve(std::string_view path,
                                               bool make_dirs) {
  uint32_t depth = 1;
  for (std::string_view rest = path;; ++depth) {
    const size_t slash = rest.find('/');
    TRY(CheckName(rest.substr(0, slash), path));
    if (slash == rest.npos) break;
    rest.remove_prefix(slash + 1);
  }
  if (depth > limits_.depth)
    return At(ENAMETOOLONG, path.substr(0, 100),
              "deeper than " + std::to_string(limits_.depth) + " directories");
  if (make_dirs) TRY(CheckRoom(path));

  NodeNo dir = kRoot;
  for (std::string_view rest = path;;) {
    const size_t slash = rest.find('/');
    const std::string_view name = rest.substr(0, slash);
    if (slash == rest.npos) return Spot{dir, name};
    rest.remove_prefix(slash + 1);
    const EntryNo entry = FindEntry(dir, name);
    const NodeNo next = entry == kNone ? kDead : entries_[entry].node;
    if (next < kDead) {
      if (!IsDir(next))
        return At(ENOTDIR, path,
                  "lies under '" + std::string(name) +
                      "', which this layer has as something that is no "
                      "directory");
      dir = next;
    } else if (make_dirs) {
      TreeNode implied;
      implied.mode = kImpliedMode;
      implied.implied = true;
      dir = TRY(PutEntry(dir, name, implied));
    } else {
      return At(ENOENT, path, "is not in this layer");
    }
  }
}

std::optional<TreeBuilder::NodeNo> TreeBuilder::FindNode(
    std::string_view path) const {
  NodeNo at = kRoot;
  while (!path.empty()) {
    const std::string_view name = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(name.size() + 1, path.size()));
    if (!IsDir(at)) return std::nullopt;
    const EntryNo entry = FindEntry(at, name);
    if (entry == kNone || entries_[entry].node >= kDead) return std::nullopt;
    at = entries_[entry].node;
  }
  return at;
}

// --- nodes -----------------------------------------------------------------

Status TreeBuilder::CheckNode(const TreeNode& node) const {
  const mode_t type = node.mode & S_IFMT;
  if ((node.mode & ~(S_IFMT | mode_t{07777})) != 0 ||
      (type != S_IFREG && type != S_IFDIR && type != S_IFLNK &&
       type != S_IFCHR && type != S_IFBLK && type != S_IFIFO &&
       type != S_IFSOCK))
    return Error(EINVAL, "is no kind of file that there is");
  if (node.mtime_nsec >= kNanosPerSecond)
    return Error(EINVAL, "a time with more than a second of nanoseconds");
  if (type == S_IFLNK &&
      (node.link_target.empty() || node.link_target.size() >= PATH_MAX ||
       node.link_target.find('\0') != std::string::npos))
    return Error(EINVAL, "a symbolic link that leads nowhere");
  if (const auto* bytes = std::get_if<std::string>(&node.content);
      bytes != nullptr &&
      (bytes->size() != node.size_bytes || bytes->size() > (64 << 10)))
    return Error(EINVAL, "inline contents of another size than the file's");
  if (type == S_IFREG && node.size_bytes > 0 &&
      std::holds_alternative<std::monostate>(node.content))
    return Error(EINVAL, "a file without its contents");
  if (type == S_IFREG && node.size_bytes > INT64_MAX)
    return Error(EFBIG, "a file larger than files can be");
  if (bytes_.size() + (64 << 10) > limits_.other_bytes)
    return Error(EFBIG, "this layer has too many small files or links");
  return Ok();
}

Result<uint32_t> TreeBuilder::AddXattrs(const TreeNode& node) {
  if (node.xattrs.empty()) return kNone;
  std::vector<const std::pair<std::string, std::string>*> sorted;
  for (const auto& xattr : node.xattrs) sorted.push_back(&xattr);
  std::sort(sorted.begin(), sorted.end(),
            [](auto* a, auto* b) { return a->first < b->first; });
  std::string block(sizeof(tree_format::XattrBlock), '\0');
  const std::string* previous = nullptr;
  for (const auto* xattr : sorted) {
    const auto& [name, value] = *xattr;
    if (name.empty() || name.size() > kMaxXattrName ||
        name.find('\0') != std::string::npos)
      return Error(EINVAL, "an extended attribute without a proper name");
    if (previous != nullptr && *previous == name)
      return Error(EINVAL, "has the extended attribute " + name + " twice");
    if (value.size() > kMaxXattrValue)
      return Error(E2BIG,
                   "the extended attribute " + name + " is larger than 64 KiB");
    previous = &name;
    AppendRecord(block,
                 tree_format::XattrRecord{static_cast<uint16_t>(name.size()), 0,
                                          static_cast<uint32_t>(value.size())});
    block.append(name).append(value);
  }
  if (block.size() > kMaxXattrBlock)
    return Error(E2BIG, "its extended attributes are larger than 1 MiB");
  const tree_format::XattrBlock head{
      static_cast<uint32_t>(sorted.size()),
      static_cast<uint32_t>(block.size() - sizeof(head))};
  memcpy(block.data(), &head, sizeof(head));
  block.resize((block.size() + 3) & ~size_t{3});
  if (const auto known = xattr_numbers_.find(block);
      known != xattr_numbers_.end())
    return known->second;
  if (xattr_bytes_ + block.size() > limits_.xattr_bytes)
    return Error(EFBIG, "this layer has too many extended attributes");
  xattr_bytes_ += block.size();
  const auto number = static_cast<uint32_t>(xattr_blocks_.size());
  xattr_blocks_.push_back(std::move(block));
  xattr_numbers_.emplace(xattr_blocks_.back(), number);
  return number;
}

// All but what a directory holds. Adds nothing to the tree on error.
Status TreeBuilder::Fill(const TreeNode& from, tree_format::Node& to) {
  TRY(CheckNode(from));
  to.xattrs = TRY(AddXattrs(from));
  // Linux has no other modes of links; the tar's own is in its recipe.
  to.mode = S_ISLNK(from.mode) ? from.mode | 0777 : from.mode;
  to.uid = from.uid;
  to.gid = from.gid;
  to.mtime_sec = from.mtime_sec;
  to.mtime_nsec = from.mtime_nsec;
  if (S_ISDIR(from.mode)) {
    to.flags &= ~tree_format::kImplied;
    if (from.opaque) to.flags |= tree_format::kOpaque;
    if (from.implied) to.flags |= tree_format::kImplied;
  } else if (S_ISLNK(from.mode)) {
    to.size = from.link_target.size();
    to.content = bytes_.Append(from.link_target);
  } else if (!S_ISREG(from.mode)) {
    to.size = S_ISCHR(from.mode) || S_ISBLK(from.mode) ? from.rdev : 0;
  } else if (to.size = from.size_bytes; to.size > 0) {
    if (const auto* id = std::get_if<ObjectId>(&from.content)) {
      to.flags |= tree_format::kObject;
      to.content = objects_.size();
      objects_.push_back(*id);
    } else {
      to.flags |= tree_format::kInline;
      to.content = bytes_.Append(std::get<std::string>(from.content));
    }
  }
  return Ok();
}

Result<TreeBuilder::NodeNo> TreeBuilder::PutEntry(NodeNo dir,
                                                  std::string_view name,
                                                  const TreeNode& node) {
  const bool is_dir = S_ISDIR(node.mode);
  const EntryNo known = FindEntry(dir, name);
  const NodeNo old = known == kNone ? kDead : entries_[known].node;
  if (is_dir && old < kDead && IsDir(old)) {
    // Nothing new is known of one that is implied.
    if (!node.implied) TRY(Fill(node, nodes_[old]));
    if (node.opaque) nodes_[old].flags |= tree_format::kOpaque;
    return old;
  }
  tree_format::Node made{};
  made.xattrs = kNone;
  TRY(Fill(node, made));
  if (is_dir) {
    made.content = kNone;
    // It does not merge with what the layers below have: what it replaces had
    // hidden that.
    if (old != kDead) made.flags |= tree_format::kOpaque;
  }
  const EntryNo entry = TRY(MakeEntry(dir, name));
  const auto number = static_cast<NodeNo>(nodes_.size());
  nodes_.push_back(made);
  entries_[entry].node = number;
  return number;
}

TreeNode TreeBuilder::Get(NodeNo number) const {
  const tree_format::Node& from = nodes_[number];
  TreeNode node;
  node.mode = from.mode;
  node.uid = from.uid;
  node.gid = from.gid;
  node.mtime_sec = from.mtime_sec;
  node.mtime_nsec = from.mtime_nsec;
  node.opaque = (from.flags & tree_format::kOpaque) != 0;
  node.implied = (from.flags & tree_format::kImplied) != 0;
  if (S_ISCHR(from.mode) || S_ISBLK(from.mode)) node.rdev = from.size;
  if (S_ISREG(from.mode)) node.size_bytes = from.size;
  if (S_ISLNK(from.mode))
    node.link_target = bytes_.Get(from.content, from.size);
  if (from.flags & tree_format::kObject)
    node.content = objects_[from.content];
  else if (from.flags & tree_format::kInline)
    node.content = std::string(bytes_.Get(from.content, from.size));
  if (from.xattrs == kNone) return node;
  std::string_view block = xattr_blocks_[from.xattrs];
  tree_format::XattrBlock head;
  memcpy(&head, block.data(), sizeof(head));
  block.remove_prefix(sizeof(head));
  for (uint32_t i = 0; i < head.count; ++i) {
    tree_format::XattrRecord record;
    memcpy(&record, block.data(), sizeof(record));
    block.remove_prefix(sizeof(record));
    node.xattrs.emplace_back(
        block.substr(0, record.name_bytes),
        block.substr(record.name_bytes, record.value_bytes));
    block.remove_prefix(record.name_bytes + record.value_bytes);
  }
  return node;
}

// --- by path ---------------------------------------------------------------

Status TreeBuilder::Put(std::string_view path, const TreeNode& node) {
  if (path.empty()) {
    if (!S_ISDIR(node.mode))
      return Error(EINVAL, "the root of a layer is a directory");
    return Fill(node, nodes_[kRoot]).With("the root");
  }
  TRY(CheckNode(node).With("'" + std::string(path) + "'"));
  const Spot spot = TRY(Resolve(path, /*make_dirs=*/true));
  const auto put = PutEntry(spot.dir, spot.name, node);
  if (!put.ok()) return Error(put.error()).With("'" + std::string(path) + "'");
  return Ok();
}

Status TreeBuilder::Link(std::string_view path, std::string_view target) {
  if (path.empty()) return Error(EINVAL, "the root of a layer is a directory");
  const auto node = FindNode(target);
  if (!node)
    return At(ENOENT, path,
              "a hard link to '" + std::string(target) +
                  "', which is not in this layer");
  if (IsDir(*node))
    return At(EISDIR, path,
              "a hard link to the directory '" + std::string(target) + "'");
  const Spot spot = TRY(Resolve(path, /*make_dirs=*/true));
  return LinkAt(spot.dir, spot.name, *node);
}

Status TreeBuilder::Whiteout(std::string_view path) {
  if (path.empty())
    return Error(EINVAL, "the root of a layer cannot be deleted");
  const Spot spot = TRY(Resolve(path, /*make_dirs=*/true));
  const EntryNo entry = TRY(MakeEntry(spot.dir, spot.name));
  NodeNo& node = entries_[entry].node;
  // Beside an entry of the same layer it speaks of the layers below alone.
  if (node == kDead)
    node = kNone;
  else if (node != kNone && IsDir(node))
    nodes_[node].flags |= tree_format::kOpaque;
  return Ok();
}

Result<TreeBuilder::NodeNo> TreeBuilder::MakeDir(std::string_view path) {
  if (path.empty()) return kRoot;
  const Spot spot = TRY(Resolve(path, /*make_dirs=*/true));
  const EntryNo entry = FindEntry(spot.dir, spot.name);
  const NodeNo node = entry == kNone ? kDead : entries_[entry].node;
  if (node < kDead && !IsDir(node)) return At(ENOTDIR, path, "is no directory");
  TreeNode implied;
  implied.mode = kImpliedMode;
  implied.implied = true;
  return PutEntry(spot.dir, spot.name, implied);
}

Status TreeBuilder::SetOpaque(std::string_view path) {
  nodes_[TRY(MakeDir(path))].flags |= tree_format::kOpaque;
  return Ok();
}

std::optional<TreeNode> TreeBuilder::Find(std::string_view path) const {
  const auto node = FindNode(path);
  if (!node) return std::nullopt;
  return Get(*node);
}

// --- by directory and name -------------------------------------------------

Result<TreeBuilder::NodeNo> TreeBuilder::PutAt(NodeNo dir,
                                               std::string_view name,
                                               const TreeNode& node) {
  TRY(CheckName(name, name));
  return PutEntry(dir, name, node).With("'" + std::string(name) + "'");
}

Status TreeBuilder::LinkAt(NodeNo dir, std::string_view name, NodeNo target) {
  TRY(CheckName(name, name));
  const EntryNo entry = TRY(MakeEntry(dir, name));
  entries_[entry].node = target;
  return Ok();
}

Status TreeBuilder::WhiteoutAt(NodeNo dir, std::string_view name) {
  TRY(CheckName(name, name));
  const EntryNo entry = TRY(MakeEntry(dir, name));
  entries_[entry].node = kNone;
  return Ok();
}

void TreeBuilder::ClearAt(NodeNo dir) {
  for (auto entry = static_cast<EntryNo>(nodes_[dir].content); entry != kNone;
       entry = entries_[entry].next)
    entries_[entry].node = kDead;
  nodes_[dir].flags |= tree_format::kOpaque;
}

void TreeBuilder::SetSource(NodeNo node, uint32_t source,
                            uint32_t source_node) {
  nodes_[node].source = source;
  nodes_[node].source_node = source_node;
}

TreeStats TreeBuilder::Stats() const {
  TreeStats stats;
  std::vector<bool> counted(nodes_.size());
  ForEachEntry([&](NodeNo node) {
    ++stats.entries;
    if (node == kNone) {
      ++stats.whiteouts;
    } else if (S_ISREG(nodes_[node].mode) && !counted[node]) {
      counted[node] = true;
      stats.content_bytes += nodes_[node].size;
    }
  });
  return stats;
}

std::set<ObjectId> TreeBuilder::Objects() const {
  std::set<ObjectId> objects;
  ForEachEntry([&](NodeNo node) {
    if (node != kNone && (nodes_[node].flags & tree_format::kObject) != 0)
      objects.insert(objects_[nodes_[node].content]);
  });
  return objects;
}

}  // namespace ufs
