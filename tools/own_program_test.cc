#include "tools/own_program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"

namespace ufs {
namespace {

constexpr char kAgain[] = "UFS_TEST_STARTED_AGAIN";
constexpr int kStartedAgain = 100;
#if defined(__has_feature)
constexpr bool kSanitized =
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
// What was written before is still there, and can be written.
std::string text_of_the_program = "before";
int number_of_the_program = 1;

// 0, or where it went wrong.
int WhatIsWrong(bool again) {
  // No open for writing tells: that fails while it runs wherever it lies.
  struct statvfs st;
  if (statvfs("/proc/self/exe", &st) != 0 || (st.f_flag & ST_RDONLY) == 0)
    return 1;
  const auto maps =
      runtime::kernel::ReadFile({AT_FDCWD, "/proc/self/maps"}, 1 << 22);
  if (!maps.ok()) return 2;
  // A view has the file as its root.
  if (maps->find("own_program_test") != std::string::npos ||
      maps->find("tools_test") != std::string::npos)
    return 3;
  if (again) return 0;
  if (text_of_the_program != "after" || number_of_the_program != 2) return 4;
  number_of_the_program = 3;
  text_of_the_program = std::string(100, 'x');
  try {
    throw std::runtime_error("unwound");
  } catch (const std::exception& error) {
    if (error.what() != std::string("unwound")) return 5;
  }
  return getpid() == getppid() || number_of_the_program != 3 ? 6 : 0;
}

int InAChild(auto work) {
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = 0;
  waitpid(child, &status, 0);
  return runtime::kernel::ExitCodeOf(status);
}

// Where it is executed again, and only there.
int Expected() {
  unsigned size = 0;
  const bool can = prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) == 0;
  return can && !kSanitized ? 0 : kStartedAgain;
}

TEST(OwnProgramTest, CannotBeWrittenFromHereOn) {
  if (getenv(kAgain) != nullptr) {
    const int wrong = WhatIsWrong(true);
    _exit(wrong == 0 ? kStartedAgain : wrong);
  }
  if (!sys::CloneMount("/", false).ok()) GTEST_SKIP() << "not root";
  EXPECT_EQ(InAChild([] {
              text_of_the_program = "after";
              number_of_the_program = 2;
              setenv(kAgain, "1", 1);
              SealOwnProgram({"tools_test", "--gtest_filter=OwnProgramTest.*"});
              return WhatIsWrong(false);
            }),
            Expected());
}

TEST(OwnProgramTest, SecondTimeIsNothing) {
  if (getenv(kAgain) != nullptr) _exit(kStartedAgain);
  if (!sys::CloneMount("/", false).ok()) GTEST_SKIP() << "not root";
  EXPECT_EQ(InAChild([] {
              setenv(kAgain, "1", 1);
              SealOwnProgram({"tools_test", "--gtest_filter=OwnProgramTest.*"});
              SealOwnProgram({"tools_test", "--gtest_filter=OwnProgramTest.*"});
              return WhatIsWrong(true);
            }),
            Expected());
}

}  // namespace
}  // namespace ufs
