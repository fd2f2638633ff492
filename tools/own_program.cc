#include "tools/own_program.h"

#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"

namespace ufs {
namespace {

// Sanitizers have threads of their own, data of their own in the program's, and
// gaps in it that nobody may read.
#if defined(__has_feature)
#define UFS_HAS_FEATURE(name) __has_feature(name)
#else
#define UFS_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    UFS_HAS_FEATURE(address_sanitizer) || UFS_HAS_FEATURE(thread_sanitizer)
constexpr bool kAlone = false;
#else
constexpr bool kAlone = true;
#endif

using Part = ElfW(Phdr);

// Where one part of the program lies in memory, and in the file: whole pages.
struct Place {
  char* start;
  size_t size;
  off_t offset;
};

Place PlaceOf(const dl_phdr_info& program, const Part& part) {
  static const auto page_bytes = static_cast<ElfW(Addr)>(sysconf(_SC_PAGESIZE));
  const auto in_page = part.p_vaddr % page_bytes;
  // What is protected ends with its last whole page, as after it comes what is
  // not; what is loaded takes all that it touches.
  const auto end =
      in_page + part.p_filesz + (part.p_type == PT_LOAD ? page_bytes - 1 : 0);
  return {reinterpret_cast<char*>(program.dlpi_addr + part.p_vaddr - in_page),
          end / page_bytes * page_bytes,
          static_cast<off_t>(part.p_offset - in_page)};
}

// What cannot change has the same pages in the view.
bool MapAgain(const Place& place, const Part& part, int view) {
  const int executable = (part.p_flags & PF_X) != 0 ? PROT_EXEC : 0;
  return mmap(place.start, place.size, PROT_READ | executable,
              MAP_PRIVATE | MAP_FIXED, view, place.offset) != MAP_FAILED;
}

// What can is memory of no file from now on.
bool CopyOver(const Place& place) {
  void* const copy = mmap(nullptr, place.size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (copy == MAP_FAILED) return false;
  std::memcpy(copy, place.start, place.size);
  if (mremap(copy, place.size, place.size, MREMAP_MAYMOVE | MREMAP_FIXED,
             place.start) != MAP_FAILED)
    return true;
  munmap(copy, place.size);
  return false;
}

bool LeaveFile(const dl_phdr_info& program, int view) {
  const Part* const end = program.dlpi_phdr + program.dlpi_phnum;
  for (const Part* part = program.dlpi_phdr; part != end; ++part) {
    if (part->p_type != PT_LOAD || part->p_filesz == 0) continue;
    const Place place = PlaceOf(program, *part);
    const bool left = (part->p_flags & PF_W) != 0
                          ? CopyOver(place)
                          : MapAgain(place, *part, view);
    if (!left) return false;
  }
  // As the start of the program left it: addresses that do not change any more.
  for (const Part* part = program.dlpi_phdr; part != end; ++part) {
    if (part->p_type != PT_GNU_RELRO) continue;
    const Place place = PlaceOf(program, *part);
    if (mprotect(place.start, place.size, PROT_READ) != 0) return false;
  }
  return true;
}

// What prctl(2) has to be told beside the file: all of it as it is, which
// /proc/self/stat says, in fields that proc(5) counts from 1.
Result<prctl_mm_map> OwnMap() {
  const std::string text =
      TRY(runtime::kernel::ReadFile({AT_FDCWD, "/proc/self/stat"}));
  uint64_t fields[52] = {};
  // The second, a name in parentheses, may hold any character.
  const size_t name_end = text.rfind(") ");
  if (name_end == std::string::npos) return Error(EPROTO);
  const char* at = text.c_str() + name_end + 3;  // the third is a letter
  for (uint64_t* field = fields + 4; field != std::end(fields); ++field) {
    char* end = nullptr;
    *field = std::strtoull(at, &end, 10);
    if (end == at) return Error(EPROTO);
    at = end;
  }
  prctl_mm_map map = {};
  map.start_code = fields[26];
  map.end_code = fields[27];
  map.start_stack = fields[28];
  map.start_brk = fields[47];
  map.arg_start = fields[48];
  map.arg_end = fields[49];
  map.env_start = fields[50];
  map.env_end = fields[51];
  // But for this, which has to be below the heap, and is not where a program is
  // linked statically and lies anywhere. Only /proc tells it.
  map.start_data = map.end_data = map.start_brk - 1;
  return map;
}

// The kernel lets the file of a process be another once nothing of the first
// is mapped: EBUSY before.
bool ChangeFile(BorrowedFd view) {
  if (!kAlone) return false;
  const auto file = sys::Reopen(view, O_RDONLY);
  auto map = OwnMap();
  if (!file.ok() || !map.ok()) return false;
  map->exe_fd = file->get();
  const auto change = [&] {
    map->brk = reinterpret_cast<uint64_t>(sbrk(0));
    return prctl(PR_SET_MM, PR_SET_MM_MAP, &*map, sizeof(*map), 0);
  };
  if (change() == 0) return true;
  if (errno != EBUSY) return false;
  const auto leave = [](dl_phdr_info* program, size_t, void* fd) {
    const bool left = LeaveFile(*program, *static_cast<uint32_t*>(fd));
    return left ? 1 : -1;  // the first is the program itself
  };
  return dl_iterate_phdr(leave, &map->exe_fd) == 1 && change() == 0;
}

}  // namespace

void SealOwnProgram(const std::vector<std::string>& words) {
  struct statvfs st;
  if (statvfs("/proc/self/exe", &st) != 0 || (st.f_flag & ST_RDONLY) != 0)
    return;
  // EPERM without privilege: then the file is not the container's to write
  // either, unless it is the user's own.
  const auto view = sys::CloneMount("/proc/self/exe", /*read_only=*/true);
  if (!view.ok() || ChangeFile(*view)) return;
  const auto argv = runtime::kernel::PointersTo(words);
  execveat(view->get(), "", argv.data(), environ, AT_EMPTY_PATH);
}

}  // namespace ufs
