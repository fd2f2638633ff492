#include <algorithm>
#include <cerrno>

#include "layerdb/base/syscall.h"
#include "layerdb/object_stage.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

// A shorter run of zeros has no block of its own to save.
constexpr uint64_t kLeastHoleBytes = 4096;

}  // namespace

ObjectWriter::~ObjectWriter() {
  // The folder's owner would remove it too, but much later.
  if (file_.valid() && !file_name_.empty())
    (void)sys::UnlinkAt({stage_.folder_, file_name_.c_str()});
}

Status ObjectWriter::Append(std::string_view data) {
  if (!file_.valid() && size_ + data.size() > kBufferBytes) TRY(Spill());
  hasher_.Update(data.data(), data.size());
  if (file_.valid()) {
    TRY(WriteAll(file_, data, size_).With("writing an object"));
  } else {
    buffer_.append(data);
  }
  size_ += data.size();
  return Ok();
}

Status ObjectWriter::Hole(uint64_t bytes) {
  if (bytes > static_cast<uint64_t>(INT64_MAX) - size_)
    return Error(EFBIG, "writing an object");
  if (bytes < kLeastHoleBytes) return Append(std::string(bytes, '\0'));
  if (!file_.valid()) TRY(Spill());
  size_ += bytes;
  // Says at once when the file system has no such sizes.
  TRY(sys::FTruncate(file_, size_).With("writing an object"));
  hasher_.UpdateZeros(bytes);
  return Ok();
}

Status ObjectWriter::Spill() {
  file_name_ = stage_.TemporaryName();
  file_ = TRY(sys::OpenAt({stage_.folder_, file_name_.c_str()},
                          O_RDWR | O_CREAT | O_EXCL, kStoreFileMode)
                  .With("writing an object"));
  TRY(WriteAll(file_, buffer_, 0).With("writing an object"));
  buffer_ = std::string();
  return Ok();
}

Result<ObjectId> ObjectWriter::Finish() {
  ObjectStage::Draft draft;
  draft.size_bytes = size_;
  draft.hash = hasher_.Finish();
  if (file_.valid()) {
    draft.file = file_;
    draft.file_name = file_name_.c_str();
  } else {
    draft.buffer = buffer_;
  }
  const ObjectId id = TRY(stage_.Settle(draft));
  buffer_ = std::string();
  // Settle has given the file its name, or removed it.
  file_name_.clear();
  file_.reset();
  return id;
}

}  // namespace ufs
