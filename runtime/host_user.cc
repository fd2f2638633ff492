#include "runtime/host_user.h"

#include "runtime/kernel.h"
#include "runtime/programs.h"

namespace ufs::runtime {
namespace {

// A host's file may be long, but who has that many users has a directory server
// that is faster.
constexpr size_t kPasswdBytesMax = 4 << 20;
constexpr size_t kLineBytesMax = 64 << 10;
// A directory server may be out of reach; a name is not worth a long wait.
constexpr int kPatienceMs = 3'000;

}  // namespace

std::optional<PasswdEntry> FindHostUser(uid_t uid, const std::string& passwd,
                                        std::string getent) {
  const std::string number = std::to_string(uid);
  if (const auto text = kernel::ReadFile(passwd, kPasswdBytesMax); text.ok())
    if (auto entry = FindUser(*text, number)) return entry;
  if (getent.empty()) getent = FindProgram("getent");
  if (getent.empty()) return std::nullopt;
  // Its exit status adds nothing to what it prints.
  const auto text =
      AskProgram(getent, {"passwd", number}, kLineBytesMax, kPatienceMs);
  return text.ok() ? FindUser(*text, number) : std::nullopt;
}

}  // namespace ufs::runtime
