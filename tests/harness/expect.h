// Assertions on system calls. EXPECT_OK(unlink("a")) and
// EXPECT_ERRNO(ENOENT, unlink("a")) read as the call a program would make, and
// a failure names the errno that came back.
#pragma once

#include <errno.h>
#include <gtest/gtest.h>
#include <string.h>

#include <string>

namespace ufs::test {

// A return value together with the errno that belongs to it, taken before any
// other call can overwrite it.
struct CallResult {
  long value;
  int error;
};

inline CallResult Catch(long value) { return {value, value == -1 ? errno : 0}; }

// The errno of a call, or 0. For bodies that run in another process and can
// report one small number only.
inline int ErrnoOf(long value) { return value == -1 ? errno : 0; }

inline std::string ErrnoName(int error) {
  if (error == 0) return "success";
  const char* name = strerrorname_np(error);
  return name ? name : "errno " + std::to_string(error);
}

inline testing::AssertionResult IsOk(const char* text, const CallResult& r) {
  if (r.value != -1) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << text << " failed with " << ErrnoName(r.error) << " ("
         << strerror(r.error) << ")";
}

inline testing::AssertionResult FailsWith(const char*, const char* text,
                                          int expected, const CallResult& r) {
  if (r.value == -1 && r.error == expected) return testing::AssertionSuccess();
  auto failure = testing::AssertionFailure()
                 << text << " should fail with " << ErrnoName(expected);
  if (r.value == -1)
    return failure << ", but failed with " << ErrnoName(r.error);
  return failure << ", but returned " << r.value;
}

}  // namespace ufs::test

#define EXPECT_OK(call) \
  EXPECT_PRED_FORMAT1(::ufs::test::IsOk, ::ufs::test::Catch(call))
#define ASSERT_OK(call) \
  ASSERT_PRED_FORMAT1(::ufs::test::IsOk, ::ufs::test::Catch(call))
#define EXPECT_ERRNO(expected, call)                         \
  EXPECT_PRED_FORMAT2(::ufs::test::FailsWith, int{expected}, \
                      ::ufs::test::Catch(call))
#define ASSERT_ERRNO(expected, call)                         \
  ASSERT_PRED_FORMAT2(::ufs::test::FailsWith, int{expected}, \
                      ::ufs::test::Catch(call))
// Errno values that come back as plain numbers, from another process.
#define EXPECT_ERRNO_EQ(expected, actual) \
  EXPECT_EQ(::ufs::test::ErrnoName(expected), ::ufs::test::ErrnoName(actual))
