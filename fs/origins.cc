#include "fs/origins.h"

#include <cstdio>
#include <vector>

namespace ufs {

std::string OriginKey(const struct statx& stat) {
  char text[80];
  const int size =
      snprintf(text, sizeof(text), "%llx-%llx.%x",
               static_cast<unsigned long long>(stat.stx_ino),
               static_cast<unsigned long long>(stat.stx_btime.tv_sec),
               stat.stx_btime.tv_nsec);
  return std::string(text, size);
}

Result<Origins> ReadOrigins(BorrowedFd dir) {
  std::vector<std::string> names;
  TRY(sys::ForEachEntry(dir, [&](const char* name, uint8_t, uint64_t) {
    names.emplace_back(name);
    return true;
  }));
  Origins origins;
  for (const std::string& name : names)
    origins[name] = TRY(ParseOrigin(TRY(sys::ReadLinkAt({dir, name.c_str()}))));
  return origins;
}

}  // namespace ufs
