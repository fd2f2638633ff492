// What shows in a union: merging, whiteouts, opaque directories, names.
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness/union_test.h"

namespace ufs::test {
namespace {

using Merge = UnionTest;

TEST_F(Merge, DirectoriesOfAllLayersShowTogether) {
  Mount({
      Tree().File("d/one", "1").File("bottom", "b"),
      Tree().File("d/two", "2"),
      Tree().File("d/three", "3").File("top", "t"),
  });
  EXPECT_EQ(List("."), (Names{"bottom", "d", "top"}));
  EXPECT_EQ(List("d"), (Names{"one", "three", "two"}));
  EXPECT_EQ(ReadFile("d/one"), "1");
  EXPECT_EQ(ReadFile("d/two"), "2");
  EXPECT_EQ(ReadFile("d/three"), "3");
}

}  // namespace
}  // namespace ufs::test
