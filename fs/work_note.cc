#include "fs/work_note.h"

#include <cerrno>

#include "layerdb/base/log.h"

namespace ufs {

Result<WorkNote> WorkNote::Make(BorrowedFd dir, const char* folder,
                                std::string name, const std::string& text) {
  const sys::At at{dir, name.c_str()};
  // A link is the cheapest file with contents.
  auto made = sys::SymlinkAt(text.c_str(), at);
  if (made.code() == EEXIST) {
    TRY(sys::UnlinkAt(at));
    made = sys::SymlinkAt(text.c_str(), at);
  }
  TRY(made);
  return WorkNote(dir, folder, std::move(name));
}

WorkNote::~WorkNote() {
  if (name_.empty()) return;
  const auto gone = sys::UnlinkAt({dir_, name_.c_str()});
  if (!gone.ok())
    log::Warn("work directory: " + std::string(folder_) + "/" + name_ +
              " stays until the next mount: " + gone.error().ToString());
}

}  // namespace ufs
