// Lengths of time, and moments, in the words of a command line. Threads: any.
#pragma once

#include <time.h>

#include <chrono>
#include <string>

#include "layerdb/base/result.h"

namespace ufs {

// "1m30s", "500ms", "2h", "1.5s", as Go and so docker have them; "0". Up to a
// year. EINVAL, as a sentence.
Result<std::chrono::milliseconds> ParseDuration(const std::string& text);

// A moment: so long before `now` ("10m"), a date with or without a time of day
// ("2026-12-01", "2026-12-01T08:30:00.5+01:00"; local unless it says where), or
// seconds since 1970. EINVAL, as a sentence.
Result<timespec> ParseMoment(const std::string& text, const timespec& now);

}  // namespace ufs
