#include "tests/harness/union_test.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/harness/scratch_dir.h"
#include "tests/harness/supervisor.h"

namespace ufs::test {
namespace {

constexpr int kSecondsPerTest = 30;

std::map<std::string, std::string> overlay_faults;
bool run_overlay_faults = false;

std::string TestName() {
  const testing::TestInfo* info =
      testing::UnitTest::GetInstance()->current_test_info();
  return std::string(info->test_suite_name()) + "." + info->name();
}

void MakeDir(const std::string& path) {
  ASSERT_EQ(::mkdir(path.c_str(), 0755), 0) << path << ": " << strerror(errno);
}

}  // namespace

void SetOverlayFaults(std::map<std::string, std::string> faults,
                      bool run_them) {
  overlay_faults = std::move(faults);
  run_overlay_faults = run_them;
}

void ThrowOnFatalFailure::OnTestPartResult(
    const testing::TestPartResult& result) {
  if (result.type() == testing::TestPartResult::kFatalFailure) {
    throw testing::AssertionException(result);
  }
}

void UnionTest::SetUp() {
  TheWatchBoard().Arm(TestName(), kSecondsPerTest);
  if (is_overlay() && !run_overlay_faults) {
    auto fault = overlay_faults.find(TestName());
    if (fault != overlay_faults.end()) {
      GTEST_SKIP() << "fault of overlayfs: " << fault->second;
    }
  }
  static int count = 0;
  dir_ = ScratchRoot() + "/" + std::to_string(++count);
  MakeDir(dir_);
  MakeDir(dir_ + "/outside");
  // Until something is mounted, relative names must not mean anything real.
  ASSERT_OK(::chdir((dir_ + "/outside").c_str()));
  ::umask(022);
}

void UnionTest::TearDown() {
  if (dir_.empty()) return;
  if (mounted_.mounted()) Unmount();
  EXPECT_FALSE(TheWatchBoard().fired)
      << "the test hung; its FUSE connection was aborted to free it";
  for (size_t i = 0; i < lowers_before_.size(); ++i) {
    EXPECT_TRUE(lowers_before_[i].SameAs(
        Snapshot::Take(plan_.lowers[i], Snapshot::Detail::kUnchanged)))
        << "lower layer " << i << " was changed";
  }
  EXPECT_OK(::chdir(ScratchRoot().c_str()));
  EXPECT_TRUE(RemoveTree(dir_)) << "cannot remove all of " << dir_;
  TheWatchBoard().Disarm();
}

void UnionTest::Mount(std::vector<Tree> lowers, const std::string& options) {
  MountOnUpper(std::move(lowers), Tree(), options);
}

void UnionTest::MountOnUpper(std::vector<Tree> lowers, const Tree& upper,
                             const std::string& options) {
  plan_.options = options;
  BuildLayers(lowers, &upper);
  MountAgain();
}

void UnionTest::MountReadOnly(std::vector<Tree> lowers,
                              const std::string& options) {
  // overlayfs without an upper wants two layers at least.
  if (lowers.size() == 1) lowers.insert(lowers.begin(), Tree());
  plan_.options = options;
  BuildLayers(lowers, nullptr);
  MountAgain();
}

void UnionTest::BuildLayers(const std::vector<Tree>& lowers,
                            const Tree* upper) {
  plan_.mountpoint = dir_ + "/mnt";
  MakeDir(plan_.mountpoint);
  if (upper != nullptr) {
    plan_.upper = dir_ + "/upper";
    plan_.work = dir_ + "/upper.work";
  }
  if (is_plain()) {
    plan_.merged = dir_ + "/merged";
    MakeDir(plan_.merged);
    std::vector<Tree> layers = lowers;
    if (upper != nullptr) layers.push_back(*upper);
    ASSERT_TRUE(Tree::Merge(layers).Build(plan_.merged));
    return;
  }
  for (size_t i = 0; i < lowers.size(); ++i) {
    plan_.lowers.push_back(dir_ + "/l" + std::to_string(i));
    MakeDir(plan_.lowers.back());
    ASSERT_TRUE(lowers[i].Build(plan_.lowers.back()));
  }
  if (upper != nullptr) {
    MakeDir(plan_.upper);
    if (is_overlay()) MakeDir(plan_.work);
    ASSERT_TRUE(upper->Build(plan_.upper));
  }
  if (trust_lowers_) return;
  for (const std::string& lower : plan_.lowers) {
    lowers_before_.push_back(
        Snapshot::Take(lower, Snapshot::Detail::kUnchanged));
  }
}

void UnionTest::MountAgain() {
  std::optional<std::string> failure = mounted_.Mount(plan_);
  ASSERT_FALSE(failure) << *failure;
  if (is_ufs()) {
    TheWatchBoard().connection = FuseConnectionOf(plan_.mountpoint);
    ASSERT_NE(TheWatchBoard().connection, 0u)
        << plan_.mountpoint << " is no FUSE mount after `ufs mount`";
  }
  ASSERT_OK(::chdir(plan_.mountpoint.c_str()));
}

void UnionTest::Unmount() {
  ASSERT_OK(::chdir((dir_ + "/outside").c_str()));
  std::optional<std::string> failure = mounted_.Unmount();
  ASSERT_FALSE(failure) << *failure;
  if (is_ufs()) ExpectNoProcessLeft();
}

void UnionTest::Remount() {
  Unmount();
  MountAgain();
}

std::string UnionTest::Upper(const std::string& path) const {
  if (is_plain()) return "";
  return path.empty() ? plan_.upper : plan_.upper + "/" + path;
}

std::string UnionTest::Lower(size_t layer, const std::string& path) const {
  return plan_.lowers[layer] + "/" + path;
}

std::string UnionTest::Outside(const std::string& path) const {
  return dir_ + "/outside/" + path;
}

void UnionTest::ExpectUnionIs(const Tree& expected) {
  const std::string model = Outside("expected");
  MakeDir(model);
  ASSERT_TRUE(expected.Build(model));
  EXPECT_TRUE(Snapshot::Take(model, Snapshot::Detail::kContent)
                  .SameAs(Snapshot::Take(root(), Snapshot::Detail::kContent)));
  EXPECT_TRUE(RemoveTree(model));
}

void UnionTest::Deadline(int seconds) { TheWatchBoard().Extend(seconds); }

// This process is the init of its pid namespace, so that a daemon is its child
// by now. The daemon may take a moment to leave after the unmount.
void UnionTest::ExpectNoProcessLeft() {
  for (int i = 0; i < 1000; ++i) {
    pid_t pid = ::waitpid(-1, nullptr, WNOHANG);
    if (pid < 0 && errno == ECHILD) return;
    if (pid > 0) continue;
    ::usleep(10000);
  }
  ADD_FAILURE() << "a process still runs 10 s after the unmount";
}

}  // namespace ufs::test
