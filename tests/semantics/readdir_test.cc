// Listing directories: completeness under change, positions, small buffers.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <thread>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using Readdir = UnionTest;
using DirStream = std::unique_ptr<DIR, int (*)(DIR*)>;

DirStream OpenStream(const std::string& path) {
  DirStream stream(opendir(path.c_str()), &closedir);
  EXPECT_TRUE(stream) << path << ": " << ErrnoName(errno);
  return stream;
}

std::string Numbered(int i) { return "entry-" + std::to_string(i); }

// A directory whose entries come from two layers, with `count` entries in all.
std::vector<Tree> TwoLayers(int count) {
  Tree bottom, top;
  for (int i = 0; i < count; ++i) {
    (i % 3 ? bottom : top).File("d/" + Numbered(i));
  }
  return {bottom, top};
}

TEST_F(Readdir, ListsDotDotDotAndTheTypes) {
  NEEDS_DIRECTORY_LAYERS("they hold no sockets");
  Mount({Tree()
             .File("d/f")
             .Dir("d/dir")
             .Symlink("d/l", "f")
             .Fifo("d/p")
             .Socket("d/s")});
  UniqueFd fd = Open("d", O_RDONLY | O_DIRECTORY);
  std::map<std::string, unsigned char> types;
  for (const DirEntry& entry : GetdentsAll(fd.get(), 4096)) {
    EXPECT_TRUE(types.emplace(entry.name, entry.type).second)
        << entry.name << " twice";
  }
  const std::map<std::string, unsigned char> expected = {
      {".", DT_DIR}, {"..", DT_DIR}, {"dir", DT_DIR}, {"f", DT_REG},
      {"l", DT_LNK}, {"p", DT_FIFO}, {"s", DT_SOCK}};
  EXPECT_EQ(types, expected);
}

TEST_F(Readdir, EveryBufferSizeGivesTheSameList) {
  Mount(TwoLayers(300));
  WriteFile("d/upper", "");
  Names expected = List("d");
  ASSERT_EQ(expected.size(), 301u);
  for (size_t size : {64u, 128u, 300u, 1024u, 4096u, 32768u, 1u << 20}) {
    UniqueFd fd = Open("d", O_RDONLY | O_DIRECTORY);
    Names names;
    for (const DirEntry& entry : GetdentsAll(fd.get(), size)) {
      if (entry.name != "." && entry.name != "..") names.push_back(entry.name);
    }
    std::sort(names.begin(), names.end());
    EXPECT_TRUE(names == expected) << "buffer of " << size;
  }
}

TEST_F(Readdir, ABufferTooSmallForAnEntryIsEINVAL) {
  Mount({Tree().File("d/" + std::string(200, 'n'))});
  UniqueFd fd = Open("d", O_RDONLY | O_DIRECTORY);
  int error = 0;
  while (!Getdents(fd.get(), 32, &error).empty()) {
  }
  EXPECT_ERRNO_EQ(EINVAL, error);
}

TEST_F(Readdir, TellAndSeekReturnToTheSamePlace) {
  Mount(TwoLayers(500));
  DirStream stream = OpenStream("d");
  std::vector<std::pair<long, std::string>> positions;
  for (;;) {
    const long at = telldir(stream.get());
    struct dirent* entry = readdir(stream.get());
    if (entry == nullptr) break;
    positions.emplace_back(at, entry->d_name);
  }
  ASSERT_EQ(positions.size(), 502u);
  for (size_t i = 0; i < positions.size(); i += 37) {
    const auto& [at, name] = positions[positions.size() - 1 - i];
    seekdir(stream.get(), at);
    struct dirent* entry = readdir(stream.get());
    ASSERT_NE(entry, nullptr) << name;
    EXPECT_EQ(entry->d_name, name);
  }
  rewinddir(stream.get());
  int count = 0;
  while (readdir(stream.get()) != nullptr) ++count;
  EXPECT_EQ(count, 502);
}

TEST_F(Readdir, OffsetsOfOneDescriptorWorkWithAnother) {
  Mount(TwoLayers(300));
  UniqueFd first = Open("d", O_RDONLY | O_DIRECTORY);
  std::vector<DirEntry> entries = GetdentsAll(first.get(), 4096);
  ASSERT_EQ(entries.size(), 302u);
  UniqueFd second = Open("d", O_RDONLY | O_DIRECTORY);
  EXPECT_OK(lseek(second.get(), entries[150].next_offset, SEEK_SET));
  std::vector<DirEntry> rest = GetdentsAll(second.get(), 4096);
  EXPECT_EQ(rest.size(), 302u - 151);
}

TEST_F(Readdir, RewindSeesNewNames) {
  Mount({Tree().File("d/low")});
  DirStream stream = OpenStream("d");
  while (readdir(stream.get()) != nullptr) {
  }
  WriteFile("d/new", "");
  EXPECT_OK(unlink("d/low"));
  rewinddir(stream.get());
  Names names;
  while (struct dirent* entry = readdir(stream.get())) {
    names.push_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (Names{".", "..", "new"}));
}

TEST_F(Readdir, DeletingWhileListingMissesNothing) {
  Mount(TwoLayers(1000));
  DirStream stream = OpenStream("d");
  int deleted = 0;
  while (struct dirent* entry = readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    EXPECT_OK(unlink(("d/" + name).c_str()));
    ++deleted;
  }
  EXPECT_EQ(deleted, 1000);
  EXPECT_EQ(List("d"), Names{});
  EXPECT_OK(rmdir("d"));
}

TEST_F(Readdir, DeletingInSmallStepsMissesNothing) {
  Mount(TwoLayers(200));
  UniqueFd fd = Open("d", O_RDONLY | O_DIRECTORY);
  for (;;) {
    std::vector<DirEntry> some = Getdents(fd.get(), 128);
    if (some.empty()) break;
    for (const DirEntry& entry : some) {
      if (entry.name == "." || entry.name == "..") continue;
      EXPECT_OK(unlinkat(fd.get(), entry.name.c_str(), 0));
    }
  }
  EXPECT_EQ(List("d"), Names{});
}

TEST_F(Readdir, OldEntriesShowExactlyOnceWhileOthersComeAndGo) {
  Mount(TwoLayers(400));
  std::atomic<bool> stop = false;
  std::thread churn([&] {
    for (int i = 0; !stop; ++i) {
      const std::string name = "d/churn" + std::to_string(i % 50);
      UniqueFd fd(open(name.c_str(), O_CREAT | O_WRONLY, 0644));
      fd.reset();
      if (i % 3 == 0) rename(name.c_str(), (name + "moved").c_str());
      if (i % 2 == 0) unlink(name.c_str());
    }
  });
  for (int round = 0; round < 10; ++round) {
    UniqueFd fd = Open("d", O_RDONLY | O_DIRECTORY);
    std::map<std::string, int> seen;
    for (const DirEntry& entry :
         GetdentsAll(fd.get(), round % 2 ? 512 : 8192)) {
      ++seen[entry.name];
    }
    for (int i = 0; i < 400; ++i) {
      ASSERT_EQ(seen[Numbered(i)], 1) << Numbered(i) << " in round " << round;
    }
  }
  stop = true;
  churn.join();
}

TEST_F(Readdir, NamesOfAllLayersShowOnce) {
  std::vector<Tree> layers;
  for (int layer = 0; layer < 5; ++layer) {
    Tree tree;
    for (int i = layer; i < 50; i += layer + 1) tree.File("d/" + Numbered(i));
    layers.push_back(tree);
  }
  Mount(layers);
  WriteFile("d/" + Numbered(7), "again");
  const Names names = List("d");
  EXPECT_EQ(names.size(), 50u);
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

TEST_F(Readdir, FollowsRenamesWithinTheDirectory) {
  Mount(TwoLayers(20));
  for (int i = 0; i < 20; ++i) {
    EXPECT_OK(rename(("d/" + Numbered(i)).c_str(),
                     ("d/renamed-" + std::to_string(i)).c_str()));
  }
  Names expected;
  for (int i = 0; i < 20; ++i)
    expected.push_back("renamed-" + std::to_string(i));
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(List("d"), expected);
  Remount();
  EXPECT_EQ(List("d"), expected);
}

TEST_F(Readdir, NeedsReadPermission) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().Dir("d").Mode(0711).File("d/f")});
  EXPECT_ERRNO_EQ(EACCES, AsUser(kBob, [] {
                    return ErrnoOf(open("d", O_RDONLY | O_DIRECTORY));
                  }));
  EXPECT_ERRNO_EQ(0, AsUser(kBob, [] { return ErrnoOf(access("d/f", R_OK)); }));
}

TEST_F(Readdir, ManyReadersAtOnce) {
  Mount(TwoLayers(300));
  std::atomic<int> wrong = 0;
  std::vector<std::thread> readers;
  for (int t = 0; t < 4; ++t) {
    readers.emplace_back([&] {
      for (int i = 0; i < 5; ++i) {
        if (List("d").size() != 300) ++wrong;
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(Readdir, LongNamesCrossBufferBoundaries) {
  Tree lower;
  for (int i = 0; i < 100; ++i) {
    std::string name = std::to_string(i) + "-";
    name.resize(static_cast<size_t>(120 + i % 136), 'n');
    lower.File("d/" + name);
  }
  Mount({lower});
  EXPECT_EQ(List("d").size(), 100u);
  UniqueFd fd = Open("d", O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(GetdentsAll(fd.get(), 512).size(), 102u);
}

}  // namespace
}  // namespace ufs::test
