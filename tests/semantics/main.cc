// The semantics of a union, told as several hundred small stories and run on
// plain ext4, on kernel overlayfs and on ufs. See tests/README.md.
#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <string>

#include "tests/harness/subject.h"
#include "tests/harness/supervisor.h"
#include "tests/harness/union_test.h"
#include "tests/semantics/overlay_faults.h"

namespace ufs::test {
namespace {

constexpr char kUsage[] =
    "usage: semantics_test --subject=NAME [--check-faults] [gtest flags]\n"
    "  --subject=NAME   what to test; one of:%s\n"
    "  --check-faults   run only the listed faults of overlayfs, and succeed\n"
    "                   when every one of them still is one\n"
    "The subjects of ufs need UFS_BIN, the path of the program. Directories "
    "are\n"
    "made in UFS_TEST_DIR, or in /var/tmp.\n";

int Usage() {
  std::string names;
  for (const Subject& subject : Subject::All()) names += " " + subject.name;
  fprintf(stderr, kUsage, names.c_str());
  return 2;
}

int RunTests() {
  testing::UnitTest::GetInstance()->listeners().Append(new ThrowOnFatalFailure);
  return RUN_ALL_TESTS();
}

// A fault that has gone would otherwise stay in the list, and hide a test.
int CheckFaults(const Subject& subject) {
  int gone = 0;
  SetOverlayFaults(OverlayFaults(), /*run_them=*/true);
  for (const auto& [name, reason] : OverlayFaults()) {
    testing::GTEST_FLAG(filter) = name;
    int result = Supervise(subject, [] {
      // A name that no test has would fail every time, and never be noticed.
      int status = RunTests();
      return testing::UnitTest::GetInstance()->test_to_run_count() == 1 ? status
                                                                        : 0;
    });
    if (result == kExitSkipped) return result;
    if (result == 0) {
      printf("FAULT IS GONE, or is no test: %s (%s)\n", name.c_str(),
             reason.c_str());
      ++gone;
    }
  }
  printf("%zu faults listed, %d gone\n", OverlayFaults().size(), gone);
  return gone == 0 ? 0 : 1;
}

int Main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::string name;
  bool check_faults = false;
  for (int i = 1; i < argc; ++i) {
    if (strncmp(argv[i], "--subject=", 10) == 0) {
      name = argv[i] + 10;
    } else if (strcmp(argv[i], "--check-faults") == 0) {
      check_faults = true;
    } else {
      return Usage();
    }
  }
  if (testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
  std::optional<Subject> subject = Subject::Named(name);
  if (!subject) return Usage();
  if (subject->is_ufs() && ::getenv("UFS_BIN") == nullptr) {
    printf("skipped: UFS_BIN is not set\n");
    return kExitSkipped;
  }
  SetTheSubject(*subject);
  if (check_faults) return CheckFaults(*subject);
  SetOverlayFaults(OverlayFaults(), /*run_them=*/false);
  return Supervise(*subject, RunTests);
}

}  // namespace
}  // namespace ufs::test

int main(int argc, char** argv) { return ufs::test::Main(argc, argv); }
