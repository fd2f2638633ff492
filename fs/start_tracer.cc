#include "fs/start_tracer.h"

#include <cerrno>
#include <utility>

#include "layerdb/base/log.h"

namespace ufs {
namespace {

constexpr std::chrono::minutes kRecordFor(1);

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
    // Nobody else records a union that is not mounted yet.
    recording_ = fs_.RecordReads(*recorder_).ok();
  } else {
    log::Warn("start trace " + path_ + ": " + entries.error().ToString() +
              "; remove it to record anew");
  }
}

StartTracer::~StartTracer() { Stop(); }

void StartTracer::ReadAhead() {
  if (!entries_.empty())
    reader_ = std::make_unique<StartReader>(fs_, std::move(entries_));
}

void StartTracer::KeepHouse() {
  if (reader_ != nullptr && reader_->done()) {
    if (reader_->found() == 0)
      log::Warn("the start trace is of other layers; remove it to record anew");
    reader_.reset();
  }
  if (recording_ && std::chrono::steady_clock::now() - start_ >= kRecordFor)
    Stop();
}

void StartTracer::Stop() {
  reader_.reset();
  if (!std::exchange(recording_, false)) return;
  fs_.StopRecording(*recorder_);  // a read under way may still add to it
  const auto entries = recorder_->Take();
  if (entries.empty()) return;
  if (const auto written = WriteTrace(path_, FormatTrace(entries));
      !written.ok())
    log::Warn("start trace " + path_ + ": " + written.error().ToString());
}

}  // namespace ufs
