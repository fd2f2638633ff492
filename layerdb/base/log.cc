#include "layerdb/base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>

#include "layerdb/base/mutex.h"
#include "layerdb/base/printable.h"

namespace ufs::log {
namespace {

// Of most programs nobody hears, so that what writes is made for the first
// line. Leaked on purpose: worker threads may still log while statics are
// destroyed.
struct State {
  Mutex mu;
  Level level GUARDED_BY(mu) = Level::kWarn;
  std::string syslog_ident GUARDED_BY(mu);  // empty: stderr
  std::shared_ptr<spdlog::logger> logger GUARDED_BY(mu);
  std::function<void(Level, std::string_view)> copy GUARDED_BY(mu);
};
State& Get() {
  static State* const state = new State;
  return *state;
}

std::shared_ptr<spdlog::logger> MakeLogger(const std::string& syslog_ident) {
  if (syslog_ident.empty()) {
    auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
    auto logger = std::make_shared<spdlog::logger>("ufs", sink);
    logger->set_pattern("ufs: %^%l%$: %v");
    return logger;
  }
  auto sink = std::make_shared<spdlog::sinks::syslog_sink_mt>(
      syslog_ident, LOG_PID, LOG_DAEMON, /*enable_formatting=*/false);
  return std::make_shared<spdlog::logger>(syslog_ident, sink);
}

// Null for a line that is to be dropped.
std::shared_ptr<spdlog::logger> LoggerFor(Level level) {
  State& state = Get();
  MutexLock lock(state.mu);
  if (level < state.level) return nullptr;
  if (state.logger == nullptr) {
    state.logger = MakeLogger(state.syslog_ident);
    state.logger->set_level(spdlog::level::trace);
  }
  return state.logger;
}

spdlog::level::level_enum ToSpdlog(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarn:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

void SetLevel(Level level) {
  State& state = Get();
  MutexLock lock(state.mu);
  state.level = level;
}

bool Enabled(Level level) {
  State& state = Get();
  MutexLock lock(state.mu);
  return level >= state.level;
}

void UseSyslog(const char* ident) {
  State& state = Get();
  MutexLock lock(state.mu);
  state.syslog_ident = ident;
  state.logger = nullptr;
}

void CopyTo(std::function<void(Level, std::string_view)> copy) {
  State& state = Get();
  MutexLock lock(state.mu);
  state.copy = std::move(copy);
}

void Write(Level level, std::string_view line) {
  const auto logger = LoggerFor(level);
  if (logger == nullptr) return;
  const std::string shown = Printable(line);
  logger->log(ToSpdlog(level),
              spdlog::string_view_t(shown.data(), shown.size()));
  const auto copy = [] {
    State& state = Get();
    MutexLock lock(state.mu);
    return state.copy;
  }();
  if (copy) copy(level, line);
}

}  // namespace ufs::log
