// The grammar of mount option strings, with no knowledge of any option:
// "name,name=value,name=\"quoted, value\"", and of lower directory lists.
// Total functions: any bytes go in, an answer or EINVAL comes out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"

namespace ufs {

// One option as it was written. `value` keeps its backslashes, as what they
// escape depends on the option; quotes around it are gone.
struct OptionText {
  std::string name;
  std::string value;
  bool has_value = false;  // "name=" has one, which is empty
};

// Splits at commas that are neither escaped nor inside a quoted value. Empty
// options ("a,,b", ",a", "a,") are skipped, as podman and fstab produce them.
// EINVAL for a quote that is never closed.
Result<std::vector<OptionText>> SplitOptions(std::string_view text);

// A backslash makes the next character plain. A last, lone one stays.
std::string Unescape(std::string_view text);

// Splits a lowerdir value at colons that are not escaped, and unescapes each
// part. Empty parts are kept: what they mean is the caller's to say.
std::vector<std::string> SplitLowerdir(std::string_view value);

// The inverse of SplitLowerdir for one directory, safe within an option string.
std::string EscapeLowerdir(std::string_view directory);

// The candidate that takes the fewest insertions, deletions, replacements and
// swaps of neighbours to become `name`; empty when none is near enough to be
// worth proposing.
std::string_view NearestName(std::string_view name,
                             const std::vector<std::string_view>& candidates);

}  // namespace ufs
