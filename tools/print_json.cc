#include "tools/print_json.h"

#include <cstdio>

namespace ufs {

void PrintIndented(const nlohmann::ordered_json& json) {
  using Handler = nlohmann::ordered_json::error_handler_t;
  std::puts(json.dump(2, ' ', false, Handler::replace).c_str());
}

}  // namespace ufs
