// Request: one message from its arrival to its reply, counted and traced; and
// Answer, the frame every handler stands in. Inside the adapter only.
//
// A Request is answered exactly once; who destroys it unanswered has it
// answered with EIO, as a caller without an answer would hang for ever.
// Threads: one at a time; it may move to another.
#pragma once

#include <chrono>
#include <functional>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "fs/fuse_adapter.h"

namespace ufs {

class Request {
 public:
  Request(fuse_req_t req, Message message, fuse_ino_t node);
  Request(Request&& other) noexcept
      : req_(std::exchange(other.req_, nullptr)),
        message_(other.message_),
        node_(other.node_),
        start_(other.start_),
        pass_(std::move(other.pass_)),
        trace_(std::move(other.trace_)) {}
  Request& operator=(Request&&) = delete;
  ~Request() {
    if (req_ != nullptr) Fail(EIO);
  }

  FuseAdapter& adapter() const {
    return *static_cast<FuseAdapter*>(fuse_req_userdata(req_));
  }
  UnionFs& fs() const { return adapter().fs(); }
  NodeId node() const { return node_; }
  Caller caller() const;
  bool answered() const { return req_ == nullptr; }

  // What -d shows between the node and the result. `make` returns a string and
  // is called only if there is a trace.
  template <typename Make>
  void Trace(Make make) {
    if (adapter().debug()) [[unlikely]]
      trace_ = make();
  }

  // Where a reply of up to `size` bytes is built: the ring's own buffer, so
  // that the reply is copied once, or one of this thread's.
  struct Buffer {
    char* data;
    size_t size;
  };
  Buffer ReplyBuffer(size_t size) const;
  // For libfuse functions that need it.
  fuse_req_t raw() const { return req_; }

  // --- the reply; each ends the request --------------------------------------
  void Ok() { Fail(0); }
  void Fail(int code);
  void Fail(const Error& error);
  void Done(const Status& status) { status.ok() ? Ok() : Fail(status.error()); }
  void ReplyEntry(const Result<Entry>& entry);
  void ReplyNoEntry();  // no such name, and the kernel may remember that
  void ReplyOpen(const Result<UnionFs::Opened>& opened, fuse_file_info* file);
  // Opens it as well, where opens are announced.
  void ReplyCreated(Result<Entry> entry, fuse_file_info* file);
  void ReplyAttr(const Result<ufs::Attr>& attr);
  void ReplyStatx(const Result<ufs::Attr>& attr);
  void ReplyBytes(const char* data, size_t size);
  void ReplyWritten(const Result<size_t>& count);
  // As getxattr and listxattr reply: the length alone when `room` is 0.
  void ReplyXattr(const Result<std::string>& value, size_t room);
  void ReplyLink(const std::string& target);
  void ReplyOffset(const Result<uint64_t>& offset);
  void ReplyStatFs(const Result<struct statvfs>& stat);
  void ReplyIoctl(const void* data, size_t size);
  void ReplyNone();  // for a message that has no reply

 private:
  // Counts, traces, and gives up the libfuse request.
  fuse_req_t Finish(int code, std::string_view result = {});
  // The reference that an undelivered entry carries goes back to the union.
  void ReturnIfLost(int sent, FuseAdapter& adapter, NodeId node);

  fuse_req_t req_;
  Message message_;
  NodeId node_;
  std::chrono::steady_clock::time_point start_;
  RequestGate::Pass pass_;  // until nothing more is done for it
  std::string trace_;
};

// An entry as libfuse takes it.
fuse_entry_param ToEntryParam(const Entry& entry, double timeout_s);
struct stat ToStat(const Attr& attr);

// Threads that libfuse ends by cancellation must not be ended inside a handler.
void ForbidCancellation() noexcept;

namespace internal {

template <typename Work>
void Run(Request& request, Work& work) noexcept {
  try {
    work(request);
  } catch (const std::bad_alloc&) {
    if (!request.answered()) request.Fail(ENOMEM);
  } catch (...) {
    if (!request.answered()) request.Fail(EIO);
  }
}

}  // namespace internal

// Runs `work(request)` here.
template <typename Work>
void Answer(Request request, Work work) noexcept {
  internal::Run(request, work);
}

// Runs `work(request)` where it may take long: on the pool for a request that
// came over io_uring, as the thread that has it must go back to its ring; here
// otherwise. What `work` borrows from the message stays valid: libfuse keeps
// the buffers of a ring request until the reply.
void AnswerOnPool(Request request, std::function<void(Request&)> work) noexcept;

template <typename Work>
void AnswerSlowly(Request request, Work work) noexcept {
  if (!fuse_req_is_uring(request.raw()))
    return Answer(std::move(request), work);
  AnswerOnPool(std::move(request), work);
}

// AnswerSlowly if `slow`, else Answer.
template <typename Work>
void AnswerMaybeSlowly(bool slow, Request request, Work work) noexcept {
  if (slow) return AnswerSlowly(std::move(request), std::move(work));
  Answer(std::move(request), std::move(work));
}

// The handlers, by what they are about: each fills its part of the table.
void AddNameHandlers(fuse_lowlevel_ops& ops);  // lookup, create, remove, list
void AddAttrHandlers(fuse_lowlevel_ops& ops);  // attributes, xattrs, ioctl
void AddDataHandlers(fuse_lowlevel_ops& ops);  // read, write, sync, statfs

// "NAME" in quotes, for Trace.
std::string Quoted(const char* name);

}  // namespace ufs
