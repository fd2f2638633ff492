// Text that somebody else has made, for a terminal. Threads: any.
#pragma once

#include <string>
#include <string_view>

namespace ufs {

// Control characters, those of eight bits (in UTF-8) too, as \ooo, so that a
// terminal obeys none; but those in `kept`.
std::string Printable(std::string_view text, std::string_view kept = "\n\t");

}  // namespace ufs
