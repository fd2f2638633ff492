#include "fs/lent_notes.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>

#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fs/open_chain.h"
#include "layerdb/base/fault.h"
#include "layerdb/base/log.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

DonePoint kNoted("lent.noted");
DonePoint kBack("lent.back");
DonePoint kSetRight("lent.set_right");

constexpr std::string_view kModeNote = "mode-", kFlagsNote = "flags-";
constexpr mode_t kLendableBits = 07777;

std::string NameOf(Lendable what, uint64_t ino) {
  char text[24];
  snprintf(text, sizeof(text), "%" PRIx64, ino);
  return std::string(what == Lendable::kMode ? kModeNote : kFlagsNote) + text;
}

// All of `text`, in hex.
std::optional<uint64_t> Number(std::string_view text) {
  uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number, 16);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return number;
}

// What one object has again.
struct Own {
  std::optional<mode_t> mode;
  std::optional<int> flags;
};
using Owns = std::unordered_map<uint64_t, Own>;  // by inode number

Result<Owns> ReadNotes(BorrowedFd notes, const std::vector<std::string>& all) {
  Owns owns;
  for (const std::string& name : all) {
    const bool is_mode = name.starts_with(kModeNote);
    if (!is_mode && !name.starts_with(kFlagsNote)) continue;
    const size_t skip = (is_mode ? kModeNote : kFlagsNote).size();
    const auto ino = Number(std::string_view(name).substr(skip));
    const auto own = Number(TRY(sys::ReadLinkAt({notes, name.c_str()})));
    if (!ino || !own) continue;
    if (is_mode)
      owns[*ino].mode = static_cast<mode_t>(*own) & kLendableBits;
    else
      owns[*ino].flags = static_cast<int>(*own);
  }
  return owns;
}

std::vector<std::string_view> NamesIn(std::string_view path) {
  std::vector<std::string_view> names;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    names.push_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return names;
}

Status GiveBack(BorrowedFd tree, std::string_view path, const Own& own) {
  std::vector<std::string_view> names = NamesIn(path);
  std::string name;
  if (!names.empty()) {
    name = names.back();
    names.pop_back();
  }
  const UniqueFd dir = TRY(OpenChain(tree, names));
  const UniqueFd object =
      TRY(name.empty() ? sys::Reopen(dir, O_PATH)
                       : sys::OpenAt({dir, name.c_str()}, O_PATH | O_NOFOLLOW));
  // Before the flags, which may forbid it.
  if (own.mode) TRY(sys::ChmodAt({object}, *own.mode));
  if (own.flags) {
    int flags = *own.flags;
    TRY(sys::Ioctl(TRY(sys::Reopen(object, O_RDONLY)), FS_IOC_SETFLAGS,
                   &flags));
  }
  kSetRight.Visit();
  return Ok();
}

using OpenAnyDir = std::function<Result<UniqueFd>(BorrowedFd)>;

// What it finds goes from `owns`.
Status SetRightIn(BorrowedFd tree, const OpenAnyDir& open, Owns& owns) {
  std::vector<std::pair<std::string, Own>> found;
  const auto look = [&](uint64_t ino, const std::string& path) {
    const auto own = owns.find(ino);
    if (own == owns.end()) return;
    found.emplace_back(path, own->second);
    owns.erase(own);
  };
  look(TRY(sys::Statx({tree})).stx_ino, "");
  // A list, not recursion: trees may be deeper than our stack.
  std::vector<std::string> waiting = {""};
  while (!waiting.empty() && !owns.empty()) {
    const std::string above = std::move(waiting.back());
    waiting.pop_back();
    const auto list = [&]() -> Status {
      const UniqueFd dir = TRY(open(TRY(OpenChain(tree, NamesIn(above)))));
      return sys::ForEachEntry(
          dir, [&](const char* name, uint8_t type, uint64_t ino) {
            const std::string path = above.empty() ? name : above + "/" + name;
            look(ino, path);
            if (type == DT_DIR) waiting.push_back(path);
            return !owns.empty();
          });
    };
    if (const auto listed = list(); !listed.ok())
      log::Warn("upper: " + above + ": " + listed.error().ToString());
  }
  // From below: what a directory was lent may be what lets us in.
  for (auto it = found.rbegin(); it != found.rend(); ++it)
    if (const auto set = GiveBack(tree, it->first, it->second); !set.ok())
      log::Warn("upper: " + it->first + ": its mode or file flags (chattr) " +
                "are not its own since a crash: " + set.error().ToString());
  return Ok();
}

}  // namespace

LentNote::LentNote(BorrowedFd notes, Lendable what, const struct statx& object,
                   uint32_t own)
    : notes_(notes), name_(NameOf(what, object.stx_ino)) {
  char text[16];
  snprintf(text, sizeof(text), "%x", own);
  if (!sys::SymlinkAt(text, {notes_, name_.c_str()}).ok())
    name_.clear();
  else
    kNoted.Visit();
}

void LentNote::Remove() {
  if (name_.empty()) return;
  kBack.Visit();
  (void)sys::UnlinkAt({notes_, name_.c_str()});
  name_.clear();
}

Status SetRightWhatWasLent(BorrowedFd notes,
                           std::initializer_list<BorrowedFd> trees,
                           const OpenAnyDir& open) {
  const std::vector<std::string> all = TRY(ListNames({notes}));
  if (all.empty()) return Ok();
  Owns owns = TRY(ReadNotes(notes, all));
  for (const BorrowedFd tree : trees) TRY(SetRightIn(tree, open, owns));
  // What was not found was a draft, and has gone.
  for (const std::string& name : all) TRY(sys::UnlinkAt({notes, name.c_str()}));
  return Ok();
}

}  // namespace ufs
