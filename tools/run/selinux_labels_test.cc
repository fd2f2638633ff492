#include "tools/run/selinux_labels.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace ufs {
namespace {

constexpr char kDefaults[] =
    "# as lxc_contexts\n"
    "process = \"system_u:system_r:container_t:s0\"\n"
    "content = \"system_u:object_r:virt_var_lib_t:s0\"\n"
    "file = \"system_u:object_r:container_file_t:s0\"\r\n"
    "; file = none\n";

LabelWish Wish(std::initializer_list<const char*> words) {
  LabelWish wish;
  for (const char* word : words) EXPECT_TRUE(AddLabelWish(word, wish).ok());
  return wish;
}

SelinuxLabels Combine(const LabelWish& wish, const char* defaults = kDefaults) {
  const auto labels = CombineLabels(defaults, "s0:c1,c2", wish);
  EXPECT_TRUE(labels.ok());
  return labels.ok() ? *labels : SelinuxLabels();
}

TEST(SelinuxLabels, AreThePolicysWithALevelOfTheirOwn) {
  const SelinuxLabels labels = Combine({});
  EXPECT_EQ(labels.process, "system_u:system_r:container_t:s0:c1,c2");
  EXPECT_EQ(labels.mount, "system_u:object_r:container_file_t:s0:c1,c2");
}

TEST(SelinuxLabels, ArePartlyAsWished) {
  // The level and the user are those of the files, too; the role is not.
  const SelinuxLabels labels =
      Combine(Wish({"user:u", "role:r", "type:t", "level:s1:c0.c3"}));
  EXPECT_EQ(labels.process, "u:r:t:s1:c0.c3");
  EXPECT_EQ(labels.mount, "u:object_r:container_file_t:s1:c0.c3");
  const SelinuxLabels files = Combine(Wish({"filetype:f"}));
  EXPECT_EQ(files.process, "system_u:system_r:container_t:s0:c1,c2");
  EXPECT_EQ(files.mount, "system_u:object_r:f:s0:c1,c2");
}

TEST(SelinuxLabels, HaveNoLevelWhereThePolicyHasNone) {
  const char* const defaults = "process=u:r:t\nfile = u:o:f";
  EXPECT_EQ(Combine({}, defaults).process, "u:r:t");
  EXPECT_EQ(Combine({}, defaults).mount, "u:o:f");
  EXPECT_EQ(Combine(Wish({"level:s0"}), defaults).process, "u:r:t:s0");
}

TEST(SelinuxLabels, MustBeNamed) {
  for (const char* defaults :
       {"", "process = u:r:t", "file = u:r:t", "process = u:r\nfile = u:r:t",
        "process = u::t\nfile = u:r:t", "xprocess = u:r:t\nfile = u:r:t"})
    EXPECT_EQ(CombineLabels(defaults, "s0", {}).code(), EINVAL) << defaults;
}

TEST(SelinuxLabels, WishesAreReadAndRefused) {
  EXPECT_TRUE(Wish({"disable"}).disable);
  EXPECT_FALSE(Wish({"disable"}).any());
  EXPECT_TRUE(Wish({"level:s0:c1"}).any());
  LabelWish wish;
  for (const char* wrong :
       {"", "disabled", "type", "type:", "nested", "kind:x"})
    EXPECT_EQ(AddLabelWish(wrong, wish).code(), EINVAL) << wrong;
}

}  // namespace
}  // namespace ufs
