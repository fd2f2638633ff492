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

Result<UniqueFd> Make(BorrowedFd root, std::string path, bool directory,
                      Links links, int& links_left);

Result<UniqueFd> MakeMissing(BorrowedFd root, const std::string& path,
                             bool directory, Links links, int& links_left) {
  const UniqueFd parent =
      TRY(Make(root, ParentOf(path), /*directory=*/true, links, links_left));
  const std::string name = NameOf(path);
  const sys::At at{parent, name.c_str()};
  Status made;
  if (directory) {
    made = sys::MkDirAt(at, 0755);
  } else {
    const auto file = sys::OpenAt(at, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (!file.ok()) made = file.error();
  }
  if (!made.ok() && made.code() != EEXIST) return std::move(made).error();
  auto fd = TRY(sys::OpenAt(at, O_PATH));
  const auto stat = TRY(sys::Statx({fd}));
  if (!S_ISLNK(stat.stx_mode)) return CheckKind(std::move(fd), directory);
  // A link to nothing, such as /etc/resolv.conf often is: what it names is
  // made, inside the root.
  if (links == Links::kRefused || --links_left < 0) return Error(ELOOP);
  const std::string target = TRY(sys::ReadLinkAt({fd}));
  return Make(root,
              target.starts_with('/') ? target : ParentOf(path) + "/" + target,
              directory, links, links_left);
}

Result<UniqueFd> Make(BorrowedFd root, std::string path, bool directory,
                      Links links, int& links_left) {
  path = CleanPath(path);
  auto there = sys::OpenAt2(root, path.c_str(), O_PATH, ResolveFlags(links));
  if (there.ok()) return CheckKind(std::move(there).value(), directory);
  if (there.code() != ENOENT || path == "/") return there;
  return MakeMissing(root, path, directory, links, links_left);
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
  int links_left = kMaxLinks;
  return Make(root, path, directory, links, links_left).With(path);
}

std::vector<std::string> MissingInRoot(BorrowedFd root,
                                       const std::string& path) {
  int links_left = kMaxLinks;
  std::vector<std::string> missing;
  std::string left = CleanPath(path), done;
  while (!left.empty() && left != "/") {
    const size_t end = std::min(left.find('/', 1), left.size());
    const std::string next = done + left.substr(0, end);
    left.erase(0, end);
    const auto there = missing.empty()
                           ? OpenInRoot(root, next, O_PATH | O_NOFOLLOW)
                           : Result<UniqueFd>(Error(ENOENT));
    if (there.code() == ENOENT) missing.push_back(next);
    const auto target = there.ok() ? sys::ReadLinkAt({*there})
                                   : Result<std::string>(Error(ENOENT));
    if (!target.ok()) {
      done = next;
      continue;
    }
    if (--links_left < 0) return {};
    left = CleanPath(
        (target->starts_with('/') ? *target : done + "/" + *target) + left);
    done.clear();
  }
  return missing;
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
