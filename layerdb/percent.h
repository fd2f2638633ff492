// Percent-encoding, so that any bytes are one word of a line and, but for their
// length, one name in a directory: everything but letters, digits and "._@+-"
// becomes %XX, a leading '.' too. Each text has one spelling.
#pragma once

#include <string>
#include <string_view>

#include "layerdb/base/result.h"

namespace ufs {

std::string PercentEncode(std::string_view text);
// EINVAL for what PercentEncode does not write.
Result<std::string> PercentDecode(std::string_view text);

}  // namespace ufs
