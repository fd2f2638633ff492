#include "tools/change_text.h"

#include <sys/stat.h>

#include "tools/output.h"
#include "tools/print_json.h"

namespace ufs {
namespace {

struct Kind {
  char letter;
  const char* word;
};

Kind KindOf(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kAdded:
      return {'A', "added"};
    case ChangeKind::kChanged:
      return {'C', "changed"};
    case ChangeKind::kDeleted:
      return {'D', "deleted"};
    case ChangeKind::kRenamed:
      return {'R', "renamed"};
    case ChangeKind::kMetadata:
      return {'M', "metadata"};
  }
  return {'?', "unknown"};
}

const char* TypeOf(mode_t type) {
  switch (type & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symlink";
    case S_IFCHR:
      return "char-device";
    case S_IFBLK:
      return "block-device";
    case S_IFIFO:
      return "fifo";
    case S_IFSOCK:
      return "socket";
    default:
      return nullptr;  // gone, and no layer to tell what it was
  }
}

}  // namespace

std::string ChangesJson(const std::vector<Change>& changes) {
  Json list = Json::array();
  for (const Change& change : changes) {
    Json entry = {{"kind", KindOf(change.kind).word}};
    AddText(entry, "path", change.path);
    if (!change.from.empty()) AddText(entry, "from", change.from);
    if (const char* type = TypeOf(change.type)) entry["type"] = type;
    list.push_back(std::move(entry));
  }
  return list.dump() + "\n";
}

std::string ChangesText(const std::vector<Change>& changes) {
  std::string text;
  for (const Change& change : changes) {
    text += KindOf(change.kind).letter;
    text += ' ';
    if (!change.from.empty()) text += EscapePath(change.from) + " -> ";
    text += EscapePath(change.path) + "\n";
  }
  return text;
}

}  // namespace ufs
