// Differences as text for people and as JSON, the same for uppers and layers.
#pragma once

#include <string>
#include <vector>

#include "fs/upper_diff.h"

namespace ufs {

// A line for each: a letter (A, C, D, M, R), then the path.
std::string ChangesText(const std::vector<Change>& changes);
// A list of objects with kind, path, from and type.
std::string ChangesJson(const std::vector<Change>& changes);

}  // namespace ufs
