#include "fs/lent_notes.h"

#include <fcntl.h>
#include <linux/fs.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "layerdb/base/fault.h"
#include "layerdb/base/log.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

DonePoint kNoted("lent.noted");
DonePoint kBack("lent.back");
DonePoint kSetRight("lent.set_right");

constexpr const char* kFolder = "ufs/lent";  // for messages
constexpr std::string_view kModeNote = "mode-", kFlagsNote = "flags-";
constexpr mode_t kLendableBits = 07777;

// Of any upper.
std::atomic<bool> g_any_kept{false};

std::string NameOf(Lendable what, uint64_t ino) {
  char text[24];
  snprintf(text, sizeof(text), "%" PRIx64, ino);
  return std::string(what == Lendable::kMode ? kModeNote : kFlagsNote) + text;
}

// Tells an object from another that has its number now; 0 where the host has no
// time of birth.
uint64_t BirthOf(const struct statx& stat) {
  if ((stat.stx_mask & STATX_BTIME) == 0) return 0;
  return static_cast<uint64_t>(stat.stx_btime.tv_sec) * 1'000'000'000 +
         stat.stx_btime.tv_nsec;
}

// All of `text`, in hex.
std::optional<uint64_t> Number(std::string_view text) {
  uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number, 16);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return number;
}

struct NoteText {
  uint64_t own = 0;
  uint64_t birth = 0;  // 0: not known
};
std::optional<NoteText> ReadNote(sys::At note) {
  const auto text = sys::ReadLinkAt(note);
  if (!text.ok()) return std::nullopt;
  const size_t slash = text->find('/');
  const auto own = Number(std::string_view(*text).substr(0, slash));
  // Notes of earlier versions have none.
  const auto birth = slash == std::string::npos
                         ? uint64_t{0}
                         : Number(std::string_view(*text).substr(slash + 1));
  if (!own || !birth) return std::nullopt;
  return NoteText{*own, *birth};
}

// What one object has again.
struct Own {
  std::optional<mode_t> mode;
  std::optional<int> flags;
  uint64_t birth = 0;  // 0: not known
};
using Owns = std::unordered_map<uint64_t, Own>;  // by inode number

// What is no note is passed over.
Owns ReadNotes(BorrowedFd notes, const std::vector<std::string>& all) {
  Owns owns;
  for (const std::string& name : all) {
    const bool is_mode = name.starts_with(kModeNote);
    if (!is_mode && !name.starts_with(kFlagsNote)) continue;
    const size_t skip = (is_mode ? kModeNote : kFlagsNote).size();
    const auto ino = Number(std::string_view(name).substr(skip));
    const auto note = ReadNote({notes, name.c_str()});
    if (!ino || !note) continue;
    Own& own = owns[*ino];
    own.birth = note->birth;
    if (is_mode)
      own.mode = static_cast<mode_t>(note->own) & kLendableBits;
    else
      own.flags = static_cast<int>(note->own);
  }
  return owns;
}

Status GiveBack(BorrowedFd object, const Own& own) {
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

// Takes from `wanted` what is in `tree`.
Status SetRightIn(BorrowedFd tree, const OpenAnyDir& open, const Owns& owns,
                  std::unordered_set<uint64_t>& wanted) {
  if (wanted.empty()) return Ok();
  const auto found = TRY(FindObjects(tree, wanted, open));
  // From below: what a directory was lent may be what lets us in.
  for (auto it = found.rbegin(); it != found.rend(); ++it) {
    const auto set_right = [&]() -> Status {
      const Own& own = owns.at(it->ino);
      const UniqueFd object = TRY(OpenFound(tree, *it));
      const uint64_t birth = BirthOf(TRY(sys::Statx({object})));
      if (own.birth != 0 && birth != own.birth) return Ok();
      wanted.erase(it->ino);
      return GiveBack(object, own);
    };
    if (const auto set = set_right(); !set.ok())
      log::Warn("upper: " + it->path + ": its mode or file flags (chattr) " +
                "are not its own since a crash: " + set.error().ToString());
  }
  return Ok();
}

std::string TextOf(Lendable what, uint32_t own) {
  char text[48];
  snprintf(text, sizeof(text),
           what == Lendable::kMode ? "mode %04o" : "file flags (chattr) %#x",
           own);
  return text;
}

void WarnOfMissing(uint64_t ino, const Own& own) {
  std::string wants;
  if (own.mode) wants = TextOf(Lendable::kMode, *own.mode);
  if (own.mode && own.flags) wants += ", ";
  if (own.flags)
    wants += TextOf(Lendable::kFlags, static_cast<uint32_t>(*own.flags));
  log::Warn("upper: a daemon was killed over an object of number " +
            std::to_string(ino) +
            ", which is not found; unless it was only being made, it should " +
            "have " + wants);
}

// On a full disk there may be one for every call.
void WarnOfNone(const std::string& name, const Error& why,
                const std::string& own) {
  static std::atomic<bool> told{false};
  if (told.exchange(true)) return;
  log::Warn("work directory: ufs/lent/" + name + ": " + why.ToString() +
            "; should the daemon be killed now, an " +
            "object of the upper is left without its " + own +
            "; the next ones are not told of");
}

}  // namespace

LentNote::LentNote(BorrowedFd notes, Lendable what, const struct statx& object,
                   uint32_t own)
    : own_(own) {
  const std::string name = NameOf(what, object.stx_ino);
  const uint64_t birth = BirthOf(object);
  if (AnyKept()) {
    const auto kept = ReadNote({notes, name.c_str()});
    if (kept && (kept->birth == 0 || kept->birth == birth)) {
      own_ = static_cast<uint32_t>(kept->own);
      was_kept_ = true;
      note_.emplace(WorkNote::Adopt(notes, kFolder, name));
      return;
    }
  }
  char text[32];
  snprintf(text, sizeof(text), "%x/%" PRIx64, own, birth);
  auto made = WorkNote::Make(notes, kFolder, name, text);
  if (!made.ok()) {
    WarnOfNone(name, made.error(), TextOf(what, own));
    return;
  }
  note_.emplace(std::move(made).value());
  kNoted.Visit();
}

void LentNote::Remove() {
  if (!note_) return;
  kBack.Visit();
  note_.reset();
}

void LentNote::Keep() {
  g_any_kept = true;
  if (note_) note_->Keep();
  note_.reset();
}

bool LentNote::AnyKept() { return g_any_kept; }

void LentNote::Forget(BorrowedFd notes, Lendable what, uint64_t ino) {
  const std::string name = NameOf(what, ino);
  const auto gone = sys::UnlinkAt({notes, name.c_str()});
  if (!gone.ok() && gone.code() != ENOENT)
    log::Warn("work directory: ufs/lent/" + name +
              " stays: " + gone.error().ToString());
}

Status SetRightWhatWasLent(BorrowedFd notes,
                           std::initializer_list<BorrowedFd> trees,
                           const OpenAnyDir& open) {
  const std::vector<std::string> all = TRY(ListNames({notes}));
  if (all.empty()) return Ok();
  const Owns owns = ReadNotes(notes, all);
  std::unordered_set<uint64_t> wanted;
  for (const auto& [ino, own] : owns) wanted.insert(ino);
  for (const BorrowedFd tree : trees) TRY(SetRightIn(tree, open, owns, wanted));
  // A draft, and gone; or the host gives it another number now.
  for (const uint64_t ino : wanted) WarnOfMissing(ino, owns.at(ino));
  for (const std::string& name : all)
    if (const auto gone = sys::UnlinkAt({notes, name.c_str()}); !gone.ok())
      log::Warn("work directory: ufs/lent/" + name +
                " cannot be removed: " + gone.error().ToString());
  return Ok();
}

}  // namespace ufs
