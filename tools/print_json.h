// JSON on stdout: keys in the order given, text that is no UTF-8 with
// replacement characters.
#pragma once

#include <nlohmann/json.hpp>

namespace ufs {

using Json = nlohmann::ordered_json;

// One line.
void PrintJson(const Json& json);
// As people read it too: indented.
void PrintIndented(const Json& json);

}  // namespace ufs
