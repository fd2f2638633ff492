// Operations on contents.

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "bench/workload.h"

namespace ufs::bench {
namespace {

constexpr char kScratchFile[] = "bench-scratch-file";

uint64_t SizeOf(const Fd& fd, const std::string& path) {
  struct stat st;
  if (fstat(fd.get(), &st) != 0) Die("fstat", path);
  return static_cast<uint64_t>(st.st_size);
}

// Where each of `count` random accesses goes: a multiple of `block`, whole
// blocks only.
std::vector<off_t> RandomOffsets(uint64_t file_size, const Args& args,
                                 const std::string& path) {
  uint64_t blocks = file_size / args.block;
  if (blocks == 0) Wrong("file shorter than a block:", path);
  std::mt19937_64 random(args.seed);
  std::vector<off_t> offsets(args.count);
  for (off_t& offset : offsets)
    offset = static_cast<off_t>(random() % blocks * args.block);
  return offsets;
}

void PreadAll(const Fd& fd, char* data, size_t size, off_t offset,
              const std::string& path) {
  while (size > 0) {
    ssize_t n = pread(fd.get(), data, size, offset);
    if (n < 0) Die("pread", path);
    if (n == 0) Wrong("early end of file in", path);
    data += n;
    size -= static_cast<size_t>(n);
    offset += n;
  }
}

// A new file under root that is removed again when the operation is over.
class ScratchFile {
 public:
  explicit ScratchFile(const Args& args)
      : root_(OpenRoot(args)),
        fd_(OpenAt(root_, kScratchFile, O_RDWR | O_CREAT | O_EXCL, 0644)) {}
  ~ScratchFile() {
    if (unlinkat(root_.get(), kScratchFile, 0) != 0)
      Die("unlink", kScratchFile);
  }
  Fd& fd() { return fd_; }
  // Reads the file anew through a second descriptor and compares.
  void Expect(const std::string& content) {
    if (ReadAll(OpenAt(root_, kScratchFile, O_RDONLY), 1 << 20, kScratchFile,
                nullptr) != content) {
      Wrong("content read back from", kScratchFile);
    }
  }

 private:
  Fd root_;
  Fd fd_;
};

}  // namespace

Measured OpenRead(const Args& args) {
  Fd root = OpenRoot(args);
  Stopwatch watch;
  Measured m;
  for (const std::string& name : args.list) {
    watch.Start();
    Fd fd = OpenAt(root, name, O_RDONLY | O_NOFOLLOW);
    watch.Stop();
    std::string content = ReadAll(fd, args.block, name, &watch);
    watch.Start();
    fd.Close();
    watch.Stop();
    m.bytes += content.size();
    m.check += HashString(content, HashString(name));
  }
  m.seconds = watch.seconds();
  m.ops = args.list.size();
  return m;
}

Measured Append(const Args& args) {
  Fd root = OpenRoot(args);
  std::string line = SeededBytes(64, args.seed);
  Stopwatch watch;
  watch.Start();
  for (const std::string& name : args.list) {
    Fd fd = OpenAt(root, name, O_WRONLY | O_APPEND | O_NOFOLLOW);
    WriteAll(fd, line.data(), line.size(), name);
    fd.Close();
  }
  watch.Stop();
  Measured m;
  m.seconds = watch.seconds();
  m.ops = args.list.size();
  for (const std::string& name : args.list) {
    std::string content =
        ReadAll(OpenAt(root, name, O_RDONLY), 1 << 20, name, nullptr);
    if (content.size() < line.size() ||
        content.compare(content.size() - line.size(), line.size(), line) != 0) {
      Wrong("last bytes after append to", name);
    }
    content.resize(content.size() - line.size());
    m.check += HashString(content, HashString(name));
  }
  return m;
}

Measured SequentialRead(const Args& args) {
  Fd fd = OpenAt(OpenRoot(args), args.file, O_RDONLY);
  std::string buffer(args.block, '\0');
  uint64_t size = std::min(args.size, SizeOf(fd, args.file));
  Stopwatch watch;
  Measured m;
  while (m.bytes < size) {
    size_t want = std::min(args.block, size - m.bytes);
    watch.Start();
    for (size_t have = 0; have < want;) {
      ssize_t n = read(fd.get(), buffer.data() + have, want - have);
      if (n < 0) Die("read", args.file);
      if (n == 0) Wrong("early end of file in", args.file);
      have += static_cast<size_t>(n);
    }
    watch.Stop();
    m.check += HashBytes(buffer.data(), want, m.bytes);
    m.bytes += want;
    ++m.ops;
  }
  m.seconds = watch.seconds();
  return m;
}

Measured RandomRead(const Args& args) {
  Fd fd = OpenAt(OpenRoot(args), args.file, O_RDONLY);
  std::vector<off_t> offsets = RandomOffsets(
      std::min(args.size, SizeOf(fd, args.file)), args, args.file);
  std::string buffer(args.block, '\0');
  Stopwatch watch;
  Measured m;
  for (off_t offset : offsets) {
    watch.Start();
    PreadAll(fd, buffer.data(), buffer.size(), offset, args.file);
    watch.Stop();
    m.check += HashString(buffer, static_cast<uint64_t>(offset));
  }
  m.seconds = watch.seconds();
  m.ops = offsets.size();
  m.bytes = offsets.size() * args.block;
  return m;
}

Measured MmapRead(const Args& args) {
  Fd fd = OpenAt(OpenRoot(args), args.file, O_RDONLY);
  uint64_t size = std::min(args.size, SizeOf(fd, args.file));
  Stopwatch watch;
  watch.Start();
  void* map = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (map == MAP_FAILED) Die("mmap", args.file);
  const auto* words = static_cast<const volatile uint64_t*>(map);
  uint64_t touched = 0;
  for (uint64_t at = 0; at < size / sizeof(uint64_t);
       at += 4096 / sizeof(uint64_t))
    touched += words[at];
  watch.Stop();
  Measured m;
  m.check = touched + HashBytes(map, size, 0);
  if (munmap(map, size) != 0) Die("munmap", args.file);
  m.seconds = watch.seconds();
  m.ops = (size + 4095) / 4096;
  m.bytes = size;
  return m;
}

Measured SequentialWrite(const Args& args) {
  ScratchFile scratch(args);
  std::string content = SeededBytes(args.size, args.seed);
  Stopwatch watch;
  watch.Start();
  for (uint64_t at = 0; at < args.size; at += args.block) {
    WriteAll(scratch.fd(), content.data() + at,
             std::min(args.block, args.size - at), kScratchFile);
  }
  scratch.fd().Close();
  watch.Stop();
  scratch.Expect(content);
  Measured m;
  m.seconds = watch.seconds();
  m.ops = (args.size + args.block - 1) / args.block;
  m.bytes = args.size;
  return m;
}

Measured RandomWrite(const Args& args) {
  ScratchFile scratch(args);
  std::string content = SeededBytes(args.size, args.seed);
  WriteAll(scratch.fd(), content.data(), content.size(), kScratchFile);
  std::vector<off_t> offsets = RandomOffsets(args.size, args, kScratchFile);
  std::string block = SeededBytes(args.block, args.seed + 1);
  Stopwatch watch;
  watch.Start();
  for (off_t offset : offsets) {
    ssize_t n = pwrite(scratch.fd().get(), block.data(), block.size(), offset);
    if (n < 0) Die("pwrite", kScratchFile);
    if (static_cast<size_t>(n) != block.size())
      Wrong("short pwrite to", kScratchFile);
  }
  watch.Stop();
  for (off_t offset : offsets)
    content.replace(static_cast<size_t>(offset), block.size(), block);
  scratch.Expect(content);
  Measured m;
  m.seconds = watch.seconds();
  m.ops = offsets.size();
  m.bytes = offsets.size() * args.block;
  return m;
}

Measured Fsync(const Args& args) {
  ScratchFile scratch(args);
  std::string content = SeededBytes(args.size * args.count, args.seed);
  Stopwatch watch;
  watch.Start();
  for (uint64_t i = 0; i < args.count; ++i) {
    WriteAll(scratch.fd(), content.data() + i * args.size, args.size,
             kScratchFile);
    if (fsync(scratch.fd().get()) != 0) Die("fsync", kScratchFile);
  }
  watch.Stop();
  scratch.Expect(content);
  Measured m;
  m.seconds = watch.seconds();
  m.ops = args.count;
  m.bytes = content.size();
  return m;
}

// Inverts one byte in the middle of a large file: what a copy-up of the whole
// file costs, or does not.
Measured OneByte(const Args& args) {
  Fd root = OpenRoot(args);
  constexpr size_t kAround = 4096;
  Fd before_fd = OpenAt(root, args.file, O_RDONLY);
  off_t middle = static_cast<off_t>(SizeOf(before_fd, args.file) / 2);
  std::string before(2 * kAround, '\0');
  std::string after = before;
  PreadAll(before_fd, before.data(), before.size(),
           middle - static_cast<off_t>(kAround), args.file);
  before[kAround] = static_cast<char>(~before[kAround]);

  Stopwatch watch;
  watch.Start();
  Fd fd = OpenAt(root, args.file, O_RDWR);
  if (pwrite(fd.get(), &before[kAround], 1, middle) != 1)
    Die("pwrite", args.file);
  fd.Close();
  watch.Stop();

  PreadAll(OpenAt(root, args.file, O_RDONLY), after.data(), after.size(),
           middle - static_cast<off_t>(kAround), args.file);
  if (after != before) Wrong("bytes around the one written in", args.file);
  Measured m;
  m.seconds = watch.seconds();
  m.ops = 1;
  m.bytes = 1;
  return m;
}

// Makes the large file of the layers; not a measurement.
Measured Generate(const Args& args) {
  Fd fd = OpenAt(OpenRoot(args), args.file, O_WRONLY | O_CREAT | O_EXCL, 0644);
  constexpr uint64_t kPiece = 1 << 20;
  for (uint64_t at = 0; at < args.size; at += kPiece) {
    std::string piece =
        SeededBytes(std::min(kPiece, args.size - at), args.seed + at);
    WriteAll(fd, piece.data(), piece.size(), args.file);
  }
  Measured m;
  m.bytes = args.size;
  return m;
}

}  // namespace ufs::bench
