// Layer descriptions become directories.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "layerdb/base/unique_fd.h"
#include "tests/harness/posix_xattr.h"
#include "tests/model/check.h"
#include "tests/model/layer_spec.h"
#include "tests/model/names.h"

namespace ufs::model {
namespace {

std::pair<std::string, std::string> Split(const std::string& path) {
  size_t slash = path.rfind('/');
  return {path.substr(0, slash), path.substr(slash + 1)};
}

void WriteFile(const std::string& path, const LayerEntry& entry) {
  UniqueFd fd(
      Must(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600), path));
  std::string bytes = entry.Content();
  auto write_range = [&](size_t from, size_t to) {
    while (from < to)
      from += Must(pwrite(fd.get(), &bytes[from], to - from, from), path);
  };
  size_t hole = entry.hole_off, after = entry.hole_off + entry.hole_len;
  write_range(0, std::min(hole, bytes.size()));
  write_range(std::min(after, bytes.size()), bytes.size());
  Must(ftruncate(fd.get(), static_cast<off_t>(bytes.size())), path);
}

std::string MarkName(const std::string& mark) {
  return (Privileged() ? "trusted.overlay." : "user.overlay.") + mark;
}

void SetXattr(const std::string& path, const std::string& name,
              const std::string& value) {
  Must(lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0),
       path + " " + name);
}

void WriteWhiteout(const std::string& path, WhiteoutStyle style) {
  auto [parent, name] = Split(path);
  switch (style) {
    case WhiteoutStyle::kCharDevice:
      Must(mknod(path.c_str(), S_IFCHR | 0600, makedev(0, 0)), path);
      break;
    case WhiteoutStyle::kXattr:
      Must(mknod(path.c_str(), S_IFREG | 0600, 0), path);
      SetXattr(path, MarkName("whiteout"), "");
      // An opaque mark that is there already stays the stronger one.
      if (lgetxattr(parent.c_str(), MarkName("opaque").c_str(), nullptr, 0) < 0)
        SetXattr(parent, MarkName("opaque"), "x");
      break;
    case WhiteoutStyle::kAufs:
      Must(mknod((parent + "/.wh." + name).c_str(), S_IFREG | 0600, 0), path);
      break;
  }
}

void MarkOpaque(const std::string& path, WhiteoutStyle style) {
  if (style == WhiteoutStyle::kAufs)
    Must(mknod((path + "/.wh..wh..opq").c_str(), S_IFREG | 0600, 0), path);
  else
    SetXattr(path, MarkName("opaque"), "y");
}

mode_t TypeBits(EntryType type) {
  switch (type) {
    case EntryType::kFifo:
      return S_IFIFO;
    case EntryType::kSocket:
      return S_IFSOCK;
    default:
      return S_IFCHR;
  }
}

void MakeEntry(const LayerEntry& entry, const std::string& root,
               const std::string& path, WhiteoutStyle style) {
  switch (entry.type) {
    case EntryType::kFile:
      return WriteFile(path, entry);
    case EntryType::kDir:
      Must(mkdir(path.c_str(), 0700), path);
      if (entry.opaque) MarkOpaque(path, style);
      return;
    case EntryType::kSymlink:
      Must(symlink(entry.target.c_str(), path.c_str()), path);
      return;
    case EntryType::kHardLink:
      Must(link((root + "/" + entry.target).c_str(), path.c_str()), path);
      return;
    case EntryType::kWhiteout:
      return WriteWhiteout(path, style);
    default:
      Must(mknod(path.c_str(), TypeBits(entry.type) | 0600, makedev(1, 3)),
           path);
  }
}

// Owner before mode (chown clears set-id bits), both before capabilities.
void SetAttributes(const LayerEntry& entry, const std::string& path) {
  Must(lchown(path.c_str(), entry.uid, entry.gid), path);
  if (entry.type != EntryType::kSymlink)
    Must(chmod(path.c_str(), entry.mode), path);
  for (const auto& [name, value] : entry.xattrs)
    if (name != test::kDefaultAcl) SetXattr(path, name, value);
}

// What is made in the directory before this does not inherit from it.
void SetDefaultAcl(const LayerEntry& entry, const std::string& path) {
  auto acl = entry.xattrs.find(test::kDefaultAcl);
  if (acl != entry.xattrs.end()) SetXattr(path, acl->first, acl->second);
}

void SetTimes(const std::string& path, int64_t mtime) {
  struct timespec times[2] = {{mtime, 0}, {mtime, 0}};
  Must(utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), path);
}

bool HasAttributes(EntryType type) {
  return type != EntryType::kHardLink && type != EntryType::kWhiteout;
}

// A long name cannot carry a prefix; the deletion is then not written at all,
// which Merge would not know. So such entries fall back to a device.
WhiteoutStyle StyleFor(const std::string& path, WhiteoutStyle style) {
  if (style == WhiteoutStyle::kAufs && Split(path).second.size() > 251)
    return WhiteoutStyle::kCharDevice;
  return style;
}

}  // namespace

void Materialize(const LayerSpec& layer, const std::string& dir,
                 WhiteoutStyle style) {
  auto path_of = [&](const LayerEntry& entry) {
    return dir + "/" + entry.path;
  };
  std::vector<const LayerEntry*> made;
  for (const LayerEntry& entry : layer) {
    std::string path = path_of(entry);
    MakeEntry(entry, dir, path, StyleFor(path, style));
    if (HasAttributes(entry.type)) SetAttributes(entry, path);
    made.push_back(&entry);
  }
  // Directories last and from the bottom: making an entry changes its parent.
  for (auto it = made.rbegin(); it != made.rend(); ++it) {
    if (!HasAttributes((*it)->type)) continue;
    SetDefaultAcl(**it, path_of(**it));
    SetTimes(path_of(**it), (*it)->mtime);
  }
  SetRootAttributes(dir);
}

void SetRootAttributes(const std::string& dir) {
  Must(chown(dir.c_str(), 0, 0), dir);
  Must(chmod(dir.c_str(), 0755), dir);
  SetTimes(dir, kRootMtime);
}

}  // namespace ufs::model
