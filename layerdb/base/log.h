// Levelled log lines, to stderr or to syslog once a daemon has let go of its
// terminal. A failure is logged once, at the top, by whoever answers it.
// Threads: any.
#pragma once

#include <functional>
#include <string_view>

namespace ufs::log {

enum class Level { kDebug, kInfo, kWarn, kError };

// Lines below `level` are dropped. Default: kWarn.
void SetLevel(Level level);
bool Enabled(Level level);

// From now on to syslog, as `ident`, instead of stderr.
void UseSyslog(const char* ident);

// Every line that is not dropped goes there, too.
void CopyTo(std::function<void(Level, std::string_view)> copy);

void Write(Level level, std::string_view line);

inline void Debug(std::string_view line) { Write(Level::kDebug, line); }
inline void Info(std::string_view line) { Write(Level::kInfo, line); }
inline void Warn(std::string_view line) { Write(Level::kWarn, line); }
inline void Error(std::string_view line) { Write(Level::kError, line); }

}  // namespace ufs::log
