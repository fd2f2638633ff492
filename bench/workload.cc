// ufs_bench_workload OPERATION ROOT [--list F] [--file F] [--count N] [--size
// N] [--block N] [--seed N] [--chroot] [-- COMMAND...] Prints one line of JSON.
// bench/compare runs it; workload.h says what an operation promises.

#include "bench/workload.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ufs::bench {

void Die(const std::string& what, const std::string& path) {
  std::fprintf(stderr, "ufs_bench_workload: %s %s: %s\n", what.c_str(),
               path.c_str(), std::strerror(errno));
  std::exit(1);
}

void Wrong(const std::string& what, const std::string& path) {
  std::fprintf(stderr, "ufs_bench_workload: wrong: %s %s\n", what.c_str(),
               path.c_str());
  std::exit(1);
}

void Fd::Close() {
  if (fd_ < 0) return;
  int fd = std::exchange(fd_, -1);
  if (close(fd) != 0) Die("close", "descriptor");
}

Fd OpenRoot(const Args& args) {
  int fd = open(args.root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) Die("open", args.root);
  return Fd(fd);
}

Fd OpenAt(const Fd& dir, const std::string& path, int flags, mode_t mode) {
  int fd = openat(dir.get(), path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) Die("open", path);
  return Fd(fd);
}

void WriteAll(const Fd& fd, const char* data, size_t size,
              const std::string& path) {
  while (size > 0) {
    ssize_t n = write(fd.get(), data, size);
    if (n < 0) Die("write", path);
    data += n;
    size -= static_cast<size_t>(n);
  }
}

std::string ReadAll(const Fd& fd, size_t block, const std::string& path,
                    Stopwatch* watch) {
  std::string content;
  size_t used = 0;
  for (;;) {
    content.resize(used + block);
    if (watch != nullptr) watch->Start();
    ssize_t n = read(fd.get(), content.data() + used, block);
    if (watch != nullptr) watch->Stop();
    if (n < 0) Die("read", path);
    used += static_cast<size_t>(n);
    if (n == 0) break;
  }
  content.resize(used);
  return content;
}

uint64_t HashBytes(const void* data, size_t size, uint64_t seed) {
  return XXH3_64bits_withSeed(data, size, seed);
}

std::string SeededBytes(size_t size, uint64_t seed) {
  std::string bytes(size, '\0');
  std::mt19937_64 random(seed);
  for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
    uint64_t word = random();
    std::memcpy(bytes.data() + at, &word, std::min(sizeof word, size - at));
  }
  return bytes;
}

namespace {

using Operation = Measured (*)(const Args&);

const std::map<std::string, Operation>& Operations() {
  static const std::map<std::string, Operation> operations = {
      {"walk", Walk},
      {"list", List},
      {"stat", Stat},
      {"negative", Negative},
      {"create", Create},
      {"unlink", Unlink},
      {"unlink-lower", UnlinkLower},
      {"chmod", Chmod},
      {"sum", Sum},
      {"open-read", OpenRead},
      {"append", Append},
      {"seq-read", SequentialRead},
      {"rand-read", RandomRead},
      {"mmap-read", MmapRead},
      {"seq-write", SequentialWrite},
      {"rand-write", RandomWrite},
      {"fsync", Fsync},
      {"one-byte", OneByte},
      {"generate", Generate},
      {"exec", Exec},
      {"hold-userns", HoldUserNamespace},
      {"mount-overlay", MountOverlay},
  };
  return operations;
}

[[noreturn]] void Usage(const std::string& problem) {
  std::fprintf(stderr,
               "ufs_bench_workload: %s\nusage: ufs_bench_workload OPERATION "
               "ROOT [options] [-- COMMAND...]\noperations:",
               problem.c_str());
  for (const auto& [name, operation] : Operations())
    std::fprintf(stderr, " %s", name.c_str());
  std::fputc('\n', stderr);
  std::exit(2);
}

uint64_t Number(const std::string& option, const std::string& text) {
  char* end = nullptr;
  errno = 0;
  uint64_t value = std::strtoull(text.c_str(), &end, 10);
  if (errno != 0 || text.empty() || *end != '\0')
    Usage(option + " takes a number, not '" + text + "'");
  return value;
}

std::vector<std::string> ReadList(const std::string& path) {
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) Die("open", path);
  std::string content = ReadAll(fd, 1 << 20, path, nullptr);
  std::vector<std::string> list;
  for (size_t at = 0; at < content.size();) {
    size_t end = content.find('\0', at);
    if (end == std::string::npos) end = content.size();
    list.push_back(content.substr(at, end - at));
    at = end + 1;
  }
  return list;
}

Args Parse(int argc, char** argv) {
  if (argc < 3) Usage("an operation and a root are needed");
  Args args;
  args.root = argv[2];
  for (int i = 3; i < argc; ++i) {
    std::string option = argv[i];
    if (option == "--") {
      args.command.assign(argv + i + 1, argv + argc);
      break;
    }
    if (option == "--chroot") {
      args.chroot = true;
      continue;
    }
    if (i + 1 == argc) Usage(option + " needs a value");
    std::string value = argv[++i];
    if (option == "--list") {
      args.list = ReadList(value);
    } else if (option == "--file") {
      args.file = value;
    } else if (option == "--count") {
      args.count = Number(option, value);
    } else if (option == "--size") {
      args.size = Number(option, value);
    } else if (option == "--block") {
      args.block = Number(option, value);
    } else if (option == "--seed") {
      args.seed = Number(option, value);
    } else {
      Usage("unknown option '" + option + "'");
    }
  }
  if (args.block == 0) Usage("--block must be at least 1");
  std::mt19937_64 random(args.seed);
  std::shuffle(args.list.begin(), args.list.end(), random);
  return args;
}

std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (unsigned char c : text) {
    char escaped[8];
    if (c == '"' || c == '\\' || c < 0x20 || c >= 0x7f) {
      std::snprintf(escaped, sizeof escaped, "\\u%04x", c);
      out += escaped;
    } else {
      out += static_cast<char>(c);
    }
  }
  return out + "\"";
}

int Main(int argc, char** argv) {
  if (argc < 2) Usage("an operation and a root are needed");
  auto found = Operations().find(argv[1]);
  if (found == Operations().end())
    Usage(std::string("unknown operation '") + argv[1] + "'");
  Measured m = found->second(Parse(argc, argv));
  std::printf(
      "{\"seconds\": %.9f, \"ops\": %llu, \"bytes\": %llu, \"check\": "
      "\"%016llx\", \"output\": %s}\n",
      m.seconds, static_cast<unsigned long long>(m.ops),
      static_cast<unsigned long long>(m.bytes),
      static_cast<unsigned long long>(m.check), Quoted(m.output).c_str());
  return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace
}  // namespace ufs::bench

int main(int argc, char** argv) { return ufs::bench::Main(argc, argv); }
