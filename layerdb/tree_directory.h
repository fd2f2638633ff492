// A layer, or what several show together, as a directory of the host: what
// WriteTreeTar is to a tar.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>
#include <string_view>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "layerdb/tree_file.h"
#include "layerdb/tree_tar.h"

namespace ufs {

// How a directory says what a layer has beside its files. What it spells is up
// to who reads such directories.
struct DirectoryMarks {
  std::string opaque;   // the attribute of one that hides what is below it
  std::string implied;  // that of one whose attributes nobody said
  // Its value on a directory that has these.
  std::function<std::string(const struct statx&)> implied_value;
  // What an attribute is stored as, so that it is none of them.
  std::function<std::string(std::string_view)> stored_name;
};

// Fills `into`, an empty directory that nobody else writes to. Owners, modes,
// times, extended attributes, devices, holes and hard links are the tree's;
// blocks are shared with the store where the file system can. EPERM, naming
// the file, where the caller may not give it what it has. At most one
// descriptor a level is open.
//
// As a layer it says so with `marks`, and whiteouts as character devices 0/0;
// EINVAL, naming it, for a device that would be one. Else it is a whole root,
// which has nothing to hide: all in it is as it is, and `mistaken`, if any,
// hears the path of each thing that a reader of layers would take for a mark.
enum class DirectoryKind { kLayer, kRoot };
Status WriteTreeDirectory(
    const TreeFile& tree, const OpenObjectFn& open_object, DirectoryKind kind,
    const DirectoryMarks& marks, BorrowedFd into,
    const std::function<void(const std::string&)>& mistaken = {});

}  // namespace ufs
