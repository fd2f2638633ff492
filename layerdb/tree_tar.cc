#include "layerdb/tree_tar.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <unordered_map>
#include <vector>

#include "layerdb/base/syscall.h"
#include "layerdb/stream_hash.h"
#include "layerdb/tar_writer.h"

namespace ufs {
namespace {

constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kOpaqueName = ".wh..wh..opq";
constexpr size_t kCopyBytes = 256 << 10;

class TreeTar {
 public:
  TreeTar(const TreeFile& tree, const OpenObjectFn& open_object, ByteSink& sink)
      : tree_(tree),
        open_object_(open_object),
        writer_(sink),
        budget_(tree.entry_count()) {}

  Status Write() {
    std::vector<Waiting> waiting = {{TreeFile::kRoot, "./", ""}};
    // A list, not a recursion: the tree may be deep.
    while (!waiting.empty()) {
      const Waiting next = std::move(waiting.back());
      waiting.pop_back();
      TRY(WriteEntry(next).With("'" + next.path + "'"));
      const size_t first = waiting.size();
      if (!next.whiteout && S_ISDIR(TRY(tree_.Node(next.node)).mode))
        TRY(AddChildren(next, waiting));
      std::reverse(waiting.begin() + static_cast<ptrdiff_t>(first),
                   waiting.end());
    }
    return writer_.Finish();
  }

 private:
  struct Waiting {
    TreeFile::NodeNo node;
    std::string path;    // of a directory with a slash at its end
    std::string prefix;  // of what lies in it
    bool whiteout = false;
  };

  Status AddChildren(const Waiting& dir, std::vector<Waiting>& waiting) {
    return tree_.ForEachChild(
        dir.node, [&](const TreeFile::Child& child) -> Status {
          TRY(budget_.Take());
          std::string path = dir.prefix;
          if (child.whiteout) {
            if (child.name.starts_with(kWhiteoutPrefix))
              return Error(EINVAL, "'" + path + std::string(child.name) +
                                       "': a layer cannot say that this name "
                                       "is deleted");
            path.append(kWhiteoutPrefix).append(child.name);
            waiting.push_back({0, std::move(path), "", true});
            return Ok();
          }
          path.append(child.name);
          TRY(CheckLayerName(child.name, path));
          std::string prefix = path + "/";
          if (S_ISDIR(child.mode)) path = prefix;
          waiting.push_back({child.node, std::move(path), std::move(prefix)});
          return Ok();
        });
  }

  Status WriteMark(std::string path) {
    TarEntry entry;
    entry.path = std::move(path);
    return writer_.Begin(entry);
  }

  Status WriteEntry(const Waiting& waiting) {
    if (waiting.whiteout) return WriteMark(waiting.path);
    const TreeNodeView node = TRY(tree_.Node(waiting.node));
    if (!node.implied) TRY(WriteNode(waiting, node));
    if (node.opaque) TRY(WriteMark(waiting.prefix + std::string(kOpaqueName)));
    return Ok();
  }

  Status WriteNode(const Waiting& waiting, const TreeNodeView& node) {
    TarEntry entry;
    entry.path = waiting.path;
    entry.mode = node.mode & 07777;
    entry.uid = node.uid;
    entry.gid = node.gid;
    entry.mtime_sec = node.mtime_sec;
    entry.mtime_nsec = node.mtime_nsec;
    if (node.nlink > 1 && !S_ISDIR(node.mode)) {
      const auto [first, is_new] =
          first_paths_.emplace(waiting.node, waiting.path);
      if (!is_new) {
        entry.type = TarType::kHardLink;
        entry.link_target = first->second;
        return writer_.Begin(entry);
      }
    }
    TRY(tree_.ForEachXattr(waiting.node, [&](auto name, auto value) {
      entry.xattrs.emplace_back(name, value);
      return Ok();
    }));
    switch (node.mode & S_IFMT) {
      case S_IFDIR:
        entry.type = TarType::kDirectory;
        break;
      case S_IFLNK:
        entry.type = TarType::kSymlink;
        entry.link_target = node.link_target;
        break;
      case S_IFIFO:
        entry.type = TarType::kFifo;
        break;
      case S_IFCHR:
      case S_IFBLK:
        entry.type =
            S_ISCHR(node.mode) ? TarType::kCharDevice : TarType::kBlockDevice;
        entry.dev_major = major(node.rdev);
        entry.dev_minor = minor(node.rdev);
        break;
      case S_IFREG:
        entry.size_bytes = node.size_bytes;
        TRY(writer_.Begin(entry));
        return node.object ? WriteObject(*node.object)
                           : writer_.Write(node.inline_content);
      default:
        return Error(EINVAL, "a socket cannot be kept in a layer; remove it");
    }
    return writer_.Begin(entry);
  }

  Status WriteObject(const ObjectId& id) {
    const UniqueFd fd = TRY(open_object_(id));
    if (buffer_ == nullptr) buffer_ = std::make_unique<char[]>(kCopyBytes);
    Hasher128 hasher;
    for (uint64_t offset = 0;;) {
      const size_t got = TRY(sys::Pread(fd, buffer_.get(), kCopyBytes, offset));
      if (got == 0) break;
      hasher.Update(buffer_.get(), got);
      TRY(writer_.Write({buffer_.get(), got}));
      offset += got;
    }
    // A digest of damaged contents would vouch for them.
    return hasher.Finish() == id.hash() ? Ok() : Status(DamagedObject(id));
  }

  const TreeFile& tree_;
  const OpenObjectFn& open_object_;
  TarWriter writer_;
  EntryBudget budget_;
  std::unordered_map<TreeFile::NodeNo, std::string> first_paths_;
  std::unique_ptr<char[]> buffer_;
};

}  // namespace

Status CheckLayerName(std::string_view name, const std::string& path) {
  if (!name.starts_with(kWhiteoutPrefix)) return Ok();
  return Error(EINVAL, "'" + path +
                           "': in a layer this name would delete another; "
                           "rename it");
}

Status WriteTreeTar(const TreeFile& tree, const OpenObjectFn& open_object,
                    ByteSink& sink) {
  return TreeTar(tree, open_object, sink).Write();
}

Result<Digest> TreeTarDigest(const TreeFile& tree,
                             const OpenObjectFn& open_object) {
  DigestSink sink;
  TRY(WriteTreeTar(tree, open_object, sink));
  return sink.Finish();
}

}  // namespace ufs
