#include "layerdb/tar_acl.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace ufs::tar {
namespace {

using namespace std::string_view_literals;

// user::rwx user:5:r-x group::r-- group:7:rw- mask::rwx other::---
constexpr std::string_view kValue =
    "\2\0\0\0"
    "\1\0\7\0\xff\xff\xff\xff"
    "\2\0\5\0\5\0\0\0"
    "\4\0\4\0\xff\xff\xff\xff"
    "\10\0\6\0\7\0\0\0"
    "\20\0\7\0\xff\xff\xff\xff"
    "\40\0\0\0\xff\xff\xff\xff"sv;

TEST(TarAcl, ReadsEachForm) {
  for (const std::string_view text : {
           // GNU tar, which says what the mask leaves of an entry
           "user::rwx\nuser:5:r-x\t#effective:r-x\ngroup::r--\ngroup:7:rw-\n"
           "mask::rwx\nother::---\n"sv,
           // star and libarchive: names, and numbers behind
           "user::rwx,user:lisa:r-x:5,group::r--,group:staff:rw-:7,mask::rwx,"
           "other::---"sv,
           // short, and in no order
           "o::---, m::rwx, g:7:rw, g::r, u:5:rx, u::rwx"sv,
       }) {
    const auto value = AclFromText(text);
    ASSERT_TRUE(value.ok()) << text << ": " << value.error().ToString();
    EXPECT_EQ(value->value, kValue) << text;
    EXPECT_EQ(value->mode, 0770u) << text;
  }
}

TEST(TarAcl, RootIsKnownByName) {
  const auto named =
      AclFromText("user::rwx,user:root:r--,group::---,mask::r--,other::---");
  const auto numbered =
      AclFromText("user::rwx,user:0:r--,group::---,mask::r--,other::---");
  ASSERT_TRUE(named.ok() && numbered.ok());
  EXPECT_EQ(named->value, numbered->value);
}

TEST(TarAcl, WhatAModeSaysIsNoAcl) {
  for (const std::string_view text : {"user::rw-,group::r--,other::r--", ""}) {
    const auto value = AclFromText(text);
    ASSERT_TRUE(value.ok());
    EXPECT_EQ(value->value, "");
  }
}

TEST(TarAcl, RefusesNonsense) {
  const std::string rest = ",group::r--,mask::rwx,other::r--";
  for (const std::string& text :
       {"user::rwx,user:lisa:r-x" + rest, "user::rwx,user:5:r?x" + rest,
        "user::rwx,user:5" + rest, "user::rwx,user:4294967295:r" + rest,
        "user::rwx,user:5:r,user:5:w" + rest, "user::rwx,all::r" + rest,
        "user::rwx,mask:5:r" + rest, "user:5:rwx" + rest, std::string(":::"),
        std::string("user::rwx,user:5:r,group::r,other::r")}) {
    EXPECT_EQ(AclFromText(text).code(), EBADMSG) << text;
  }
}

}  // namespace
}  // namespace ufs::tar
