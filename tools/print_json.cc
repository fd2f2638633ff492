#include "tools/print_json.h"

#include <cstdio>
#include <utility>

namespace ufs {
namespace {

void Print(const Json& json, int indent) {
  std::puts(
      json.dump(indent, ' ', false, Json::error_handler_t::replace).c_str());
}

bool IsUtf8(const Json& text) {
  try {
    (void)text.dump();
    return true;
  } catch (const Json::exception&) {
    return false;
  }
}

}  // namespace

void AddText(Json& object, const std::string& key, std::string_view text) {
  Json value = std::string(text);
  if (IsUtf8(value)) {
    object[key] = std::move(value);
    return;
  }
  std::string hex;
  for (const unsigned char c : text) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", c);
    hex += digits;
  }
  object[key + "_hex"] = std::move(hex);
}

void PrintJson(const Json& json) { Print(json, -1); }

void PrintIndented(const Json& json) { Print(json, 2); }

}  // namespace ufs
