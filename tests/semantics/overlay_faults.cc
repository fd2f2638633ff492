#include "tests/semantics/overlay_faults.h"

namespace ufs::test {

const std::map<std::string, std::string>& OverlayFaults() {
  static const auto* const faults = new std::map<std::string, std::string>{};
  return *faults;
}

}  // namespace ufs::test
