// A trace of a start, from anywhere: whatever is accepted comes back the same
// when it is written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "fs/start_trace.h"

namespace {

void Require(bool condition) {
  if (!condition) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto entries = ufs::ParseTrace(text);
  if (!entries.ok()) {
    Require(!entries.error().context().empty());
    return 0;
  }
  for (const ufs::TraceEntry& entry : *entries)
    Require(entry.begin < entry.end && !entry.contents.empty());
  const auto again = ufs::ParseTrace(ufs::FormatTrace(*entries));
  Require(again.ok() && *again == *entries);
  return 0;
}
