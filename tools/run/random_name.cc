#include "tools/run/random_name.h"

#include <sys/random.h>

#include <vector>

#include "runtime/kernel.h"

namespace ufs {

Result<std::string> RandomName(size_t bytes) {
  std::vector<unsigned char> random(bytes);
  // Never less than asked for, up to 256 bytes.
  TRY(runtime::kernel::Check(getrandom(random.data(), random.size(), 0)));
  std::string name;
  for (const unsigned char byte : random) {
    name += "0123456789abcdef"[byte >> 4];
    name += "0123456789abcdef"[byte & 15];
  }
  return name;
}

}  // namespace ufs
