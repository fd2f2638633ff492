#include "layerdb/base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "layerdb/base/mutex.h"

namespace ufs::log {
namespace {

std::shared_ptr<spdlog::logger> MakeStderr() {
  auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  auto logger = std::make_shared<spdlog::logger>("ufs", sink);
  logger->set_pattern("ufs: %^%l%$: %v");
  logger->set_level(spdlog::level::warn);
  return logger;
}

// Leaked on purpose: worker threads may still log while statics are destroyed.
struct State {
  Mutex mu;
  std::shared_ptr<spdlog::logger> logger GUARDED_BY(mu) = MakeStderr();
};
State& Get() {
  static State* const state = new State;
  return *state;
}

std::shared_ptr<spdlog::logger> Current() {
  State& state = Get();
  MutexLock lock(state.mu);
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

void SetLevel(Level level) { Current()->set_level(ToSpdlog(level)); }

bool Enabled(Level level) { return Current()->should_log(ToSpdlog(level)); }

void UseSyslog(const char* ident) {
  auto sink = std::make_shared<spdlog::sinks::syslog_sink_mt>(
      ident, LOG_PID, LOG_DAEMON, /*enable_formatting=*/false);
  auto logger = std::make_shared<spdlog::logger>(ident, sink);
  State& state = Get();
  MutexLock lock(state.mu);
  logger->set_level(state.logger->level());
  state.logger = std::move(logger);
}

void Write(Level level, std::string_view line) {
  Current()->log(ToSpdlog(level),
                 spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace ufs::log
