// The handlers about what a file is: attributes, extended attributes, ioctls.

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/xattr.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "fs/fuse_request.h"
#include "fs/ioctl.h"
#include "layerdb/base/privilege.h"

namespace ufs {
namespace {

// Whether a change of this node's data would keep a ring thread too long.
bool IsSlowChange(fuse_req_t req, const Request& request) {
  return fuse_req_is_uring(req) && request.fs().MayCopyUp(request.node());
}

// The same of its attributes.
bool IsSlowAttrChange(fuse_req_t req, const Request& request) {
  return fuse_req_is_uring(req) && request.fs().AttrsMayCopyUp(request.node());
}

void OnGetAttr(fuse_req_t req, fuse_ino_t node, fuse_file_info*) noexcept {
  Answer(Request(req, Message::kGetAttr, node), [](Request& request) {
    request.ReplyAttr(request.fs().GetAttr(request.node()));
  });
}

void OnStatx(fuse_req_t req, fuse_ino_t node, int, int,
             fuse_file_info*) noexcept {
  Answer(Request(req, Message::kStatx, node), [](Request& request) {
    request.ReplyStatx(request.fs().GetAttr(request.node()));
  });
}

timespec TimeOf(const timespec& given, bool now) {
  return now ? timespec{0, UTIME_NOW} : given;
}

AttrChange ToChange(const struct stat& st, int to_set) {
  AttrChange change;
  if (to_set & FUSE_SET_ATTR_MODE) change.mode = st.st_mode & 07777;
  if (to_set & FUSE_SET_ATTR_UID) change.uid = st.st_uid;
  if (to_set & FUSE_SET_ATTR_GID) change.gid = st.st_gid;
  if (to_set & FUSE_SET_ATTR_SIZE)
    change.size_bytes = static_cast<uint64_t>(st.st_size);
  if (to_set & FUSE_SET_ATTR_ATIME)
    change.atime = TimeOf(st.st_atim, to_set & FUSE_SET_ATTR_ATIME_NOW);
  if (to_set & FUSE_SET_ATTR_MTIME)
    change.mtime = TimeOf(st.st_mtim, to_set & FUSE_SET_ATTR_MTIME_NOW);
  // libfuse's name for the kernel's FATTR_KILL_SUIDGID, which is this bit.
  change.kill_suidgid = (to_set & FUSE_SET_ATTR_KILL_SUID) != 0;
  change.flushes_times = to_set == (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_CTIME);
  return change;
}

std::string Describe(const AttrChange& change) {
  std::string text;
  const auto add = [&text](std::string_view word) {
    if (!text.empty()) text += ' ';
    text += word;
  };
  if (change.mode) add("mode");
  if (change.uid) add("uid=" + std::to_string(*change.uid));
  if (change.gid) add("gid=" + std::to_string(*change.gid));
  if (change.size_bytes) add("size=" + std::to_string(*change.size_bytes));
  if (change.atime) add("atime");
  if (change.mtime) add("mtime");
  if (change.kill_suidgid) add("kill_suidgid");
  return text;
}

void OnSetAttr(fuse_req_t req, fuse_ino_t node, struct stat* st, int to_set,
               fuse_file_info*) noexcept {
  Request request(req, Message::kSetAttr, node);
  const bool slow = (to_set & FUSE_SET_ATTR_SIZE) != 0
                        ? IsSlowChange(req, request)
                        : IsSlowAttrChange(req, request);
  AnswerMaybeSlowly(slow, std::move(request),
                    [change = ToChange(*st, to_set)](Request& request) {
                      request.Trace([&] { return Describe(change); });
                      request.ReplyAttr(request.fs().SetAttr(
                          request.node(), change, request.caller()));
                    });
}

void OnGetXattr(fuse_req_t req, fuse_ino_t node, const char* name,
                size_t size) noexcept {
  Answer(Request(req, Message::kGetXattr, node), [=](Request& request) {
    request.Trace([&] { return std::string(name); });
    request.ReplyXattr(request.fs().GetXattr(request.node(), name), size);
  });
}

// The kernel shows trusted attributes to nobody else, but leaves the names to
// us.
bool SeesTrusted(const Request& request) {
  return InInitialUserNamespace() &&
         HasCapability(request.caller().pid, CAP_SYS_ADMIN);
}

std::string WithoutTrusted(std::string_view names) {
  std::string kept;
  while (!names.empty()) {
    const std::string_view name = names.substr(0, names.find('\0') + 1);
    names.remove_prefix(name.size());
    if (!name.starts_with(XATTR_TRUSTED_PREFIX)) kept += name;
  }
  return kept;
}

void OnListXattr(fuse_req_t req, fuse_ino_t node, size_t size) noexcept {
  Answer(Request(req, Message::kListXattr, node), [=](Request& request) {
    Result<std::string> names = request.fs().ListXattr(request.node());
    if (names.ok() && names->find(XATTR_TRUSTED_PREFIX) != names->npos &&
        !SeesTrusted(request))
      *names = WithoutTrusted(*names);
    request.ReplyXattr(names, size);
  });
}

void OnSetXattr(fuse_req_t req, fuse_ino_t node, const char* name,
                const char* value, size_t size, int flags) noexcept {
  Request request(req, Message::kSetXattr, node);
  const bool slow = IsSlowAttrChange(req, request);
  AnswerMaybeSlowly(slow, std::move(request), [=](Request& request) {
    request.Trace(
        [&] { return std::string(name) + ", " + std::to_string(size); });
    request.Done(request.fs().SetXattr(request.node(), name,
                                       std::string_view(value, size), flags,
                                       request.caller()));
  });
}

void OnRemoveXattr(fuse_req_t req, fuse_ino_t node, const char* name) noexcept {
  Request request(req, Message::kRemoveXattr, node);
  const bool slow = IsSlowAttrChange(req, request);
  AnswerMaybeSlowly(slow, std::move(request), [=](Request& request) {
    request.Trace([&] { return std::string(name); });
    request.Done(request.fs().RemoveXattr(request.node(), name));
  });
}

// Only ioctls whose number says how large their argument is reach us: the
// kernel copies it in and out.
void OnIoctl(fuse_req_t req, fuse_ino_t node, unsigned command, void*,
             fuse_file_info*, unsigned flags, const void* in, size_t in_size,
             size_t out_size) noexcept {
  Request request(req, Message::kIoctl, node);
  const bool changes = in_size > 0 || command == kIoctlComplete;
  // What is written already must come before a flag that forbids it.
  const bool comes_first = changes && request.adapter().writeback();
  const bool slow = comes_first || (changes && IsSlowChange(req, request));
  AnswerMaybeSlowly(slow, std::move(request), [=](Request& request) {
    request.Trace([&] {
      char text[24];
      snprintf(text, sizeof(text), "0x%08x", command);
      return std::string(text);
    });
    // Larger than every argument the union knows (struct fsxattr is 28 bytes).
    alignas(8) std::array<char, 128> argument{};
    if ((flags & (FUSE_IOCTL_UNRESTRICTED | FUSE_IOCTL_COMPAT)) != 0 ||
        in_size > argument.size() || out_size > argument.size())
      return request.Fail(ENOTTY);
    if (in_size > 0) memcpy(argument.data(), in, in_size);
    if (comes_first) request.adapter().DropPagesOf(request.node());
    const Status status =
        request.fs().Ioctl(request.node(), command, argument.data());
    if (!status.ok()) return request.Fail(status.error());
    request.ReplyIoctl(argument.data(), out_size);
  });
}

// With default_permissions the kernel checks, and need ask nobody.
void OnAccess(fuse_req_t req, fuse_ino_t node, int) noexcept {
  Request(req, Message::kAccess, node).Fail(ENOSYS);
}

}  // namespace

void AddAttrHandlers(fuse_lowlevel_ops& ops) {
  ops.getattr = OnGetAttr;
  ops.statx = OnStatx;
  ops.setattr = OnSetAttr;
  ops.getxattr = OnGetXattr;
  ops.listxattr = OnListXattr;
  ops.setxattr = OnSetXattr;
  ops.removexattr = OnRemoveXattr;
  ops.ioctl = OnIoctl;
  ops.access = OnAccess;
}

}  // namespace ufs
