// The names, targets and sizes that random trees and operations draw from: few,
// so that operations meet, and among them those that are hard to get right.
#pragma once

#include <iterator>
#include <random>
#include <string>

#include "tests/harness/subject.h"

namespace ufs::model {

// A well-formed value of security.capability: cap_net_raw, permitted.
inline const std::string kCapability(
    "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00",
    20);

// Whether the subject may make devices and trusted attributes.
inline bool Privileged() { return !test::TheSubject().in_user_namespace; }

// A name for a layer: none that is itself a mark of some whiteout format.
inline std::string RandomLayerName(std::mt19937_64& random) {
  constexpr const char* kPlain[] = {"a", "b", "c", "d", "e", "f"};
  if (random() % 12 != 0) return kPlain[random() % std::size(kPlain)];
  constexpr const char* kOdd[] = {"a_HIDDEN~", "\xff\xfe\x01", "two words",
                                  "..."};
  size_t odd = random() % (std::size(kOdd) + 1);
  return odd == std::size(kOdd) ? std::string(255, 'n') : kOdd[odd];
}

// A name for an operation: through the mount, every name is an ordinary one.
inline std::string RandomName(std::mt19937_64& random) {
  constexpr const char* kMarks[] = {".wh.a", ".wh..wh..opq", ".wh..wh.plnk"};
  if (random() % 40 == 0) return kMarks[random() % std::size(kMarks)];
  return RandomLayerName(random);
}

inline std::string RandomTarget(std::mt19937_64& random) {
  constexpr const char* kTargets[] = {"a",  "b",    "../a", "./b",
                                      "/a", "/b/c", "c/d",  "nowhere",
                                      "..", "d",    "/",    "f/../a"};
  return kTargets[random() % std::size(kTargets)];
}

inline std::string RandomXattrName(std::mt19937_64& random) {
  constexpr const char* kNames[] = {"user.a", "user.b", "user.longer_name",
                                    "trusted.t"};
  return kNames[random() % (std::size(kNames) - (Privileged() ? 0 : 1))];
}

}  // namespace ufs::model
