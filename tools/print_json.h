// JSON on stdout as people read it too: indented, keys in the order given.
#pragma once

#include <nlohmann/json.hpp>

namespace ufs {

// Text that is no UTF-8 gets replacement characters.
void PrintIndented(const nlohmann::ordered_json& json);

}  // namespace ufs
