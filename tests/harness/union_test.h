// UnionTest is the fixture of every test that works in a mounted union:
//
//   TEST_F(Remove, LowerFileStaysAway) {
//     Mount({Tree().File("a")});
//     EXPECT_OK(unlink("a"));
//     Remount();
//     EXPECT_FALSE(Exists("a"));
//   }
//
// Mount makes the layers, mounts the subject of this run over them and makes
// the union's root the working directory, so that a test names files as a user
// would. Afterwards the fixture unmounts and fails the test when a lower layer
// is not what it was, a daemon stays, or the watchdog had to step in.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "layerdb/base/unique_fd.h"
#include "tests/harness/expect.h"
#include "tests/harness/files.h"
#include "tests/harness/posix_xattr.h"
#include "tests/harness/process.h"
#include "tests/harness/snapshot.h"
#include "tests/harness/subject.h"
#include "tests/harness/tree.h"

namespace ufs::test {

// Documented faults of overlayfs: full test name to reason. Tests listed here
// are skipped on the subject overlay, unless `run_them`.
void SetOverlayFaults(std::map<std::string, std::string> faults, bool run_them);

// Lets a failed ASSERT end the test even from inside a helper. To be appended
// to the listeners of the process.
class ThrowOnFatalFailure : public testing::EmptyTestEventListener {
  void OnTestPartResult(const testing::TestPartResult& result) override;
};

class UnionTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // `lowers` from bottom to top. The upper is new and empty.
  void Mount(std::vector<Tree> lowers, const std::string& options = "");
  // With an upper that already has content, as an earlier mount left it.
  void MountOnUpper(std::vector<Tree> lowers, const Tree& upper,
                    const std::string& options = "");
  void MountReadOnly(std::vector<Tree> lowers, const std::string& options = "");
  // Unmounts and mounts again, with the working directory back in the root.
  void Remount();
  void Unmount();
  void MountAgain();  // after Unmount

  // Where the upper keeps `path` on disk. "" on the plain subject, which has
  // none.
  std::string Upper(const std::string& path) const;
  std::string Lower(size_t layer, const std::string& path) const;
  const std::string& root() const { return plan_.mountpoint; }
  // A directory outside the union, on the same disk.
  std::string Outside(const std::string& path) const;

  // The whole union has the content that `expected` declares.
  void ExpectUnionIs(const Tree& expected);

  // A test may need more than the usual 30 seconds.
  void Deadline(int seconds);
  // The lowers are large: do not compare them file by file at the end.
  void TrustLowers() { trust_lowers_ = true; }

  static bool is_plain() { return TheSubject().is_plain(); }
  static bool is_overlay() { return TheSubject().is_overlay(); }
  static bool is_ufs() { return TheSubject().is_ufs(); }
  static bool has_layers() { return !is_plain(); }

 private:
  void BuildLayers(const std::vector<Tree>& lowers, const Tree* upper);
  void ExpectNoProcessLeft();

  std::string dir_;
  MountPlan plan_;
  MountedSubject mounted_;
  std::vector<Snapshot> lowers_before_;
  bool trust_lowers_ = false;
};

}  // namespace ufs::test

// Each says why a case has no meaning on a subject.
#define SKIP_ON_PLAIN(reason) \
  if (::ufs::test::TheSubject().is_plain()) GTEST_SKIP() << "plain: " << reason
#define SKIP_ON_OVERLAY(reason)               \
  if (::ufs::test::TheSubject().is_overlay()) \
  GTEST_SKIP() << "overlay: " << reason
#define NEEDS_REAL_ROOT(reason)                    \
  if (::ufs::test::TheSubject().in_user_namespace) \
  GTEST_SKIP() << "in a user namespace: " << reason
#define NEEDS_WRITES_AT_ONCE(reason)         \
  if (::ufs::test::TheSubject().writes_late) \
  GTEST_SKIP() << "the kernel keeps writes: " << reason
#define NEEDS_DIRECTORY_LAYERS(reason)  \
  if (::ufs::test::TheSubject().sealed) \
  GTEST_SKIP() << "hashed layers: " << reason
// The case deals with files of several users.
#define NEEDS_SEVERAL_IDS()             \
  if (::ufs::test::TheSubject().one_id) \
  GTEST_SKIP() << "only one id is mapped in this user namespace"
