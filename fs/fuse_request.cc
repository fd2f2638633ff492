#include "fs/fuse_request.h"

#include <pthread.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "fs/message_log.h"
#include "layerdb/base/log.h"

namespace ufs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kPageBytes = 4096;

std::string Describe(NodeId node) {
  return "node " + std::to_string(static_cast<uint64_t>(node));
}

// How long the kernel may answer from attributes that it is told.
double TimeoutOf(const Attr& attr, double timeout_s) {
  return attr.times_move ? 0 : timeout_s;
}

// There is no handle. What the kernel has cached of the file is true, or is to
// be dropped as it will read elsewhere.
void FillFileInfo(const UnionFs::Opened& opened, fuse_file_info* file) {
  file->fh = 0;
  file->backing_id = opened.backing_id;
  file->keep_cache = opened.backing_id == 0;
  file->noflush = 1;
}

}  // namespace

std::string Quoted(const char* name) { return '"' + std::string(name) + "\""; }

void ForbidCancellation() noexcept {
  thread_local const bool forbidden = [] {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    return true;
  }();
  (void)forbidden;
}

struct stat ToStat(const Attr& attr) {
  struct stat st {};
  st.st_ino = attr.ino;
  st.st_mode = attr.mode;
  st.st_nlink = attr.nlink;
  st.st_uid = attr.uid;
  st.st_gid = attr.gid;
  st.st_rdev = attr.rdev;
  st.st_size = static_cast<off_t>(attr.size_bytes);
  st.st_blksize = attr.blksize_bytes;
  st.st_blocks = static_cast<blkcnt_t>(attr.blocks);
  st.st_atim = attr.atime;
  st.st_mtim = attr.mtime;
  st.st_ctim = attr.ctime;
  return st;
}

fuse_entry_param ToEntryParam(const Entry& entry, double timeout_s) {
  fuse_entry_param param{};
  param.ino = static_cast<fuse_ino_t>(entry.node);
  param.generation = 1;  // a node id is never given twice
  param.attr = ToStat(entry.attr);
  param.attr_timeout = TimeoutOf(entry.attr, timeout_s);
  param.entry_timeout = timeout_s;
  return param;
}

Request::Request(fuse_req_t req, Message message, fuse_ino_t node)
    : req_(req),
      message_(message),
      node_(NodeId{node}),
      start_(Clock::now()),
      pass_(adapter().gate().Enter()) {
  ForbidCancellation();
  if (fuse_req_is_uring(req)) adapter().rings().Count();
}

Caller Request::caller() const {
  const fuse_ctx* ctx = fuse_req_ctx(req_);
  return Caller{ctx->uid, ctx->gid, ctx->pid, ctx->umask};
}

Request::Buffer Request::ReplyBuffer(size_t size) const {
  char* payload = nullptr;
  size_t payload_size = 0;
  if (fuse_req_is_uring(req_) &&
      fuse_req_get_payload(req_, &payload, &payload_size, nullptr) == 0)
    return {payload, std::min(size, payload_size)};

  // Grown to the largest request seen by this thread, and kept: pages that are
  // touched again cost nothing.
  struct Freed {
    void operator()(char* data) const { free(data); }
  };
  thread_local std::unique_ptr<char, Freed> own;
  thread_local size_t own_size = 0;
  if (own_size < size) {
    const size_t rounded = (size + kPageBytes - 1) / kPageBytes * kPageBytes;
    own.reset(static_cast<char*>(std::aligned_alloc(kPageBytes, rounded)));
    own_size = own != nullptr ? rounded : 0;
    if (own == nullptr) throw std::bad_alloc();
  }
  return {own.get(), size};
}

fuse_req_t Request::Finish(int code, std::string_view result) {
  const auto ns = static_cast<uint64_t>(
      std::chrono::nanoseconds(Clock::now() - start_).count());
  adapter().metrics().Record(message_, ns, code);
  if (adapter().debug()) [[unlikely]]
    LogMessage(message_, node_, trace_, code, result, ns);
  return std::exchange(req_, nullptr);
}

void Request::ReturnIfLost(int sent, FuseAdapter& adapter, NodeId node) {
  if (sent != 0) adapter.fs().Forget(node, 1);
}

void Request::Fail(int code) { fuse_reply_err(Finish(code), code); }

void Request::Fail(const Error& error) {
  // A context says that the cause lies outside of the request.
  if (!error.context().empty())
    log::Warn(std::string(NameOf(message_)) + ": " + error.ToString());
  Fail(error.code());
}

void Request::ReplyEntry(const Result<Entry>& entry) {
  if (!entry.ok()) return Fail(entry.error());
  FuseAdapter& to = adapter();
  const fuse_entry_param param = ToEntryParam(*entry, to.timeout_s());
  const fuse_req_t req =
      Finish(0, to.debug() ? Describe(entry->node) : std::string());
  ReturnIfLost(fuse_reply_entry(req, &param), to, entry->node);
}

void Request::ReplyNoEntry() {
  fuse_entry_param param{};
  param.entry_timeout = adapter().timeout_s();
  fuse_reply_entry(Finish(0, "no entry"), &param);
}

void Request::ReplyOpen(const Result<UnionFs::Opened>& opened,
                        fuse_file_info* file) {
  if (!opened.ok()) return Fail(opened.error());
  FuseAdapter& to = adapter();
  const NodeId node = node_;
  FillFileInfo(*opened, file);
  if (opened->lost_times) to.ForgetAttrsOf(node);
  const fuse_req_t req = Finish(0, opened->backing_id ? "passed through" : "");
  if (fuse_reply_open(req, file) != 0) to.fs().CloseFile(node, file->flags);
}

void Request::ReplyCreated(Result<Entry> entry, fuse_file_info* file) {
  if (!entry.ok()) return Fail(entry.error());
  FuseAdapter& to = adapter();
  const NodeId node = entry->node;
  UnionFs::Opened opened;
  if (to.hears_opens()) {
    const auto done = to.fs().OpenFile(node, file->flags);
    if (!done.ok()) {
      to.fs().Forget(node, 1);
      return Fail(done.error());
    }
    opened = *done;
    entry->attr.times_move |= opened.lost_times;
  }
  FillFileInfo(opened, file);
  const fuse_entry_param param = ToEntryParam(*entry, to.timeout_s());
  const fuse_req_t req = Finish(0, to.debug() ? Describe(node) : std::string());
  const int sent = fuse_reply_create(req, &param, file);
  if (sent != 0 && to.hears_opens()) to.fs().CloseFile(node, file->flags);
  ReturnIfLost(sent, to, node);
}

void Request::ReplyAttr(const Result<Attr>& attr) {
  if (!attr.ok()) return Fail(attr.error());
  const struct stat st = ToStat(*attr);
  const double timeout_s = TimeoutOf(*attr, adapter().timeout_s());
  fuse_reply_attr(Finish(0), &st, timeout_s);
}

void Request::ReplyStatx(const Result<Attr>& attr) {
  if (!attr.ok()) return Fail(attr.error());
  const auto time = [](const timespec& from) {
    struct statx_timestamp to {};
    to.tv_sec = from.tv_sec;
    to.tv_nsec = static_cast<uint32_t>(from.tv_nsec);
    return to;
  };
  struct statx stx {};
  stx.stx_mask = STATX_BASIC_STATS | STATX_BTIME;
  stx.stx_blksize = attr->blksize_bytes;
  stx.stx_nlink = attr->nlink;
  stx.stx_uid = attr->uid;
  stx.stx_gid = attr->gid;
  stx.stx_mode = static_cast<uint16_t>(attr->mode);
  stx.stx_ino = attr->ino;
  stx.stx_size = attr->size_bytes;
  stx.stx_blocks = attr->blocks;
  stx.stx_atime = time(attr->atime);
  stx.stx_mtime = time(attr->mtime);
  stx.stx_ctime = time(attr->ctime);
  stx.stx_btime = time(attr->btime);
  stx.stx_rdev_major = major(attr->rdev);
  stx.stx_rdev_minor = minor(attr->rdev);
  const double timeout_s = TimeoutOf(*attr, adapter().timeout_s());
  fuse_reply_statx(Finish(0), 0, &stx, timeout_s);
}

void Request::ReplyBytes(const char* data, size_t size) {
  const std::string result =
      adapter().debug() ? std::to_string(size) + " bytes" : std::string();
  fuse_reply_buf(Finish(0, result), data, size);
}

void Request::ReplyWritten(const Result<size_t>& count) {
  if (!count.ok()) return Fail(count.error());
  const std::string result =
      adapter().debug() ? std::to_string(*count) + " bytes" : std::string();
  fuse_reply_write(Finish(0, result), *count);
}

void Request::ReplyXattr(const Result<std::string>& value, size_t room) {
  if (!value.ok()) return Fail(value.error());
  if (room == 0) {
    fuse_reply_xattr(Finish(0), value->size());
    return;
  }
  if (value->size() > room) return Fail(ERANGE);
  ReplyBytes(value->data(), value->size());
}

void Request::ReplyLink(const std::string& target) {
  fuse_reply_readlink(Finish(0, target), target.c_str());
}

void Request::ReplyOffset(const Result<uint64_t>& offset) {
  if (!offset.ok()) return Fail(offset.error());
  fuse_reply_lseek(Finish(0), static_cast<off_t>(*offset));
}

void Request::ReplyStatFs(const Result<struct statvfs>& stat) {
  if (!stat.ok()) return Fail(stat.error());
  fuse_reply_statfs(Finish(0), &*stat);
}

void Request::ReplyIoctl(const void* data, size_t size) {
  fuse_reply_ioctl(Finish(0), 0, data, size);
}

void Request::ReplyNone() { fuse_reply_none(Finish(0)); }

void AnswerOnPool(Request request,
                  std::function<void(Request&)> work) noexcept {
  WorkerPool& pool = request.adapter().pool();
  try {
    // std::function wants what it holds to be copyable.
    auto held = std::make_shared<Request>(std::move(request));
    WorkerPool::Task task = [held, work = std::move(work)]() mutable {
      internal::Run(*held, work);
    };
    // A pool that is full leaves the work here: slower for this ring, but the
    // number of requests in flight stays bounded.
    if (!pool.Submit(task)) task();
  } catch (const std::bad_alloc&) {
    // Whoever holds the request answers it with EIO as it goes.
  }
}

}  // namespace ufs
