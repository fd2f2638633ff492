// Reading what is there: attributes, listings, whole trees.
#pragma once

#include <string>
#include <vector>

#include "tests/model/executor.h"
#include "tests/model/outcome.h"

namespace ufs::model {

Outcome StatOutcome(int at, const char* path, int flags);

// Everything in an open directory, from where its offset is.
Outcome ListDir(int fd);

// The names of a listxattr answer, sorted.
std::vector<std::string> SplitNames(const std::string& list, ssize_t length);

// The tree below an open directory. Errors stay in the nodes they belong to.
RealNode ReadNode(int directory);

}  // namespace ufs::model
