#include "fs/start_tracer.h"

#include <fcntl.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "layerdb/base/log.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

constexpr std::chrono::minutes kRecordFor(1);

Result<std::vector<TraceEntry>> ReadTrace(const std::string& path) {
  return ParseTrace(
      TRY(ReadSmallFile({AT_FDCWD, path.c_str()}, kMaxTraceBytes)));
}

Status WriteTrace(const std::filesystem::path& path,
                  const std::vector<TraceEntry>& entries) {
  const UniqueFd dir =
      TRY(sys::Open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY));
  return ReplaceFile(dir, path.filename(), FormatTrace(entries));
}

}  // namespace

StartTracer::StartTracer(UnionFs& fs, std::string path)
    : fs_(fs),
      path_(std::move(path)),
      start_(std::chrono::steady_clock::now()) {
  auto entries = ReadTrace(path_);
  if (entries.ok()) {
    entries_ = std::move(*entries);
  } else if (entries.code() == ENOENT) {
    recorder_ = std::make_unique<TraceRecorder>();
    recording_ = true;
    fs_.RecordReads(recorder_.get());
  } else {
    log::Warn("start trace " + path_ + ": " + entries.error().ToString() +
              "; remove it to record anew");
  }
}

StartTracer::~StartTracer() {
  Stop();
  fs_.RecordReads(nullptr);
}

void StartTracer::ReadAhead() {
  if (!entries_.empty())
    reader_ = std::make_unique<StartReader>(fs_, std::move(entries_));
}

void StartTracer::KeepHouse() {
  if (recording_ && std::chrono::steady_clock::now() - start_ >= kRecordFor)
    Stop();
}

void StartTracer::Stop() {
  reader_.reset();
  if (!std::exchange(recording_, false)) return;
  fs_.RecordReads(nullptr);  // a read under way may still add to it
  const auto entries = recorder_->Entries();
  if (entries.empty()) return;
  if (const auto written = WriteTrace(path_, entries); !written.ok())
    log::Warn("start trace " + path_ + ": " + written.error().ToString());
}

}  // namespace ufs
