// One object is one inode for life: what was opened or mapped before a change
// shows the change, whatever the change did to the file's place on disk.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using Coherence = UnionTest;
using Mmap = UnionTest;

// A mapping of a whole file.
class Mapping {
 public:
  Mapping(int fd, size_t length, int protection, int flags)
      : length_(length),
        memory_(mmap(nullptr, length, protection, flags, fd, 0)) {
    EXPECT_NE(memory_, MAP_FAILED) << ErrnoName(errno);
  }
  ~Mapping() {
    if (ok()) munmap(memory_, length_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  bool ok() const { return memory_ != MAP_FAILED; }
  char* data() { return static_cast<char*>(memory_); }
  std::string Text(size_t offset, size_t length) {
    return ok() ? std::string(data() + offset, length) : "";
  }
  void Sync() { EXPECT_OK(msync(memory_, length_, MS_SYNC)); }

 private:
  const size_t length_;
  void* const memory_;
};

TEST_F(Coherence, AnOldReaderSeesANewWrite) {
  Mount({Tree().File("f", "old content")});
  UniqueFd reader = Open("f", O_RDONLY);
  EXPECT_EQ(ReadAll(reader.get()), "old content");
  PatchFile("f", 0, "new");
  EXPECT_EQ(ReadAll(reader.get()), "new content");
  EXPECT_EQ(Fstat(reader.get()).st_size, 11);
  AppendFile("f", "+tail");
  EXPECT_EQ(ReadAll(reader.get()), "new content+tail");
}

TEST_F(Coherence, AReaderThatNeverReadBeforeSeesTheNewContent) {
  Mount({Tree().File("f", "old content")});
  UniqueFd reader = Open("f", O_RDONLY);
  PatchFile("f", 0, "new");
  EXPECT_EQ(ReadAll(reader.get()), "new content");
}

TEST_F(Coherence, OverEveryTriggerOfCopyUp) {
  const std::vector<std::pair<const char*, std::function<void()>>> triggers = {
      {"open", [] { UniqueFd fd = Open("f", O_RDWR); }},
      {"chmod", [] { EXPECT_OK(chmod("f", 0600)); }},
      {"utimens", [] { SetTimes("f", At(1), At(2)); }},
      {"setxattr", [] { SetXattr("f", "user.k", "v"); }},
      {"link", [] { EXPECT_OK(link("f", "other")); }},
      {"rename",
       [] {
         EXPECT_OK(rename("f", "t"));
         EXPECT_OK(rename("t", "f"));
       }},
      {"truncate", [] { EXPECT_OK(truncate("f", 11)); }},
  };
  Tree lower;
  for (const auto& trigger : triggers) {
    lower.File(std::string(trigger.first) + "/f", "old content");
  }
  Mount({lower});
  for (const auto& [name, trigger] : triggers) {
    SCOPED_TRACE(name);
    ASSERT_OK(chdir((root() + "/" + name).c_str()));
    UniqueFd reader = Open("f", O_RDONLY);
    UniqueFd reader2 = Open("f", O_RDONLY);
    const ino_t ino = Fstat(reader.get()).st_ino;
    EXPECT_EQ(ReadAll(reader2.get()), "old content");
    trigger();
    EXPECT_EQ(ReadAll(reader.get()), "old content");
    EXPECT_EQ(Ino("f"), ino);
    PatchFile("f", 0, "new");
    EXPECT_EQ(ReadAll(reader.get()), "new content");
    EXPECT_EQ(ReadAll(reader2.get()), "new content");
    EXPECT_EQ(Fstat(reader.get()).st_ino, ino);
  }
}

TEST_F(Coherence, ManyDescriptorsOfOneFileStayTogether) {
  std::string content = Pattern(1 << 20);
  Mount({Tree().File("f", content)});
  std::vector<UniqueFd> readers;
  for (int i = 0; i < 50; ++i) readers.push_back(Open("f", O_RDONLY));
  UniqueFd writer = Open("f", O_RDWR);
  UniqueFd writer2 = Open("f", O_WRONLY);
  for (int i = 0; i < 10; ++i) {
    const off_t at = i * 99991;
    WriteAt(i % 2 ? writer.get() : writer2.get(), at, "written");
    content.replace(at, 7, "written");
    for (size_t r = 0; r < readers.size(); r += 7) {
      EXPECT_EQ(ReadAt(readers[r].get(), at, 7), "written");
    }
  }
  for (UniqueFd& reader : readers) {
    EXPECT_TRUE(ReadAll(reader.get()) == content);
  }
}

TEST_F(Coherence, OverTruncateAndRegrowth) {
  Mount({Tree().File("f", std::string(100000, 'x'))});
  UniqueFd reader = Open("f", O_RDONLY);
  EXPECT_EQ(ReadAll(reader.get()).size(), 100000u);
  EXPECT_OK(truncate("f", 5));
  EXPECT_EQ(ReadAll(reader.get()), "xxxxx");
  PatchFile("f", 10, "y");
  EXPECT_EQ(ReadAll(reader.get()), std::string("xxxxx\0\0\0\0\0y", 11));
  WriteFile("f", "again");
  EXPECT_EQ(ReadAll(reader.get()), "again");
}

TEST_F(Coherence, OverPunchedHoles) {
  Mount({Tree().File("f", std::string(100000, 'x'))});
  UniqueFd reader = Open("f", O_RDONLY);
  EXPECT_EQ(ReadAt(reader.get(), 0, 1), "x");
  UniqueFd writer = Open("f", O_RDWR);
  EXPECT_OK(fallocate(writer.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                      0, 50000));
  EXPECT_EQ(ReadAt(reader.get(), 0, 3), std::string(3, '\0'));
  EXPECT_EQ(ReadAt(reader.get(), 49999, 2), std::string("\0x", 2));
}

TEST_F(Coherence, OverRenameAndUnlinkOfTheName) {
  Mount({Tree().File("f", "first").File("g", "second")});
  UniqueFd f = Open("f", O_RDONLY), g = Open("g", O_RDONLY);
  EXPECT_OK(rename("f", "h"));
  PatchFile("h", 0, "F");
  EXPECT_EQ(ReadAll(f.get()), "First");
  EXPECT_OK(rename("h", "g"));
  EXPECT_EQ(ReadAll(g.get()), "second");
  PatchFile("g", 0, "fI");
  EXPECT_EQ(ReadAll(f.get()), "fIrst");
  EXPECT_EQ(ReadAll(g.get()), "second");
}

TEST_F(Coherence, ThroughHardLinks) {
  Mount({Tree().File("a", "content").HardLink("b", "a")});
  UniqueFd reader = Open("b", O_RDONLY);
  EXPECT_EQ(ReadAll(reader.get()), "content");
  PatchFile("a", 0, "CONTENT");
  EXPECT_EQ(ReadAll(reader.get()), "CONTENT");
  EXPECT_EQ(ReadFile("b"), "CONTENT");
}

TEST_F(Coherence, StatAfterEveryWriteIsExact) {
  Mount({Tree().File("f", "x")});
  UniqueFd reader = Open("f", O_RDONLY);
  UniqueFd writer = Open("f", O_WRONLY | O_APPEND);
  for (int i = 2; i < 100; ++i) {
    ASSERT_EQ(write(writer.get(), "y", 1), 1);
    ASSERT_EQ(Size("f"), i);
    ASSERT_EQ(Fstat(reader.get()).st_size, i);
  }
}

TEST_F(Coherence, BetweenProcesses) {
  Mount({Tree().File("f", "0")});
  Baton to_child, to_parent;
  pid_t child = fork();
  if (child == 0) {
    int fd = open("f", O_RDONLY);
    char c = 0;
    for (int i = 1; i < 10; ++i) {
      if (!to_child.Wait()) _exit(1);
      if (pread(fd, &c, 1, 0) != 1 || c != '0' + i) _exit(2);
      to_parent.Signal();
    }
    _exit(0);
  }
  for (int i = 1; i < 10; ++i) {
    PatchFile("f", 0, std::to_string(i));
    to_child.Signal();
    if (!to_parent.Wait(2000)) break;
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(Coherence, DirectoriesOpenedBeforeTheirCopyUpSeeNewNames) {
  Mount({Tree().File("d/low")});
  UniqueFd dir = Open("d", O_RDONLY | O_DIRECTORY);
  WriteFile("d/new", "n");
  struct stat st;
  EXPECT_OK(fstatat(dir.get(), "new", &st, 0));
  EXPECT_OK(lseek(dir.get(), 0, SEEK_SET));
  EXPECT_EQ(GetdentsAll(dir.get(), 4096).size(), 4u);
  EXPECT_OK(fchmod(dir.get(), 0700));
  EXPECT_EQ(Mode("d"), 0700u);
}

TEST_F(Coherence, OldDescriptorsAreNotWritableThroughTheLower) {
  // What the fixture checks afterwards is the point: the lower file must stay.
  Mount({Tree().File("f", "lower")});
  UniqueFd reader = Open("f", O_RDONLY);
  ReadAll(reader.get());
  UniqueFd writer = Open("f", O_RDWR);
  WriteAt(writer.get(), 0, "UPPER");
  Mapping map(writer.get(), 5, PROT_READ | PROT_WRITE, MAP_SHARED);
  ASSERT_TRUE(map.ok());
  map.data()[0] = 'u';
  map.Sync();
  EXPECT_EQ(ReadAll(reader.get()), "uPPER");
}

TEST_F(Mmap, SharedMappingsSeeWritesAndAreSeen) {
  Mount({Tree().File("low", std::string(10000, 'x'))});
  WriteFile("up", std::string(10000, 'x'));
  for (const char* name : {"low", "up"}) {
    UniqueFd fd = Open(name, O_RDWR);
    Mapping map(fd.get(), 10000, PROT_READ | PROT_WRITE, MAP_SHARED);
    ASSERT_TRUE(map.ok());
    map.data()[5000] = 'M';
    EXPECT_EQ(ReadAt(fd.get(), 5000, 1), "M") << name;
    EXPECT_EQ(ReadFile(name)[5000], 'M') << name;
    WriteAt(fd.get(), 6000, "W");
    EXPECT_EQ(map.Text(6000, 1), "W") << name;
    map.Sync();
  }
}

TEST_F(Mmap, WritesThroughMappingsReachTheDisk) {
  Mount({Tree().File("f", std::string(100000, 'x'))});
  {
    UniqueFd fd = Open("f", O_RDWR);
    Mapping map(fd.get(), 100000, PROT_READ | PROT_WRITE, MAP_SHARED);
    ASSERT_TRUE(map.ok());
    fd.reset();
    for (int i = 0; i < 100000; i += 1000) map.data()[i] = 'M';
  }
  EXPECT_EQ(ReadFile("f")[99000], 'M');
  Remount();
  const std::string content = ReadFile("f");
  ASSERT_EQ(content.size(), 100000u);
  for (int i = 0; i < 100000; ++i) {
    ASSERT_EQ(content[i], i % 1000 ? 'x' : 'M') << i;
  }
}

TEST_F(Mmap, AReadOnlySharedMappingOfALowerFileSeesLaterWrites) {
  Mount({Tree().File("f", std::string(10000, 'o'))});
  UniqueFd reader = Open("f", O_RDONLY);
  Mapping map(reader.get(), 10000, PROT_READ, MAP_SHARED);
  EXPECT_EQ(map.Text(0, 3), "ooo");
  PatchFile("f", 0, "new");
  EXPECT_EQ(map.Text(0, 3), "new");
  EXPECT_EQ(map.Text(8192, 1), "o");
  PatchFile("f", 8192, "N");
  EXPECT_EQ(map.Text(8192, 1), "N");
}

TEST_F(Mmap, APrivateMappingIsWritableAndStaysPrivate) {
  Mount({Tree().File("f", std::string(5000, 'o'))});
  UniqueFd reader = Open("f", O_RDONLY);
  Mapping map(reader.get(), 5000, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  map.data()[0] = 'P';
  EXPECT_EQ(ReadFile("f")[0], 'o');
  PatchFile("f", 0, "w");
  EXPECT_EQ(map.Text(0, 1), "P");
}

TEST_F(Mmap, SurvivesUnlinkAndRename) {
  Mount({Tree().File("f", std::string(5000, 'o')).File("g", "g")});
  UniqueFd fd = Open("f", O_RDWR);
  Mapping map(fd.get(), 5000, PROT_READ | PROT_WRITE, MAP_SHARED);
  fd.reset();
  EXPECT_OK(rename("f", "h"));
  map.data()[1] = '1';
  EXPECT_EQ(ReadFile("h").substr(0, 3), "o1o");
  EXPECT_OK(rename("g", "h"));
  map.data()[2] = '2';
  EXPECT_EQ(map.Text(0, 4), "o12o");
  EXPECT_EQ(ReadFile("h"), "g");
}

TEST_F(Mmap, FollowsTruncation) {
  Mount({Tree().File("f", std::string(8192, 'o'))});
  UniqueFd fd = Open("f", O_RDWR);
  Mapping map(fd.get(), 8192, PROT_READ, MAP_SHARED);
  EXPECT_EQ(map.Text(8191, 1), "o");
  EXPECT_OK(ftruncate(fd.get(), 100));
  EXPECT_EQ(map.Text(100, 1), std::string(1, '\0'));
  EXPECT_EQ(InChild([&] {
              signal(SIGBUS, [](int) { _exit(42); });
              return static_cast<volatile char*>(map.data())[5000] ? 1 : 0;
            }),
            42);
}

TEST_F(Mmap, ExecutableMappingsWork) {
  Mount({Tree().File("f", std::string(4096, '\xc3')).Mode(0755)});
  UniqueFd fd = Open("f", O_RDONLY);
  Mapping map(fd.get(), 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE);
  ASSERT_TRUE(map.ok());
#ifdef __x86_64__
  reinterpret_cast<void (*)()>(map.data())();  // 0xc3 is a return
#endif
}

TEST_F(Mmap, ModeOfTheDescriptorBinds) {
  Mount({Tree().File("f", "x")});
  UniqueFd reader = Open("f", O_RDONLY);
  EXPECT_EQ(mmap(nullptr, 1, PROT_WRITE, MAP_SHARED, reader.get(), 0),
            MAP_FAILED);
  EXPECT_EQ(ErrnoName(errno), "EACCES");
  UniqueFd dir = Open(".", O_RDONLY);
  EXPECT_EQ(mmap(nullptr, 1, PROT_READ, MAP_SHARED, dir.get(), 0), MAP_FAILED);
  EXPECT_EQ(ErrnoName(errno), "ENODEV");
}

TEST_F(Mmap, WritingMovesMtimeAtTheLatestOnSync) {
  Mount({Tree().File("f", std::string(4096, 'x')).Times(At(1), At(2))});
  UniqueFd fd = Open("f", O_RDWR);
  Mapping map(fd.get(), 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
  map.data()[0] = 'y';
  map.Sync();
  EXPECT_LT(At(2), Stat("f").st_mtim);
}

TEST_F(Mmap, AndWritesFromManyThreadsAgree) {
  constexpr int kPages = 64;
  Mount({Tree().File("f", std::string(kPages * 4096, '.'))});
  UniqueFd fd = Open("f", O_RDWR);
  Mapping map(fd.get(), kPages * 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
  ASSERT_TRUE(map.ok());
  std::thread mapper([&] {
    for (int i = 0; i < kPages; ++i) map.data()[i * 4096] = 'm';
  });
  std::thread writer([&] {
    UniqueFd own(open("f", O_WRONLY));
    for (int i = 0; i < kPages; ++i) WriteAt(own.get(), i * 4096 + 1, "w");
  });
  mapper.join();
  writer.join();
  map.Sync();
  const std::string content = ReadFile("f");
  for (int i = 0; i < kPages; ++i) {
    ASSERT_EQ(content.substr(i * 4096, 3), "mw.") << "page " << i;
  }
}

}  // namespace
}  // namespace ufs::test
