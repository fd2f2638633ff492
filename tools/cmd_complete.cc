// ufs complete: brings the rest of files that are partly in the upper there.
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "tools/command.h"
#include "tools/complete_files.h"
#include "tools/output.h"

namespace ufs {
namespace {

namespace stdfs = std::filesystem;

constexpr char kUfsComplete[] = "ufs complete";
// Smaller files do not stay in two places (fs/DATAPATH.md).
constexpr uintmax_t kSmallestBytes = 1 << 20;

struct Total {
  uint64_t files = 0;
  uint64_t bytes = 0;
};

Status Complete(const std::string& path, Total& total) {
  const uint64_t copied = TRY(CompleteFile(path));
  total.files += copied > 0 ? 1 : 0;
  total.bytes += copied;
  return Ok();
}

Status CompleteTree(const std::string& path, Total& total) {
  std::error_code error;
  const auto check = [&](const stdfs::path& where) -> Status {
    if (error) return Error(error.value(), where.string());
    return Ok();
  };
  stdfs::recursive_directory_iterator at(path, error), end;
  TRY(check(path));
  while (at != end) {
    const stdfs::directory_entry& entry = *at;
    const bool is_file = stdfs::is_regular_file(entry.symlink_status(error));
    TRY(check(entry.path()));
    if (is_file) {
      const uintmax_t size = entry.file_size(error);
      TRY(check(entry.path()));
      if (size >= kSmallestBytes) TRY(Complete(entry.path(), total));
    }
    at.increment(error);
    TRY(check(path));
  }
  return Ok();
}

}  // namespace

int RunComplete(int argc, char** argv) {
  ArgumentParser parser(
      kUfsComplete, "ufs complete PATH...",
      "Copies up the rest of files that are partly in the upper, so that "
      "others can read it.",
      "PATH is a mount of ufs, or a directory or file in one. The files stay "
      "in use meanwhile.\n");
  std::vector<std::string> paths;
  parser.add_option("PATH", paths, "what to complete")->required();
  if (const auto code = parser.Parse(argc, argv)) return *code;
  Total total;
  for (const std::string& path : paths) {
    std::error_code error;
    const Status done = stdfs::is_directory(path, error)
                            ? CompleteTree(path, total)
                            : Complete(path, total);
    if (!done.ok())
      return Complain(kUfsComplete, done.error().ToString(), kExitFailure);
  }
  printf("%llu %s completed, %s copied\n",
         static_cast<unsigned long long>(total.files),
         total.files == 1 ? "file" : "files", FormatBytes(total.bytes).c_str());
  return kExitOk;
}

}  // namespace ufs
