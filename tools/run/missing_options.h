// What people know from docker and podman, and ufs does not have.
#pragma once

#include <string>
#include <string_view>

namespace ufs {

// "--privileged is not supported; ...", with what to use instead, for a word of
// the command line that asks for such; empty for another.
std::string NotSupported(const std::string& word);

// The same for all words of another verb, the first of which is its name.
std::string NotSupported(std::string_view verb, int argc, char** argv);

// The same for a verb; empty for one that they have not either.
std::string VerbNotSupported(std::string_view verb);

}  // namespace ufs
