// Where ufs keeps what the user gave no place for.
#pragma once

#include <string>

#include "layerdb/base/result.h"

namespace ufs {

// /var/lib/ufs for who may write there, that is root; else the user's
// $XDG_DATA_HOME/ufs or ~/.local/share/ufs. ENOENT when there is no home.
Result<std::string> StateDirectory();

// The store of layers that commands use: `named` if it is not empty, else
// $UFS_STORE, else the state directory.
Result<std::string> StorePath(const std::string& named);

// Makes a new, private directory UPPERS/NAME.XXXXXX below the state directory,
// parents included, and returns its path.
Result<std::string> MakeUppersEntry(const std::string& name);

}  // namespace ufs
