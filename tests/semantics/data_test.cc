// Opening, reading and writing.
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

// A buffer for O_DIRECT.
std::unique_ptr<char, decltype(&free)> AlignedBytes(size_t size) {
  void* memory = nullptr;
  EXPECT_EQ(posix_memalign(&memory, 4096, size), 0);
  return {static_cast<char*>(memory), &free};
}

// io_submit(2), one request at a time.
class Aio {
 public:
  Aio() { EXPECT_EQ(syscall(SYS_io_setup, 1, &context_), 0); }
  ~Aio() { syscall(SYS_io_destroy, context_); }
  Aio(const Aio&) = delete;
  Aio& operator=(const Aio&) = delete;

  // What the write came to, once it is complete.
  int64_t Write(int fd, const char* bytes, size_t size) {
    iocb request{};
    request.aio_lio_opcode = IOCB_CMD_PWRITE;
    request.aio_fildes = fd;
    request.aio_buf = reinterpret_cast<uintptr_t>(bytes);
    request.aio_nbytes = size;
    iocb* requests[] = {&request};
    if (syscall(SYS_io_submit, context_, 1, requests) != 1) return -errno;
    io_event event{};
    if (syscall(SYS_io_getevents, context_, 1, 1, &event, nullptr) != 1)
      return -errno;
    return event.res;
  }

 private:
  aio_context_t context_ = 0;
};

using OpenFlags = UnionTest;
using Data = UnionTest;
using Sync = UnionTest;

TEST_F(OpenFlags, AccessModesAreKept) {
  Mount({Tree().File("f", "abc")});
  char c = 'x';
  {
    UniqueFd reader = Open("f", O_RDONLY);
    EXPECT_ERRNO(EBADF, write(reader.get(), &c, 1));
    EXPECT_ERRNO(EINVAL, ftruncate(reader.get(), 0));
  }
  UniqueFd writer = Open("f", O_WRONLY);
  EXPECT_ERRNO(EBADF, read(writer.get(), &c, 1));
  EXPECT_EQ(fcntl(writer.get(), F_GETFL) & O_ACCMODE, O_WRONLY);
}

TEST_F(OpenFlags, DirectoryAndNofollow) {
  Mount({Tree().File("f").Dir("d").Symlink("l", "f").Symlink("ld", "d")});
  EXPECT_ERRNO(ENOTDIR, open("f", O_RDONLY | O_DIRECTORY));
  EXPECT_ERRNO(ENOTDIR, open("ld", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  EXPECT_ERRNO(ELOOP, open("l", O_RDONLY | O_NOFOLLOW));
  EXPECT_ERRNO(EISDIR, open("d", O_WRONLY));
  EXPECT_ERRNO(EISDIR, open("d", O_RDWR));
  EXPECT_ERRNO(ENOTDIR, open("f/", O_RDONLY));
  { UniqueFd fd = Open("ld", O_RDONLY | O_DIRECTORY); }
  UniqueFd link = Open("l", O_PATH | O_NOFOLLOW);
  EXPECT_TRUE(S_ISLNK(Fstat(link.get()).st_mode));
  char c;
  EXPECT_ERRNO(EBADF, read(link.get(), &c, 1));
  UniqueFd dir = Open("d", O_RDONLY);
  EXPECT_ERRNO(EISDIR, read(dir.get(), &c, 1));
}

TEST_F(OpenFlags, TruncOnReadOnlyOpenOfALowerFile) {
  Mount({Tree().File("f", "content")});
  { UniqueFd fd = Open("f", O_RDONLY | O_TRUNC); }
  EXPECT_EQ(Size("f"), 0);
  Remount();
  EXPECT_EQ(ReadFile("f"), "");
}

TEST_F(OpenFlags, AppendAlwaysWritesAtTheEnd) {
  Mount({Tree().File("f", "lower")});
  UniqueFd a = Open("f", O_WRONLY | O_APPEND);
  UniqueFd b = Open("f", O_RDWR | O_APPEND);
  EXPECT_EQ(write(a.get(), "1", 1), 1);
  EXPECT_EQ(write(b.get(), "22", 2), 2);
  EXPECT_EQ(write(a.get(), "3", 1), 1);
  EXPECT_OK(lseek(b.get(), 0, SEEK_SET));
  EXPECT_EQ(write(b.get(), "4", 1), 1);
  EXPECT_EQ(ReadFile("f"), "lower12234");
  // Linux appends even where pwrite names an offset.
  EXPECT_EQ(pwrite(a.get(), "5", 1, 0), 1);
  EXPECT_EQ(ReadFile("f"), "lower122345");
}

TEST_F(OpenFlags, AppendFromManyThreadsLosesNothing) {
  Mount({Tree().File("log", "start\n")});
  constexpr int kThreads = 4, kLines = 100;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([t] {
      UniqueFd fd(open("log", O_WRONLY | O_APPEND));
      const std::string line(20, static_cast<char>('a' + t));
      for (int i = 0; i < kLines; ++i) {
        EXPECT_EQ(write(fd.get(), (line + "\n").data(), 21), 21);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string log = ReadFile("log");
  ASSERT_EQ(log.size(), 6u + kThreads * kLines * 21);
  for (size_t at = 6; at < log.size(); at += 21) {
    EXPECT_EQ(log.substr(at, 20), std::string(20, log[at]));
    EXPECT_EQ(log[at + 20], '\n');
  }
}

TEST_F(OpenFlags, DirectIoReadsAndWrites) {
  Mount({Tree().File("f", Pattern(64 << 10))});
  UniqueFd fd(open("f", O_RDWR | O_DIRECT));
  if (!fd.valid()) {
    EXPECT_EQ(ErrnoName(errno), "EINVAL");
    GTEST_SKIP() << "this file system does not do O_DIRECT";
  }
  const auto buffer = AlignedBytes(8192);
  EXPECT_EQ(pread(fd.get(), buffer.get(), 8192, 4096), 8192);
  EXPECT_EQ(std::string(buffer.get(), 8192),
            Pattern(64 << 10).substr(4096, 8192));
  memset(buffer.get(), 'D', 4096);
  EXPECT_EQ(pwrite(fd.get(), buffer.get(), 4096, 8192), 4096);
  EXPECT_EQ(ReadFile("f").substr(8192, 4096), std::string(4096, 'D'));
  WriteAt(Open("f", O_WRONLY).get(), 0, "buffered");
  EXPECT_EQ(pread(fd.get(), buffer.get(), 4096, 0), 4096);
  EXPECT_EQ(std::string(buffer.get(), 8), "buffered");
}

// A read beside the write may bring old pages in, which must not outlive it.
TEST_F(OpenFlags, AsynchronousDirectWritesLeaveNoOldPages) {
  constexpr size_t kSize = 640 << 10;
  constexpr int kRounds = 300;
  Mount({Tree().File("f", std::string(kSize, 'a'))});
  UniqueFd direct(open("f", O_RDWR | O_DIRECT));
  if (!direct.valid()) {
    EXPECT_EQ(ErrnoName(errno), "EINVAL");
    GTEST_SKIP() << "this file system does not do O_DIRECT";
  }
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i)
    readers.emplace_back([&] {
      std::string bytes(kSize, '\0');
      UniqueFd fd = Open("f", O_RDONLY);
      while (!done) EXPECT_EQ(pread(fd.get(), bytes.data(), kSize, 0), kSize);
    });
  Aio aio;
  const auto buffer = AlignedBytes(kSize);
  UniqueFd fd = Open("f", O_RDONLY);
  std::string seen(kSize, '\0');
  int stale = 0;
  for (int round = 0; round < kRounds; ++round) {
    memset(buffer.get(), 'a' + round % 26, kSize);
    EXPECT_EQ(aio.Write(direct.get(), buffer.get(), kSize), kSize);
    EXPECT_EQ(pread(fd.get(), seen.data(), kSize, 0), kSize);
    stale += seen != std::string_view(buffer.get(), kSize);
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(stale, 0) << "of " << kRounds << " writes";
}

TEST_F(OpenFlags, NoatimeIsForOwners) {
  NEEDS_SEVERAL_IDS();
  Mount({Tree().File("f", "x").Mode(0644).Owner(1000, 1000)});
  EXPECT_ERRNO_EQ(0, AsUser(kAlice, [] {
                    return ErrnoOf(open("f", O_RDONLY | O_NOATIME));
                  }));
  EXPECT_ERRNO_EQ(EPERM, AsUser(kBob, [] {
                    return ErrnoOf(open("f", O_RDONLY | O_NOATIME));
                  }));
}

TEST_F(OpenFlags, ReopenThroughProcGivesNewAccess) {
  Mount({Tree().File("f", "lower")});
  UniqueFd path = Open("f", O_PATH);
  const std::string proc = "/proc/self/fd/" + std::to_string(path.get());
  UniqueFd reader = Open(proc, O_RDONLY);
  UniqueFd writer = Open(proc, O_RDWR);
  WriteAt(writer.get(), 0, "LOWER");
  EXPECT_EQ(ReadAll(reader.get()), "LOWER");
  EXPECT_OK(rename("f", "g"));
  UniqueFd again = Open(proc, O_RDONLY);
  EXPECT_EQ(ReadAll(again.get()), "LOWER");
  EXPECT_EQ(ReadLink(proc), root() + "/g");
}

TEST_F(OpenFlags, ReopenOfAnUnlinkedFileThroughProc) {
  Mount({Tree().File("f", "lower")});
  UniqueFd fd = Open("f", O_RDONLY);
  EXPECT_OK(unlink("f"));
  const std::string proc = "/proc/self/fd/" + std::to_string(fd.get());
  UniqueFd reader = Open(proc, O_RDONLY);
  EXPECT_EQ(ReadAll(reader.get()), "lower");
}

TEST_F(Data, ReadsEveryPartOfALowerFile) {
  const std::string content = Pattern(300001);
  Mount({Tree().File("f", content)});
  UniqueFd fd = Open("f", O_RDONLY);
  for (off_t offset : {0, 1, 4095, 4096, 131071, 131072, 300000}) {
    EXPECT_TRUE(ReadAt(fd.get(), offset, 5000) == content.substr(offset, 5000))
        << offset;
  }
  EXPECT_EQ(ReadAt(fd.get(), 300001, 10), "");
  EXPECT_EQ(ReadAt(fd.get(), 1000000, 10), "");
  EXPECT_TRUE(ReadAll(fd.get()) == content);
}

TEST_F(Data, SmallWritesIntoALargeLowerFile) {
  std::string expected = Pattern(3 << 20);
  Mount({Tree().File("f", expected)});
  {
    UniqueFd fd = Open("f", O_RDWR);
    unsigned at = 12345;
    for (int i = 0; i < 200; ++i) {
      at = (at * 1103515245u + 12345u) % ((3u << 20) - 100);
      const std::string patch = Pattern(1 + at % 97, at);
      WriteAt(fd.get(), at, patch);
      expected.replace(at, patch.size(), patch);
      if (i % 50 == 0) {
        EXPECT_TRUE(ReadAll(fd.get()) == expected) << i;
      }
    }
    EXPECT_TRUE(ReadAll(fd.get()) == expected);
  }
  EXPECT_EQ(Size("f"), 3 << 20);
  Remount();
  EXPECT_TRUE(ReadFile("f") == expected);
}

TEST_F(Data, WritingPastTheEndLeavesZeros) {
  Mount({Tree().File("f", "abc")});
  PatchFile("f", 10000, "end");
  std::string expected = "abc";
  expected.resize(10000, '\0');
  expected += "end";
  EXPECT_TRUE(ReadFile("f") == expected);
  Remount();
  EXPECT_TRUE(ReadFile("f") == expected);
}

TEST_F(Data, OverwriteWithTheSameLength) {
  // The signature of a well-known corruption in another union file system: the
  // old content, padded with zeros to the new length.
  Mount({Tree().File("f", Pattern(10000, 1))});
  UniqueFd old_reader = Open("f", O_RDONLY);
  EXPECT_EQ(ReadAll(old_reader.get()).size(), 10000u);
  WriteFile("f", Pattern(20000, 2));
  EXPECT_TRUE(ReadFile("f") == Pattern(20000, 2));
  EXPECT_TRUE(ReadAll(old_reader.get()) == Pattern(20000, 2));
  WriteFile("f", Pattern(500, 3));
  EXPECT_TRUE(ReadAll(old_reader.get()) == Pattern(500, 3));
}

TEST_F(Data, VectoredAndPositionedCallsAgree) {
  Mount({Tree().File("f", "0123456789")});
  UniqueFd fd = Open("f", O_RDWR);
  char a[3], b[4];
  struct iovec in[2] = {{a, 3}, {b, 4}};
  EXPECT_EQ(preadv(fd.get(), in, 2, 2), 7);
  EXPECT_EQ(std::string(a, 3) + std::string(b, 4), "2345678");
  struct iovec out[2] = {{const_cast<char*>("AB"), 2},
                         {const_cast<char*>("CDE"), 3}};
  EXPECT_EQ(pwritev(fd.get(), out, 2, 4), 5);
  EXPECT_EQ(ReadFile("f"), "0123ABCDE9");
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_CUR), 0);
}

TEST_F(Data, OffsetsAreSharedAfterForkAndDup) {
  Mount({Tree().File("f", "0123456789")});
  UniqueFd fd = Open("f", O_RDONLY);
  UniqueFd twin(dup(fd.get()));
  char c;
  EXPECT_EQ(read(fd.get(), &c, 1), 1);
  EXPECT_EQ(read(twin.get(), &c, 1), 1);
  EXPECT_EQ(c, '1');
  EXPECT_EQ(InChild([&] { return read(fd.get(), &c, 1) == 1 ? 0 : 1; }), 0);
  EXPECT_EQ(read(fd.get(), &c, 1), 1);
  EXPECT_EQ(c, '3');
}

TEST_F(Data, LargeFilesBeyondFourGigabytes) {
  Mount({Tree().File("f", "low")});
  const off_t far = (off_t{5} << 30) + 3;
  PatchFile("f", far, "far");
  EXPECT_EQ(Size("f"), far + 3);
  UniqueFd fd = Open("f", O_RDWR);
  EXPECT_EQ(ReadAt(fd.get(), far, 3), "far");
  EXPECT_EQ(ReadAt(fd.get(), 0, 4), std::string("low\0", 4));
  EXPECT_LT(Fstat(fd.get()).st_blocks * 512, 1 << 20) << "the hole was filled";
  EXPECT_ERRNO(EINVAL, lseek(fd.get(), -1, SEEK_SET));
}

TEST_F(Data, SendfileAndSpliceReadTheUnion) {
  Mount({Tree().File("f", Pattern(100000))});
  AppendFile("f", "tail");
  UniqueFd in = Open("f", O_RDONLY);
  UniqueFd out = Open(Outside("copy"), O_CREAT | O_WRONLY);
  off_t offset = 0;
  while (offset < 100004) {
    ASSERT_GT(sendfile(out.get(), in.get(), &offset, 100004), 0);
  }
  EXPECT_TRUE(ReadFile(Outside("copy")) == Pattern(100000) + "tail");
  int pipe_fds[2];
  ASSERT_OK(pipe(pipe_fds));
  UniqueFd read_end(pipe_fds[0]), write_end(pipe_fds[1]);
  loff_t at = 100000;
  EXPECT_EQ(splice(in.get(), &at, write_end.get(), nullptr, 4, 0), 4);
  char buffer[4];
  EXPECT_EQ(read(read_end.get(), buffer, 4), 4);
  EXPECT_EQ(std::string(buffer, 4), "tail");
  UniqueFd target = Open("g", O_CREAT | O_RDWR);
  ASSERT_EQ(write(write_end.get(), "spliced", 7), 7);
  EXPECT_EQ(splice(read_end.get(), nullptr, target.get(), nullptr, 7, 0), 7);
  EXPECT_EQ(ReadAll(target.get()), "spliced");
}

TEST_F(Data, ReadersAndAWriterSeeWholeBlocks) {
  // Each block is written at once; a reader must never see a torn mixture of
  // lower and upper content after copy-up.
  constexpr int kBlocks = 64, kBlock = 4096;
  Mount({Tree().File("f", std::string(kBlocks * kBlock, 'o'))});
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&] {
      UniqueFd fd(open("f", O_RDONLY));
      std::string block(kBlock, '\0');
      while (!stop) {
        for (int i = 0; i < kBlocks; ++i) {
          ssize_t n = pread(fd.get(), block.data(), kBlock, i * kBlock);
          if (n != kBlock || (block[0] != 'o' && block[0] != 'n')) ++wrong;
        }
      }
    });
  }
  {
    UniqueFd fd = Open("f", O_WRONLY);
    for (int i = 0; i < kBlocks; ++i) {
      WriteAt(fd.get(), i * kBlock, std::string(kBlock, 'n'));
    }
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(ReadFile("f") == std::string(kBlocks * kBlock, 'n'));
}

TEST_F(Data, TwoWritersOpenALowerFileAtOnce) {
  for (int round = 0; round < 5; ++round) {
    if (round == 0) {
      Tree tree;
      for (int i = 0; i < 5; ++i) {
        tree.File("f" + std::to_string(i), std::string(200000, '.'));
      }
      Mount({tree});
    }
    const std::string name = "f" + std::to_string(round);
    std::vector<std::thread> writers;
    for (int t = 0; t < 4; ++t) {
      writers.emplace_back([&, t] {
        UniqueFd fd(open(name.c_str(), O_RDWR));
        WriteAt(fd.get(), t * 50000,
                std::string(10, static_cast<char>('A' + t)));
      });
    }
    for (std::thread& writer : writers) writer.join();
    const std::string content = ReadFile(name);
    EXPECT_EQ(content.size(), 200000u);
    for (int t = 0; t < 4; ++t) {
      EXPECT_EQ(content.substr(t * 50000, 11),
                std::string(10, static_cast<char>('A' + t)) + ".");
    }
  }
}

TEST_F(Data, WritesOfZeroBytesAndEmptyFiles) {
  Mount({Tree().File("empty").File("f", "x").Times(At(1), At(2))});
  EXPECT_EQ(ReadFile("empty"), "");
  UniqueFd fd = Open("f", O_RDWR);
  EXPECT_EQ(write(fd.get(), "", 0), 0);
  EXPECT_EQ(ReadFile("f"), "x");
  AppendFile("empty", "1");
  EXPECT_EQ(ReadFile("empty"), "1");
}

TEST_F(Sync, EveryKindSucceeds) {
  Mount({Tree().File("low", "l").Dir("d")});
  WriteFile("up", "u");
  for (const char* name : {"low", "up"}) {
    UniqueFd reader = Open(name, O_RDONLY);
    EXPECT_OK(fsync(reader.get())) << name;
    UniqueFd writer = Open(name, O_RDWR);
    WriteAt(writer.get(), 0, "!");
    EXPECT_OK(fsync(writer.get())) << name;
    EXPECT_OK(fdatasync(writer.get())) << name;
    EXPECT_OK(syncfs(writer.get())) << name;
    EXPECT_OK(sync_file_range(writer.get(), 0, 1, SYNC_FILE_RANGE_WRITE));
  }
  for (const char* name : {".", "d"}) {
    UniqueFd dir = Open(name, O_RDONLY | O_DIRECTORY);
    EXPECT_OK(fsync(dir.get())) << name;
    EXPECT_OK(fdatasync(dir.get())) << name;
    EXPECT_OK(syncfs(dir.get())) << name;
  }
}

TEST_F(Sync, OSyncAndODsyncFilesWork) {
  Mount({Tree().File("f", "lower")});
  for (int flag : {O_SYNC, O_DSYNC}) {
    UniqueFd fd = Open("f", O_RDWR | flag);
    WriteAt(fd.get(), 0, "synced");
    EXPECT_TRUE(fcntl(fd.get(), F_GETFL) & O_DSYNC);
  }
  EXPECT_EQ(ReadFile("f"), "synced");
}

}  // namespace
}  // namespace ufs::test
