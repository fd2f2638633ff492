#include "tests/harness/scratch_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layerdb/base/unique_fd.h"

namespace ufs::test {
namespace {

// A test may leave chattr +i or +a behind; nothing can be removed before that
// is gone.
void ClearFlags(const char* path) {
  UniqueFd fd(::open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  int flags = 0;
  if (!fd.valid() || ::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) return;
  const int cleared = flags & ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
  if (cleared != flags) ::ioctl(fd.get(), FS_IOC_SETFLAGS, &cleared);
}

bool Remove(const char* path, bool is_dir) {
  auto remove = [&] { return is_dir ? ::rmdir(path) : ::unlink(path); };
  if (remove() == 0) return true;
  if (errno != EPERM) return false;
  ClearFlags(path);
  return remove() == 0;
}

}  // namespace

ScratchDir::ScratchDir() {
  const char* base = ::getenv("UFS_TEST_DIR");
  path_ = std::string(base ? base : "/var/tmp") + "/ufs-test-XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr || ::chmod(path_.c_str(), 0755) != 0) {
    fprintf(stderr, "cannot make a scratch directory %s: %s\n", path_.c_str(),
            strerror(errno));
    ::exit(2);
  }
}

ScratchDir::~ScratchDir() {
  if (!RemoveTree(path_)) {
    fprintf(stderr, "could not remove all of %s\n", path_.c_str());
  }
}

bool RemoveTree(const std::string& path) {
  char* roots[] = {const_cast<char*>(path.c_str()), nullptr};
  FTS* walk = ::fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, nullptr);
  if (walk == nullptr) return false;
  bool all = true;
  while (FTSENT* entry = ::fts_read(walk)) {
    switch (entry->fts_info) {
      case FTS_D:
        // Without these bits an ordinary user could not look inside.
        ::chmod(entry->fts_path, 0700);
        ClearFlags(entry->fts_path);
        break;
      case FTS_DP:
      case FTS_DNR:
        all = Remove(entry->fts_path, true) && all;
        break;
      case FTS_DC:
      case FTS_ERR:
      case FTS_NS:
        all = entry->fts_errno == ENOENT && all;
        break;
      default:
        all = Remove(entry->fts_path, false) && all;
        break;
    }
  }
  ::fts_close(walk);
  return all;
}

}  // namespace ufs::test
