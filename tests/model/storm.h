// The storm: threads that meet at the same files and directories, so that
// copy-ups, renames, links and removals of one object race. What each thread
// may expect holds whatever the others do: nobody else writes its stripe of a
// file, sets its attribute, or touches its own names. In the rest the order is
// open, but the sums are not: records appended, names and their link counts,
// inode numbers, all of it the same after a remount.
#pragma once

#include <cstdint>
#include <string>

namespace ufs::model {

// Empty, or what went wrong.
std::string RunStorm(uint64_t seed, int ops);

}  // namespace ufs::model
