#include "layerdb/tree_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "layerdb/base/syscall.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

using SharedFd = std::shared_ptr<const UniqueFd>;

class TreeDirectory {
 public:
  TreeDirectory(const TreeFile& tree, const OpenObjectFn& open_object,
                DirectoryKind kind, const DirectoryMarks& marks,
                BorrowedFd root,
                const std::function<void(const std::string&)>& mistaken)
      : tree_(tree),
        open_object_(open_object),
        kind_(kind),
        marks_(marks),
        root_(root),
        mistaken_(mistaken),
        budget_(tree.entry_count()) {}

  Status Write() {
    auto own = std::make_shared<UniqueFd>(
        TRY(sys::OpenAt2(root_, ".", O_RDONLY | O_DIRECTORY, 0)));
    waiting_.push_back({TreeFile::kRoot, nullptr, std::move(own), "", ""});
    // A list, not a recursion: the tree may be deep.
    while (!waiting_.empty()) {
      const Waiting next = std::move(waiting_.back());
      waiting_.pop_back();
      const std::string at = next.prefix + next.name;
      TRY(Make(next).With("'" + at + "'"));
    }
    return Ok();
  }

 private:
  struct Waiting {
    TreeFile::NodeNo node;
    SharedFd parent;     // of what is to be made, as `name` in it
    SharedFd directory;  // or one that is there, and has no name then
    std::string name;
    std::string prefix;  // of the paths of what lies in either
    bool whiteout = false;
    bool filled = false;  // the directory's children are there
  };

  Status Make(const Waiting& waiting) {
    if (waiting.directory != nullptr)
      return waiting.filled ? Finish(waiting) : Fill(waiting);
    const sys::At at{*waiting.parent, waiting.name.c_str()};
    if (waiting.whiteout) return sys::MkNodAt(at, S_IFCHR, 0);
    const TreeNodeView node = TRY(tree_.Node(waiting.node));
    if (S_ISDIR(node.mode)) {
      TRY(sys::MkDirAt(at, 0700));
      auto own = std::make_shared<UniqueFd>(
          TRY(sys::OpenAt(at, O_RDONLY | O_DIRECTORY)));
      return Fill({waiting.node, nullptr, std::move(own), "",
                   waiting.prefix + waiting.name + "/"});
    }
    if (node.nlink > 1) {
      const auto [first, is_new] =
          first_paths_.emplace(waiting.node, waiting.prefix + waiting.name);
      if (!is_new) return sys::LinkAt({root_, first->second.c_str()}, at);
    }
    if (S_ISCHR(node.mode) && node.rdev == 0)
      TRY(TakeWhiteout(waiting.prefix + waiting.name));
    TRY(MakeObject(node, at));
    return SetAttributes(waiting.node, node, at, waiting.prefix + waiting.name);
  }

  Status Fill(const Waiting& dir) {
    Waiting finish = dir;
    finish.filled = true;
    waiting_.push_back(std::move(finish));
    return tree_.ForEachChild(
        dir.node, [&](const TreeFile::Child& child) -> Status {
          TRY(budget_.Take());
          const std::string name(child.name);
          if (child.whiteout && !is_layer()) return Ok();
          const auto named = CheckLayerName(name, dir.prefix + name);
          if (is_layer()) TRY(named);
          if (!named.ok()) Mistake(dir.prefix + name);
          waiting_.push_back({child.node, dir.directory, nullptr, name,
                              dir.prefix, child.whiteout});
          return Ok();
        });
  }

  // After its children: they would change its times, and its mode may be in
  // their way.
  Status Finish(const Waiting& dir) {
    const TreeNodeView node = TRY(tree_.Node(dir.node));
    const sys::At at{*dir.directory};
    if (node.opaque && is_layer())
      TRY(sys::SetXattr(at, marks_.opaque.c_str(), "y"));
    if (!node.implied) return SetAttributes(dir.node, node, at, dir.prefix);
    TRY(sys::ChmodAt(at, node.mode & 07777));
    if (!is_layer()) return Ok();
    const auto stat = TRY(sys::Statx(at));
    return sys::SetXattr(at, marks_.implied.c_str(),
                         marks_.implied_value(stat));
  }

  // A device of the tree that has the number of a whiteout.
  Status TakeWhiteout(const std::string& path) {
    if (is_layer())
      return Error(EINVAL,
                   "a device 0/0: in a directory that is a layer it would "
                   "delete the name; export the layer as a tar");
    Mistake(path);
    return Ok();
  }

  void Mistake(const std::string& path) {
    if (mistaken_) mistaken_(path);
  }

  Status MakeObject(const TreeNodeView& node, sys::At at) {
    switch (node.mode & S_IFMT) {
      case S_IFREG:
        return MakeFile(node, at);
      case S_IFLNK:
        return sys::SymlinkAt(std::string(node.link_target).c_str(), at);
      case S_IFIFO:
      case S_IFCHR:
      case S_IFBLK: {
        auto made = sys::MkNodAt(at, node.mode & S_IFMT, node.rdev);
        if (made.code() == EPERM)
          return Error(EPERM,
                       "a device, which only root can make; do this as root, "
                       "or export the layer as a tar");
        return made;
      }
      default:
        return Error(EUCLEAN, "it is no kind of file that a layer holds");
    }
  }

  Status MakeFile(const TreeNodeView& node, sys::At at) {
    const UniqueFd file =
        TRY(sys::OpenAt(at, O_WRONLY | O_CREAT | O_EXCL, 0600));
    if (!node.object) {
      TRY(sys::Pwrite(file, node.inline_content.data(),
                      node.inline_content.size(), 0));
      return Ok();
    }
    const UniqueFd object = TRY(open_object_(*node.object));
    if (sys::CloneFile(file, object).ok()) return Ok();
    uint64_t offset = 0;
    TRY(ForEachExtent(
        object,
        [&](std::string_view data) -> Status {
          TRY(sys::Pwrite(file, data.data(), data.size(), offset));
          offset += data.size();
          return Ok();
        },
        [&](uint64_t hole) -> Status {
          offset += hole;
          return Ok();
        }));
    return sys::FTruncate(file, offset);
  }

  // The owner first: chown(2) takes set-id bits and capabilities away.
  Status SetAttributes(TreeFile::NodeNo number, const TreeNodeView& node,
                       sys::At at, const std::string& path) {
    if (const auto owned = sys::ChownAt(at, node.uid, node.gid); !owned.ok())
      return Error(owned.code(),
                   "owner " + std::to_string(node.uid) + ":" +
                       std::to_string(node.gid) +
                       " cannot be given; do this as root, or in a user "
                       "namespace that has the ids");
    bool mistaken = false;
    TRY(tree_.ForEachXattr(number, [&](auto name, auto value) -> Status {
      std::string stored = marks_.stored_name(name);
      if (!is_layer() && stored != name && !std::exchange(mistaken, true))
        Mistake(path.empty() ? "." : path);
      if (!is_layer()) stored = name;
      return sys::SetXattr(at, stored.c_str(), value).With(stored);
    }));
    if (!S_ISLNK(node.mode)) TRY(sys::ChmodAt(at, node.mode & 07777));
    const timespec time{node.mtime_sec, node.mtime_nsec};
    const timespec times[2] = {time, time};
    return sys::UtimensAt(at, times);
  }

  bool is_layer() const { return kind_ == DirectoryKind::kLayer; }

  const TreeFile& tree_;
  const OpenObjectFn& open_object_;
  const DirectoryKind kind_;
  const DirectoryMarks& marks_;
  const BorrowedFd root_;
  const std::function<void(const std::string&)>& mistaken_;
  EntryBudget budget_;
  std::vector<Waiting> waiting_;
  std::unordered_map<TreeFile::NodeNo, std::string> first_paths_;
};

}  // namespace

Status WriteTreeDirectory(
    const TreeFile& tree, const OpenObjectFn& open_object, DirectoryKind kind,
    const DirectoryMarks& marks, BorrowedFd into,
    const std::function<void(const std::string&)>& mistaken) {
  return TreeDirectory(tree, open_object, kind, marks, into, mistaken).Write();
}

}  // namespace ufs
