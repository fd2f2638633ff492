// Properties that a caller wants a scope to have, by annotations of the
// container, as runc and crun take them:
//
//   "org.systemd.property.TimeoutStopUSec": "uint64 123456789"
//   "org.systemd.property.CollectMode": "'inactive-or-failed'"
//
// Pure. Threads: any.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"

namespace ufs::runtime {

// A value of D-Bus.
struct PropertyValue {
  std::string type;                  // its signature: "t", "s", "a(ss)"
  std::string text;                  // of s, o, g
  uint64_t number = 0;               // of the integers, and b; sign-extended
  double real = 0;                   // of d
  std::vector<PropertyValue> parts;  // of an array, or a structure
};

struct SystemdProperty {
  std::string name;
  PropertyValue value;
};

// In the text format of GVariant, but dictionaries, variants, maybes and byte
// strings, which no property of a scope has. EINVAL.
Result<PropertyValue> ParsePropertyValue(std::string_view text);

// Those among the annotations: only what stays within the scope, that is
// limits, accounting, and how and when it ends. A name that ends in Sec is
// given in seconds, and goes by USec, as systemd has it on the bus. EINVAL
// names the annotation.
Result<std::vector<SystemdProperty>> PropertiesIn(
    const std::map<std::string, std::string>& annotations);

}  // namespace ufs::runtime
