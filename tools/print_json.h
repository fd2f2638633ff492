// JSON on stdout: keys in the order given, text that is no UTF-8 with
// replacement characters unless AddText put it there.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace ufs {

using Json = nlohmann::ordered_json;

// `object[key]` becomes `text`. JSON holds no other bytes than UTF-8: text with
// such stands there in hexadecimal, under KEY_hex.
void AddText(Json& object, const std::string& key, std::string_view text);

// One line: what --json prints, for programs.
void PrintJson(const Json& json);
// Indented: what has no other form than JSON, so that people read it too.
void PrintIndented(const Json& json);

}  // namespace ufs
