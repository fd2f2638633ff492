// The handlers about names: lookup, creation, removal, listing.

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>

#include "fs/fuse_request.h"

namespace ufs {
namespace {

// Runs `work(request, name)` with the name of a message, checked.
template <typename Work>
void WithName(Request& request, const char* text, Work& work) {
  request.Trace([&] { return Quoted(text); });
  const Result<Name> name = Name::Parse(text);
  if (!name.ok()) return request.Fail(name.error());
  work(request, *name);
}

template <typename Work>
void AnswerName(fuse_req_t req, Message message, fuse_ino_t parent,
                const char* text, Work work) noexcept {
  Answer(Request(req, message, parent),
         [&](Request& request) { WithName(request, text, work); });
}

void OnLookup(fuse_req_t req, fuse_ino_t parent, const char* text) noexcept {
  AnswerName(req, Message::kLookup, parent, text,
             [](Request& request, Name name) {
               Result<std::optional<Entry>> found =
                   request.fs().Lookup(request.node(), name);
               if (!found.ok()) return request.Fail(found.error());
               if (!found->has_value()) return request.ReplyNoEntry();
               request.ReplyEntry(**found);
             });
}

void OnForget(fuse_req_t req, fuse_ino_t node, uint64_t lookups) noexcept {
  Answer(Request(req, Message::kForget, node), [lookups](Request& request) {
    request.fs().Forget(request.node(), lookups);
    request.ReplyNone();
  });
}

void OnForgetMulti(fuse_req_t req, size_t count,
                   fuse_forget_data* forgets) noexcept {
  Answer(Request(req, Message::kForget, 0), [=](Request& request) {
    request.Trace([&] { return std::to_string(count) + " nodes"; });
    for (size_t i = 0; i < count; ++i)
      request.fs().Forget(NodeId{forgets[i].ino}, forgets[i].nlookup);
    request.ReplyNone();
  });
}

void OnMkNod(fuse_req_t req, fuse_ino_t parent, const char* text, mode_t mode,
             dev_t rdev) noexcept {
  AnswerName(req, Message::kMkNod, parent, text,
             [=](Request& request, Name name) {
               request.ReplyEntry(request.fs().MkNod(request.node(), name, mode,
                                                     rdev, request.caller()));
             });
}

void OnMkDir(fuse_req_t req, fuse_ino_t parent, const char* text,
             mode_t mode) noexcept {
  AnswerName(
      req, Message::kMkDir, parent, text, [=](Request& request, Name name) {
        request.ReplyEntry(
            request.fs().MkDir(request.node(), name, mode, request.caller()));
      });
}

void OnSymlink(fuse_req_t req, const char* target, fuse_ino_t parent,
               const char* text) noexcept {
  AnswerName(req, Message::kSymlink, parent, text,
             [=](Request& request, Name name) {
               request.ReplyEntry(request.fs().Symlink(
                   request.node(), name, target, request.caller()));
             });
}

void OnCreate(fuse_req_t req, fuse_ino_t parent, const char* text, mode_t mode,
              fuse_file_info* file) noexcept {
  AnswerName(
      req, Message::kCreate, parent, text, [=](Request& request, Name name) {
        request.ReplyCreated(request.fs().Create(request.node(), name, mode,
                                                 file->flags, request.caller()),
                             file);
      });
}

void OnTmpFile(fuse_req_t req, fuse_ino_t parent, mode_t mode,
               fuse_file_info* file) noexcept {
  Answer(Request(req, Message::kTmpFile, parent), [=](Request& request) {
    request.ReplyCreated(request.fs().TmpFile(request.node(), mode, file->flags,
                                              request.caller()),
                         file);
  });
}

// As AnswerName, where the name's file may have to be copied up first.
template <typename Work>
void AnswerNameChange(fuse_req_t req, Message message, fuse_ino_t parent,
                      const char* text, Work work) noexcept {
  Request request(req, message, parent);
  const bool slow = fuse_req_is_uring(req) && request.fs().NamesMayCopyUp();
  AnswerMaybeSlowly(slow, std::move(request),
                    [=](Request& request) { WithName(request, text, work); });
}

void OnUnlink(fuse_req_t req, fuse_ino_t parent, const char* text) noexcept {
  AnswerNameChange(req, Message::kUnlink, parent, text,
                   [](Request& request, Name name) {
                     request.Done(request.fs().Unlink(request.node(), name));
                   });
}

void OnRmDir(fuse_req_t req, fuse_ino_t parent, const char* text) noexcept {
  AnswerName(req, Message::kRmDir, parent, text,
             [](Request& request, Name name) {
               request.Done(request.fs().RmDir(request.node(), name));
             });
}

void OnRename(fuse_req_t req, fuse_ino_t parent, const char* text,
              fuse_ino_t new_parent, const char* new_text,
              unsigned flags) noexcept {
  AnswerNameChange(
      req, Message::kRename, parent, text, [=](Request& request, Name name) {
        request.Trace([&] {
          return Quoted(text) + " -> " + std::to_string(new_parent) + " " +
                 Quoted(new_text);
        });
        const Result<Name> new_name = Name::Parse(new_text);
        if (!new_name.ok()) return request.Fail(new_name.error());
        request.Done(request.fs().Rename(request.node(), name,
                                         NodeId{new_parent}, *new_name, flags));
      });
}

void OnLink(fuse_req_t req, fuse_ino_t node, fuse_ino_t new_parent,
            const char* text) noexcept {
  Request request(req, Message::kLink, node);
  const bool slow =
      fuse_req_is_uring(req) && request.fs().AttrsMayCopyUp(request.node());
  AnswerMaybeSlowly(slow, std::move(request), [=](Request& request) {
    request.Trace(
        [&] { return std::to_string(new_parent) + " " + Quoted(text); });
    const Result<Name> name = Name::Parse(text);
    if (!name.ok()) return request.Fail(name.error());
    request.ReplyEntry(
        request.fs().Link(request.node(), NodeId{new_parent}, *name));
  });
}

void OnReadLink(fuse_req_t req, fuse_ino_t node) noexcept {
  Answer(Request(req, Message::kReadLink, node), [](Request& request) {
    const Result<std::string> target = request.fs().ReadLink(request.node());
    if (!target.ok()) return request.Fail(target.error());
    request.ReplyLink(*target);
  });
}

// Lays directory entries out as the kernel reads them.
class ReplyDirSink final : public DirSink {
 public:
  ReplyDirSink(const Request& request, Request::Buffer buffer, bool plus)
      : request_(request), buffer_(buffer), plus_(plus) {}

  bool Add(const char* name, uint64_t ino, mode_t type, uint64_t next_offset,
           const Entry* entry) override {
    char* const at = buffer_.data + used_;
    const size_t room = buffer_.size - used_;
    const auto offset = static_cast<off_t>(next_offset);
    size_t size;
    if (plus_) {
      fuse_entry_param param{};
      if (entry != nullptr)
        param = ToEntryParam(*entry, request_.adapter().timeout_s());
      param.attr.st_ino = ino;  // what d_ino shows, with an entry or without
      param.attr.st_mode = entry != nullptr ? entry->attr.mode : type;
      size = fuse_add_direntry_plus(request_.raw(), at, room, name, &param,
                                    offset);
    } else {
      struct stat st {};
      st.st_ino = ino;
      st.st_mode = type;
      size = fuse_add_direntry(request_.raw(), at, room, name, &st, offset);
    }
    if (size > room) return false;
    used_ += size;
    return true;
  }

  size_t used() const { return used_; }

 private:
  const Request& request_;
  const Request::Buffer buffer_;
  const bool plus_;
  size_t used_ = 0;
};

void List(Request& request, size_t size, off_t offset, bool plus) {
  request.Trace([&] {
    return "from " + std::to_string(offset) + ", " + std::to_string(size);
  });
  const Request::Buffer buffer = request.ReplyBuffer(size);
  // The kernel keeps the names, and compares the directory's version with
  // theirs at a reader's beginning alone: another that is on its way would go
  // on with names of before a change, once a third has read them to the end. So
  // none are left when a reader begins to gather new ones, nor when one is
  // about to complete what is older. Compare Linux's fs/fuse/readdir.c,
  // fuse_readdir_cached() and fuse_readdir_cache_end().
  // What changes while a beginning looks is still to be told.
  const auto drop_changed = [&request] {
    if (request.fs().TakeNamesChanged(request.node()))
      request.adapter().DropPagesOf(request.node());
  };
  if (offset == 0) drop_changed();
  ReplyDirSink sink(request, buffer, plus);
  const Status status = request.fs().ReadDir(
      request.node(), static_cast<uint64_t>(offset), plus, sink);
  // What is in the buffer carries lookup references: it must reach the kernel,
  // and a failure that stays will be met again by the next message.
  if (!status.ok() && sink.used() == 0) return request.Fail(status.error());
  if (sink.used() == 0) drop_changed();
  request.ReplyBytes(buffer.data, sink.used());
}

void OnReadDir(fuse_req_t req, fuse_ino_t dir, size_t size, off_t offset,
               fuse_file_info*) noexcept {
  Answer(Request(req, Message::kReadDir, dir),
         [=](Request& request) { List(request, size, offset, false); });
}

void OnReadDirPlus(fuse_req_t req, fuse_ino_t dir, size_t size, off_t offset,
                   fuse_file_info*) noexcept {
  Answer(Request(req, Message::kReadDirPlus, dir),
         [=](Request& request) { List(request, size, offset, true); });
}

// Once is enough: the kernel does not ask again.
void OnOpenDir(fuse_req_t req, fuse_ino_t dir, fuse_file_info*) noexcept {
  Request(req, Message::kOpenDir, dir).Fail(ENOSYS);
}

void OnReleaseDir(fuse_req_t req, fuse_ino_t dir, fuse_file_info*) noexcept {
  Request(req, Message::kReleaseDir, dir).Ok();
}

}  // namespace

void AddNameHandlers(fuse_lowlevel_ops& ops) {
  ops.lookup = OnLookup;
  ops.forget = OnForget;
  ops.forget_multi = OnForgetMulti;
  ops.mknod = OnMkNod;
  ops.mkdir = OnMkDir;
  ops.symlink = OnSymlink;
  ops.create = OnCreate;
  ops.tmpfile = OnTmpFile;
  ops.unlink = OnUnlink;
  ops.rmdir = OnRmDir;
  ops.rename = OnRename;
  ops.link = OnLink;
  ops.readlink = OnReadLink;
  ops.opendir = OnOpenDir;
  ops.readdir = OnReadDir;
  ops.readdirplus = OnReadDirPlus;
  ops.releasedir = OnReleaseDir;
}

}  // namespace ufs
