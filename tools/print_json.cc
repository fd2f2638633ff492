#include "tools/print_json.h"

#include <cstdio>

namespace ufs {
namespace {

void Print(const Json& json, int indent) {
  std::puts(
      json.dump(indent, ' ', false, Json::error_handler_t::replace).c_str());
}

}  // namespace

void PrintJson(const Json& json) { Print(json, -1); }

void PrintIndented(const Json& json) { Print(json, 2); }

}  // namespace ufs
