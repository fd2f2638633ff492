#include "runtime/rooted_path.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace ufs::runtime {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel's path walk

uint64_t ResolveFlags(Links links) {
  uint64_t flags = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  if (links == Links::kRefused) flags |= RESOLVE_NO_SYMLINKS;
  return flags;
}

std::string ParentOf(const std::string& clean) {
  const size_t slash = clean.rfind('/');
  return slash == 0 ? "/" : clean.substr(0, slash);
}

std::string NameOf(const std::string& clean) {
  return clean.substr(clean.rfind('/') + 1);
}

Result<UniqueFd> CheckKind(UniqueFd fd, bool directory) {
  const auto stat = TRY(sys::Statx({fd}));
  const bool is_directory = S_ISDIR(stat.stx_mode);
  if (is_directory != directory) return Error(directory ? ENOTDIR : EISDIR);
  return fd;
}

// Where a path leads, as the kernel has it but for the end, which is not there.
struct Reached {
  std::string path;  // what there is of it, without links; empty: the root
  std::vector<std::string> missing;  // the names that are to follow
};

// A link to nothing, such as /etc/resolv.conf often is, leads to what it names.
Result<Reached> Reach(BorrowedFd root, const std::string& path, Links links) {
  int links_left = kMaxLinks;
  Reached at;
  std::string left = CleanPath(path);
  while (true) {
    const size_t begin = left.find_first_not_of('/');
    if (begin == left.npos) return at;
    const size_t end = std::min(left.find('/', begin), left.size());
    const std::string name = left.substr(begin, end - begin);
    left.erase(0, end);
    if (name == ".") continue;
    if (name == "..") {  // a link's: up from where that really is
      if (!at.missing.empty()) {
        at.missing.pop_back();
      } else if (!at.path.empty()) {
        at.path.erase(at.path.rfind('/'));
      }
      continue;
    }
    const std::string next = at.path + "/" + name;
    const auto there = at.missing.empty()
                           ? OpenInRoot(root, next, O_PATH | O_NOFOLLOW)
                           : Result<UniqueFd>(Error(ENOENT));
    if (there.code() == ENOENT) {
      at.missing.push_back(name);
      continue;
    }
    if (!there.ok()) return there.error();
    if (!S_ISLNK(TRY(sys::Statx({*there})).stx_mode)) {
      at.path = next;
      continue;
    }
    if (links == Links::kRefused || --links_left < 0) return Error(ELOOP);
    const std::string target = TRY(sys::ReadLinkAt({*there}));
    if (target.starts_with('/')) at.path.clear();
    left = target + left;
  }
}

Result<UniqueFd> MakeMissing(BorrowedFd root, const Reached& reached,
                             bool directory) {
  UniqueFd fd = TRY(OpenInRoot(root, reached.path.empty() ? "/" : reached.path,
                               O_PATH, Links::kRefused));
  for (size_t i = 0; i < reached.missing.size(); ++i) {
    const sys::At at{fd, reached.missing[i].c_str()};
    Status made;
    if (directory || i + 1 < reached.missing.size()) {
      made = sys::MkDirAt(at, 0755);
    } else {
      const auto file = sys::OpenAt(at, O_WRONLY | O_CREAT | O_EXCL, 0644);
      if (!file.ok()) made = file.error();
    }
    if (!made.ok() && made.code() != EEXIST) return std::move(made).error();
    fd = TRY(sys::OpenAt(at, O_PATH | O_NOFOLLOW));
  }
  // Somebody has made it a link just now.
  if (S_ISLNK(TRY(sys::Statx({fd})).stx_mode)) return Error(ELOOP);
  return CheckKind(std::move(fd), directory);
}

Result<UniqueFd> Make(BorrowedFd root, const std::string& path, bool directory,
                      Links links) {
  auto there = OpenInRoot(root, CleanPath(path), O_PATH, links);
  if (there.ok()) return CheckKind(std::move(there).value(), directory);
  if (there.code() != ENOENT) return there;
  return MakeMissing(root, TRY(Reach(root, path, links)), directory);
}

}  // namespace

std::string CleanPath(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    size_t end = path.find('/');
    if (end == path.npos) end = path.size();
    const std::string_view part = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty()) {
      parts.pop_back();
    }
  }
  std::string clean;
  for (std::string_view part : parts) clean.append("/").append(part);
  return clean.empty() ? "/" : clean;
}

Result<UniqueFd> OpenInRoot(BorrowedFd root, const std::string& path, int flags,
                            Links links) {
  return sys::OpenAt2(root, path.c_str(), flags, ResolveFlags(links));
}

Result<UniqueFd> MakeInRoot(BorrowedFd root, const std::string& path,
                            bool directory, Links links) {
  return Make(root, path, directory, links).With(path);
}

std::vector<std::string> StepsInRoot(BorrowedFd root, const std::string& path) {
  const auto reached = Reach(root, path, Links::kInRoot);
  std::vector<std::string> steps;
  if (!reached.ok()) return steps;
  std::string whole = reached->path;
  for (const std::string& name : reached->missing) whole.append("/" + name);
  for (size_t end = 0; end < whole.size();) {
    end = std::min(whole.find('/', end + 1), whole.size());
    steps.push_back(whole.substr(0, end));
  }
  return steps;
}

Result<Place> PlaceInRoot(BorrowedFd root, const std::string& path,
                          Links links) {
  const std::string clean = CleanPath(path);
  if (clean == "/") return Error(EINVAL, path + " is the root itself");
  return Place{
      TRY(MakeInRoot(root, ParentOf(clean), /*directory=*/true, links)),
      NameOf(clean)};
}

}  // namespace ufs::runtime
