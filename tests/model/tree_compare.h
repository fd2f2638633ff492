// Compares a whole real tree with the model: names, attributes, contents,
// xattrs, link targets, hard-link groups and inode numbers.
#pragma once

#include <string>
#include <vector>

#include "tests/model/executor.h"
#include "tests/model/outcome.h"
#include "tests/model/posix_model.h"

namespace ufs::model {

struct TreeDifference {
  std::string path;
  Difference difference;
};

std::vector<TreeDifference> CompareTree(const PosixModel& model,
                                        const RealNode& real,
                                        InodeLedger* ledger);

}  // namespace ufs::model
