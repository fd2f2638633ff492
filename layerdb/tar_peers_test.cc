// The reader and the writer against GNU tar and bsdtar: on trees with all that
// tar can hold, they must say the same as the others' own unpacking.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <random>
#include <string>

#include "layerdb/byte_stream.h"
#include "layerdb/tar_reader.h"
#include "layerdb/tar_writer.h"
#include "tests/harness/files.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch_dir.h"
#include "tests/harness/snapshot.h"

namespace ufs {
namespace {

using test::ScratchDir;
using test::Snapshot;

bool Have(const std::string& program) {
  return test::RunProgram({"sh", "-c", "command -v " + program}).exit_code == 0;
}

void Shell(const std::string& command) {
  const auto run = test::RunProgram({"sh", "-c", command}, 60);
  ASSERT_EQ(run.exit_code, 0) << command << "\n" << run.output;
}

void SetTime(const std::string& path, time_t seconds, long nanoseconds) {
  const timespec times[2] = {{seconds, nanoseconds}, {seconds, nanoseconds}};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
}

// A tree with something of everything. `seed` makes another one.
void MakeTree(const std::string& root, unsigned seed, bool holes) {
  std::mt19937 random(seed);
  const bool is_root = geteuid() == 0;
  std::string dir = root;
  std::string last_file;
  for (int i = 0; i < 60; ++i) {
    const std::string path = dir + "/" + std::to_string(i) +
                             std::string(random() % 90, 'n') +
                             (random() % 4 == 0 ? "\xc3\xa9 \n" : "");
    switch (random() % 8) {
      case 0:
        ASSERT_EQ(mkdir(path.c_str(), 0755), 0);
        if (random() % 2 == 0) dir = path;
        continue;
      case 1:
        ASSERT_EQ(
            symlink(std::string(1 + random() % 200, 't').c_str(), path.c_str()),
            0);
        break;
      case 2:
        ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
        break;
      case 3:
        if (!last_file.empty()) {
          ASSERT_EQ(link(last_file.c_str(), path.c_str()), 0);
          continue;
        }
        [[fallthrough]];
      case 4:
        if (holes) {
          test::WriteFile(path, "");
          ASSERT_EQ(truncate(path.c_str(), 1 << 20), 0);
          test::PatchFile(path, 65536 * (random() % 10), "island");
          break;
        }
        [[fallthrough]];
      case 5:
        if (is_root) {
          ASSERT_EQ(mknod(path.c_str(), S_IFCHR | 0640,
                          makedev(1 + random() % 200, random() % 5000)),
                    0);
          break;
        }
        [[fallthrough]];
      default:
        test::WriteFile(path, std::string(random() % 3000, 'c'));
        if (setxattr(path.c_str(), "user.mark", "a\0=\n", 4, 0) == 0 &&
            is_root) {
          EXPECT_EQ(setxattr(path.c_str(), "trusted.t", "v", 1, 0), 0);
        }
        last_file = path;
    }
    struct stat stat;
    ASSERT_EQ(lstat(path.c_str(), &stat), 0);
    if (is_root) {
      ASSERT_EQ(lchown(path.c_str(), random() % 3 == 0 ? 3'000'000 : 12, 34),
                0);
    }
    if (!S_ISLNK(stat.st_mode)) {
      ASSERT_EQ(chmod(path.c_str(), (random() & 07777) | 0400), 0);
    }
    SetTime(path, 1'500'000'000 + random() % 1000, random() % 2 * 123'456'789);
  }
}

// Unpacks as simply as can be, by path. For archives made by MakeTree only.
Status Unpack(const std::string& archive, const std::string& root) {
  const UniqueFd fd = test::Open(archive, O_RDONLY);
  FdSource source(fd);
  TarReader reader(source);
  TarEntry entry;
  std::map<std::string, TarEntry> directories;
  while (TRY(reader.Next(entry))) {
    std::string path = root + "/" + entry.path;
    while (path.ends_with('/')) path.pop_back();
    const dev_t device = makedev(entry.dev_major, entry.dev_minor);
    int done = 0;
    switch (entry.type) {
      case TarType::kFile: {
        const UniqueFd out = test::Open(path, O_CREAT | O_WRONLY | O_EXCL);
        while (true) {
          const TarReader::Run run = TRY(reader.ReadRun());
          if (run.bytes.empty()) break;
          EXPECT_EQ(
              pwrite(out.get(), run.bytes.data(), run.bytes.size(), run.offset),
              static_cast<ssize_t>(run.bytes.size()));
        }
        done = ftruncate(out.get(), entry.size_bytes);
        break;
      }
      case TarType::kHardLink:
        EXPECT_EQ(link((root + "/" + entry.link_target).c_str(), path.c_str()),
                  0);
        continue;
      case TarType::kSymlink:
        done = symlink(entry.link_target.c_str(), path.c_str());
        break;
      case TarType::kCharDevice:
        done = mknod(path.c_str(), S_IFCHR, device);
        break;
      case TarType::kBlockDevice:
        done = mknod(path.c_str(), S_IFBLK, device);
        break;
      case TarType::kFifo:
        done = mkfifo(path.c_str(), 0600);
        break;
      case TarType::kDirectory:
        if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) done = -1;
        directories[path] = entry;
        break;
    }
    EXPECT_EQ(done, 0) << path;
    if (geteuid() == 0) {
      EXPECT_EQ(lchown(path.c_str(), entry.uid, entry.gid), 0);
    }
    for (const auto& [name, value] : entry.xattrs)
      EXPECT_EQ(
          lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0),
          0)
          << name;
    if (entry.type != TarType::kSymlink) {
      EXPECT_EQ(chmod(path.c_str(), entry.mode), 0);
    }
    SetTime(path, entry.mtime_sec, entry.mtime_nsec);
  }
  for (auto it = directories.rbegin(); it != directories.rend(); ++it)
    SetTime(it->first, it->second.mtime_sec, it->second.mtime_nsec);
  return Ok();
}

struct Peer {
  const char* name;
  const char* program;
  const char*
      create;  // run in the tree's directory: the archive's name follows
  bool holes;
  bool whole_seconds;
};

class Peers : public testing::TestWithParam<Peer> {};

INSTANTIATE_TEST_SUITE_P(
    All, Peers,
    testing::Values(
        Peer{"gnu", "tar", "tar --format=gnu -cf", false, true},
        Peer{"gnu_sparse", "tar", "tar --format=gnu -S -cf", true, true},
        Peer{"pax", "tar", "tar --format=pax --xattrs --xattrs-include='*' -cf",
             false, false},
        Peer{"pax_sparse_0_0", "tar",
             "tar --format=pax -S --sparse-version=0.0 --xattrs "
             "--xattrs-include='*' -cf",
             true, false},
        Peer{"pax_sparse_0_1", "tar",
             "tar --format=pax -S --sparse-version=0.1 -cf", true, false},
        Peer{"pax_sparse_1_0", "tar",
             "tar --format=pax -S --sparse-version=1.0 -cf", true, false},
        Peer{"bsdtar_pax", "bsdtar", "bsdtar --format=pax --xattrs -cf", true,
             false},
        Peer{"bsdtar_gnu", "bsdtar", "bsdtar --format=gnutar -cf", false,
             true}),
    [](const auto& info) { return info.param.name; });

// Other times than whole seconds, and attributes, are lost by formats that
// cannot hold them: the archive's own program is what we are compared with.
TEST_P(Peers, AreReadAsTheyReadThemselves) {
  const Peer& peer = GetParam();
  if (!Have(peer.program)) GTEST_SKIP() << peer.program << " is not installed";
  for (unsigned seed = 1; seed <= 2; ++seed) {
    const ScratchDir scratch;
    const std::string& top = scratch.path();
    for (const char* name : {"/tree", "/theirs", "/ours"})
      ASSERT_EQ(mkdir((top + name).c_str(), 0755), 0);
    MakeTree(top + "/tree", seed, peer.holes);
    if (HasFatalFailure()) return;
    Shell("cd " + top + "/tree && " + peer.create + " ../archive.tar .");
    const std::string unpack =
        std::string(peer.program) == "bsdtar"
            ? "bsdtar --xattrs -xpf"
            : "tar --xattrs --xattrs-include='*' --same-owner -xpf";
    Shell("cd " + top + "/theirs && " + unpack + " ../archive.tar");
    const Status done = Unpack(top + "/archive.tar", top + "/ours");
    ASSERT_TRUE(done.ok()) << done.error().ToString();
    const auto theirs =
        Snapshot::Take(top + "/theirs", Snapshot::Detail::kContent);
    const auto ours = Snapshot::Take(top + "/ours", Snapshot::Detail::kContent);
    EXPECT_TRUE(theirs.SameAs(ours)) << "seed " << seed;
  }
}

// What we write of an archive that we read, they unpack to the same tree.
TEST_P(Peers, ReadWhatWeWrite) {
  const Peer& peer = GetParam();
  if (!Have(peer.program)) GTEST_SKIP() << peer.program << " is not installed";
  const ScratchDir scratch;
  const std::string& top = scratch.path();
  for (const char* name : {"/tree", "/theirs", "/ours"})
    ASSERT_EQ(mkdir((top + name).c_str(), 0755), 0);
  MakeTree(top + "/tree", 9, peer.holes);
  if (HasFatalFailure()) return;
  Shell("cd " + top + "/tree && " + peer.create + " ../archive.tar .");
  {
    const UniqueFd in = test::Open(top + "/archive.tar", O_RDONLY);
    const UniqueFd out = test::Open(top + "/ours.tar", O_CREAT | O_WRONLY);
    FdSource source(in);
    FdSink sink(out);
    TarReader reader(source);
    TarWriter writer(sink);
    TarEntry entry;
    while (true) {
      const auto more = reader.Next(entry);
      ASSERT_TRUE(more.ok()) << more.error().ToString();
      if (!*more) break;
      ASSERT_TRUE(writer.Begin(entry).ok());
      uint64_t at = 0;
      while (entry.type == TarType::kFile) {
        const auto run = reader.ReadRun();
        ASSERT_TRUE(run.ok());
        if (run->bytes.empty()) break;
        ASSERT_TRUE(writer.WriteZeros(run->offset - at).ok());
        ASSERT_TRUE(writer.Write(run->bytes).ok());
        at = run->offset + run->bytes.size();
      }
      ASSERT_TRUE(writer.WriteZeros(entry.size_bytes - at).ok());
    }
    ASSERT_TRUE(writer.Finish().ok());
  }
  const std::string unpack =
      std::string(peer.program) == "bsdtar"
          ? "bsdtar --xattrs -xpf"
          : "tar --xattrs --xattrs-include='*' --same-owner -xpf";
  Shell("cd " + top + "/theirs && " + unpack + " ../archive.tar");
  Shell("cd " + top + "/ours && " + unpack + " ../ours.tar");
  const auto theirs =
      Snapshot::Take(top + "/theirs", Snapshot::Detail::kContent);
  const auto ours = Snapshot::Take(top + "/ours", Snapshot::Detail::kContent);
  EXPECT_TRUE(theirs.SameAs(ours));
}

}  // namespace
}  // namespace ufs
