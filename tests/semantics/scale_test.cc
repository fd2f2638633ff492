// Large numbers: entries, files, open files, layers; and what they cost.
#include <fcntl.h>
#include <fts.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

#ifdef UFS_SANITIZED
constexpr bool kMemoryIsMeasurable = false;
#else
constexpr bool kMemoryIsMeasurable = true;
#endif

class Scale : public UnionTest {
 protected:
  // A number that `ufs stat` tells about the mount.
  uint64_t Told(const std::string& key) {
    const ProgramResult told =
        RunProgram({UfsBinary(), "stat", "--json", root()});
    EXPECT_EQ(told.exit_code, 0) << told.output;
    const size_t at = told.output.find("\"" + key + "\":");
    EXPECT_NE(at, std::string::npos) << key << " in " << told.output;
    if (at == std::string::npos) return 0;
    return std::strtoull(told.output.c_str() + at + key.size() + 3, nullptr,
                         10);
  }
};

// What a process has of its own, not from a file, in memory.
uint64_t PrivateMemory(uint64_t pid) {
  const std::string status =
      ReadFile("/proc/" + std::to_string(pid) + "/status");
  const std::string key = "RssAnon:";
  const size_t at = status.find(key);
  EXPECT_NE(at, std::string::npos) << status;
  if (at == std::string::npos) return 0;
  return std::strtoull(status.c_str() + at + key.size(), nullptr, 10) << 10;
}

// How many files there are below the working directory, each looked at.
int FilesHere() {
  char here[] = ".";
  char* const paths[] = {here, nullptr};
  FTS* const walk = fts_open(paths, FTS_PHYSICAL, nullptr);
  int files = 0;
  while (const FTSENT* entry = fts_read(walk))
    files += entry->fts_info == FTS_F;
  fts_close(walk);
  return files;
}

bool Eventually(int seconds, const std::function<bool()>& holds) {
  for (int tenth = 0; tenth < seconds * 10; ++tenth) {
    if (holds()) return true;
    usleep(100000);
  }
  return holds();
}

// 50 files in each directory, 50 directories in each of those above.
Tree WideTree(int files) {
  Tree tree;
  for (int i = 0; i < files; ++i)
    tree.File(std::to_string(i / 2500) + "/" + std::to_string(i / 50 % 50) +
              "/" + std::to_string(i));
  return tree;
}

TEST_F(Scale, ADirectoryOf100000Entries) {
  Deadline(400);
  TrustLowers();
  constexpr int kLower = 90000, kUpper = 10000;
  Tree bottom, top;
  for (int i = 0; i < kLower; ++i) {
    (i % 2 ? top : bottom).File("d/" + std::to_string(i));
  }
  Mount({bottom, top});
  for (int i = 0; i < kUpper; ++i) {
    const int fd = open(("d/new" + std::to_string(i)).c_str(),
                        O_CREAT | O_EXCL | O_WRONLY, 0644);
    ASSERT_OK(fd);
    close(fd);
  }
  for (int i = 0; i < 1000; ++i) {
    ASSERT_OK(unlink(("d/" + std::to_string(i * 90)).c_str()));
  }
  for (size_t size : {1024u, 32768u}) {
    UniqueFd fd = Open("d", O_RDONLY | O_DIRECTORY);
    std::vector<std::string> names;
    for (const DirEntry& entry : GetdentsAll(fd.get(), size)) {
      names.push_back(entry.name);
    }
    EXPECT_EQ(names.size(), size_t{kLower + kUpper - 1000 + 2}) << size;
    std::sort(names.begin(), names.end());
    EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
  }
  EXPECT_FALSE(Exists("d/90"));
  EXPECT_TRUE(Exists("d/91"));
  EXPECT_ERRNO(ENOTEMPTY, rmdir("d"));
}

TEST_F(Scale, TenThousandOpenFiles) {
  Deadline(300);
  struct rlimit limit;
  ASSERT_OK(getrlimit(RLIMIT_NOFILE, &limit));
  if (limit.rlim_max < 11000) {
    GTEST_SKIP() << "the limit of open files is " << limit.rlim_max;
  }
  limit.rlim_cur = limit.rlim_max;
  ASSERT_OK(setrlimit(RLIMIT_NOFILE, &limit));
  constexpr int kFiles = 10000;
  TrustLowers();
  Tree lower;
  for (int i = 0; i < kFiles; ++i) {
    lower.File("d" + std::to_string(i % 100) + "/" + std::to_string(i),
               std::to_string(i));
  }
  Mount({lower});
  auto path = [](int i) {
    return "d" + std::to_string(i % 100) + "/" + std::to_string(i);
  };
  std::vector<UniqueFd> fds;
  for (int i = 0; i < kFiles; ++i) {
    fds.push_back(Open(path(i), i % 10 ? O_RDONLY : O_RDWR));
    ASSERT_TRUE(fds.back().valid()) << i;
  }
  if (is_ufs()) {
    EXPECT_LT(List("/proc/" + std::to_string(Told("pid")) + "/fd").size(),
              1000u)
        << "none has been read";
  }
  for (int i = 0; i < kFiles; i += 97) {
    EXPECT_EQ(ReadAll(fds[i].get()), std::to_string(i));
  }
  for (int i = 0; i < kFiles; i += 500) {
    PatchFile(path(i), 0, "!");
    EXPECT_EQ(ReadAt(fds[i].get(), 0, 1), "!") << i;
  }
}

TEST_F(Scale, AThousandLayers) {
  SKIP_ON_PLAIN("there are no layers");
  SKIP_ON_OVERLAY("takes 500 layers, and fewer by mount(2)");
  Deadline(200);
  std::vector<Tree> layers;
  for (int i = 0; i < 1000; ++i) {
    Tree tree;
    tree.File("each/" + std::to_string(i), std::to_string(i));
    tree.File("newest", std::to_string(i));
    if (i % 10 == 9) tree.Whiteout("each/" + std::to_string(i - 5));
    layers.push_back(tree);
  }
  Mount(layers);
  EXPECT_EQ(ReadFile("newest"), "999");
  EXPECT_EQ(List("each").size(), 900u);
  EXPECT_EQ(ReadFile("each/0"), "0");
  EXPECT_EQ(ReadFile("each/999"), "999");
  EXPECT_FALSE(Exists("each/4"));
  AppendFile("each/500", "+");
  EXPECT_OK(rename("each", "moved"));
  Remount();
  EXPECT_EQ(List("moved").size(), 900u);
  EXPECT_EQ(ReadFile("moved/500"), "500+");
}

// About what an image for containers has.
TEST_F(Scale, ATreeOf20000FilesIsWalkedInLittleMemory) {
  Deadline(300);
  TrustLowers();
  Mount({WideTree(20000), Tree().File("0/0/0", "changed")});
  EXPECT_EQ(FilesHere(), 20000);
  if (is_ufs() && kMemoryIsMeasurable) {
    EXPECT_LE(Told("memory_bytes"), 16u << 20);
  }
}

// UFS_SCALE_FILES says how many, if not 100,000.
TEST_F(Scale, MemoryFollowsWhatTheKernelRemembers) {
  if (!is_ufs() || !kMemoryIsMeasurable) GTEST_SKIP() << "no daemon to measure";
  NEEDS_REAL_ROOT("drops the kernel's caches");
  const char* const wanted = getenv("UFS_SCALE_FILES");
  const int files = wanted != nullptr ? atoi(wanted) : 100000;
  Deadline(300 + files / 200);
  TrustLowers();
  Mount({WideTree(files)});
  const uint64_t pid = Told("pid");
  const uint64_t mounted = PrivateMemory(pid);
  EXPECT_EQ(FilesHere(), files);
  // The kernel may have forgotten some, but what it remembers has its price.
  constexpr uint64_t kBytesPerFile = 512, kRest = 2 << 20;
  EXPECT_LE(PrivateMemory(pid), mounted + files * kBytesPerFile + kRest);
  const auto forgotten = [&] {
    UniqueFd drop(open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC));
    EXPECT_EQ(write(drop.get(), "2", 1), 1);
    return Told("inodes") < 100;
  };
  EXPECT_TRUE(Eventually(60, forgotten)) << Told("inodes");
  const auto given_back = [&] { return PrivateMemory(pid) <= mounted + kRest; };
  EXPECT_TRUE(Eventually(30, given_back))
      << mounted << " when mounted, " << PrivateMemory(pid) << " now";
}

TEST_F(Scale, ADeepTree) {
  Tree lower;
  std::string path = "0";
  for (int i = 1; i < 200; ++i) path += "/" + std::to_string(i);
  lower.File(path + "/f", "bottom");
  Mount({lower});
  AppendFile(path + "/f", "+");
  EXPECT_OK(rename("0", "top"));
  Remount();
  path.replace(0, 1, "top");
  EXPECT_EQ(ReadFile(path + "/f"), "bottom+");
}

TEST_F(Scale, AFileOfManyMegabytesCopiedUpWhole) {
  Deadline(60);
  const std::string content = Pattern(32 << 20);
  Mount({Tree().File("f", content)});
  EXPECT_OK(truncate("f", (32 << 20) - 1));
  PatchFile("f", 0, "start");
  std::string expected = content.substr(0, content.size() - 1);
  expected.replace(0, 5, "start");
  EXPECT_TRUE(ReadFile("f") == expected);
  Remount();
  EXPECT_TRUE(ReadFile("f") == expected);
}

}  // namespace
}  // namespace ufs::test
