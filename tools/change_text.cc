#include "tools/change_text.h"

#include <sys/stat.h>

#include <cstdio>

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

bool IsUtf8(const std::string& text) {
  try {
    (void)Json(text).dump();
    return true;
  } catch (const Json::exception&) {
    return false;
  }
}

// JSON holds no other bytes than UTF-8: a path with such stands there in
// hexadecimal, under another key.
void AddPath(Json& object, const std::string& key, const std::string& path) {
  if (IsUtf8(path)) {
    object[key] = path;
    return;
  }
  std::string hex;
  for (const unsigned char c : path) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", c);
    hex += digits;
  }
  object[key + "_hex"] = hex;
}

}  // namespace

std::string ChangesJson(const std::vector<Change>& changes) {
  Json list = Json::array();
  for (const Change& change : changes) {
    Json entry = {{"kind", KindOf(change.kind).word}};
    AddPath(entry, "path", change.path);
    if (!change.from.empty()) AddPath(entry, "from", change.from);
    if (const char* type = TypeOf(change.type)) entry["type"] = type;
    list.push_back(std::move(entry));
  }
  return list.dump(2) + "\n";
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
