// The handlers about what is in a file: reading, writing, and making it stay.

#include <cerrno>
#include <optional>
#include <string>

#include "fs/fuse_request.h"
#include "layerdb/base/privilege.h"

namespace ufs {
namespace {

// A READ of this size is one of several in a row that the kernel sends ahead of
// who reads. Worth the way to another core: copied there, while the reader's
// core copies the one before.
constexpr size_t kReadAheadBytes = 512 << 10;

std::string Range(uint64_t offset, uint64_t size) {
  return std::to_string(size) + " at " + std::to_string(offset);
}

// Once ENOSYS is enough: the kernel does not ask again.
void OnOpen(fuse_req_t req, fuse_ino_t node, fuse_file_info* file) noexcept {
  Answer(Request(req, Message::kOpen, node), [=](Request& request) {
    if (!request.adapter().hears_opens()) return request.Fail(ENOSYS);
    request.ReplyOpen(request.fs().OpenFile(request.node(), file->flags), file);
  });
}

// A write has reached the union before write() returned, or, with writeback,
// before the kernel would send this.
void OnFlush(fuse_req_t req, fuse_ino_t node, fuse_file_info*) noexcept {
  Request(req, Message::kFlush, node).Fail(ENOSYS);
}

void OnRelease(fuse_req_t req, fuse_ino_t node, fuse_file_info* file) noexcept {
  Answer(Request(req, Message::kRelease, node),
         [flags = file->flags](Request& request) {
           if (request.adapter().hears_opens())
             request.fs().CloseFile(request.node(), flags);
           request.Ok();
         });
}

void ReadWith(Request& request, size_t size, uint64_t offset,
              UnionFs::Wait wait) {
  const Request::Buffer buffer = request.ReplyBuffer(size);
  const Result<size_t> got =
      request.fs().Read(request.node(), buffer.data, buffer.size, offset, wait);
  if (!got.ok()) return request.Fail(got.error());
  request.ReplyBytes(buffer.data, *got);
}

// On a ring: at once if the data is in memory, else from the pool.
void ReadOnRing(Request request, size_t size, uint64_t offset) {
  const auto read = [=](Request& request) {
    ReadWith(request, size, offset, UnionFs::Wait::kMayWait);
  };
  if (size >= kReadAheadBytes) return AnswerOnPool(std::move(request), read);
  const Request::Buffer buffer = request.ReplyBuffer(size);
  const Result<size_t> got = request.fs().Read(
      request.node(), buffer.data, buffer.size, offset, UnionFs::Wait::kNoWait);
  if (got.ok()) return request.ReplyBytes(buffer.data, *got);
  if (got.code() != EAGAIN) return request.Fail(got.error());
  AnswerOnPool(std::move(request), read);
}

void OnRead(fuse_req_t req, fuse_ino_t node, size_t size, off_t at,
            fuse_file_info*) noexcept {
  const auto offset = static_cast<uint64_t>(at);
  Answer(Request(req, Message::kRead, node), [=](Request& request) {
    request.Trace([&] { return Range(offset, size); });
    if (fuse_req_is_uring(request.raw()))
      return ReadOnRing(std::move(request), size, offset);
    ReadWith(request, size, offset, UnionFs::Wait::kMayWait);
  });
}

// The kernel keeps pages that it could not write back, and shows them.
void WritePages(Request& request, const char* data, size_t size,
                uint64_t offset) {
  const FuseAdapter& adapter = request.adapter();
  const NodeId node = request.node();
  const auto written = adapter.fs().WriteBack(
      node, data, size, offset,
      adapter.writeback() ? UnionFs::Times::kTold : UnionFs::Times::kMove);
  request.ReplyWritten(written);
  if (!written.ok()) adapter.DropPagesSoon(node);
}

void OnWrite(fuse_req_t req, fuse_ino_t node, const char* data, size_t size,
             off_t at, fuse_file_info* file) noexcept {
  const auto offset = static_cast<uint64_t>(at);
  const bool loses = file->kill_suidgid;
  const bool from_pages = file->writepage;
  Request request(req, Message::kWrite, node);
  const bool slow = fuse_req_is_uring(req) &&
                    request.fs().MayCopyUp(request.node(), offset, size);
  AnswerMaybeSlowly(slow, std::move(request), [=](Request& request) {
    request.Trace([&] { return Range(offset, size); });
    if (from_pages) return WritePages(request, data, size, offset);
    const Caller caller = request.caller();
    request.ReplyWritten(request.fs().Write(request.node(), data, size, offset,
                                            loses ? &caller : nullptr));
  });
}

void Sync(Request request, bool data_only) noexcept {
  // Once is enough: the kernel calls it done, and does not ask again.
  if (!request.fs().syncs()) return request.Fail(ENOSYS);
  AnswerSlowly(std::move(request), [=](Request& request) {
    request.Done(request.fs().FSync(request.node(), data_only));
  });
}

void OnFSync(fuse_req_t req, fuse_ino_t node, int data_only,
             fuse_file_info*) noexcept {
  Sync(Request(req, Message::kFSync, node), data_only != 0);
}

void OnFSyncDir(fuse_req_t req, fuse_ino_t dir, int data_only,
                fuse_file_info*) noexcept {
  Sync(Request(req, Message::kFSyncDir, dir), data_only != 0);
}

// Whether the caller's change of contents costs a file its set-id bits. For
// these two the kernel leaves it to us, and tells no capabilities.
std::optional<Caller> WhoLosesSuid(const Request& request) {
  const Caller caller = request.caller();
  if (caller.uid == 0 && InInitialUserNamespace()) return std::nullopt;
  return caller;
}

void OnFallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset,
                 off_t length, fuse_file_info*) noexcept {
  AnswerSlowly(Request(req, Message::kFallocate, node), [=](Request& request) {
    request.Trace([&] { return Range(offset, length); });
    const auto loses = WhoLosesSuid(request);
    request.Done(request.fs().Fallocate(
        request.node(), mode, static_cast<uint64_t>(offset),
        static_cast<uint64_t>(length), loses ? &*loses : nullptr));
  });
}

void OnLSeek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence,
             fuse_file_info*) noexcept {
  Request request(req, Message::kLSeek, node);
  const bool may_be_behind = request.adapter().writeback();
  AnswerMaybeSlowly(may_be_behind, std::move(request), [=](Request& request) {
    request.Trace([&] { return std::to_string(offset); });
    if (may_be_behind) request.adapter().DropPagesOf(request.node());
    request.ReplyOffset(request.fs().LSeek(
        request.node(), static_cast<uint64_t>(offset), whence));
  });
}

void OnCopyFileRange(fuse_req_t req, fuse_ino_t in, off_t in_offset,
                     fuse_file_info*, fuse_ino_t out, off_t out_offset,
                     fuse_file_info*, size_t length, int) noexcept {
  AnswerSlowly(
      Request(req, Message::kCopyFileRange, in), [=](Request& request) {
        request.Trace([&] {
          return Range(in_offset, length) + " to " + std::to_string(out);
        });
        const auto loses = WhoLosesSuid(request);
        request.ReplyWritten(request.fs().CopyFileRange(
            request.node(), static_cast<uint64_t>(in_offset), NodeId{out},
            static_cast<uint64_t>(out_offset), length,
            loses ? &*loses : nullptr));
      });
}

void OnStatFs(fuse_req_t req, fuse_ino_t node) noexcept {
  Answer(Request(req, Message::kStatFs, node),
         [](Request& request) { request.ReplyStatFs(request.fs().StatFs()); });
}

}  // namespace

void AddDataHandlers(fuse_lowlevel_ops& ops) {
  ops.open = OnOpen;
  ops.read = OnRead;
  ops.write = OnWrite;
  ops.flush = OnFlush;
  ops.release = OnRelease;
  ops.fsync = OnFSync;
  ops.fsyncdir = OnFSyncDir;
  ops.fallocate = OnFallocate;
  ops.lseek = OnLSeek;
  ops.copy_file_range = OnCopyFileRange;
  ops.statfs = OnStatFs;
}

}  // namespace ufs
