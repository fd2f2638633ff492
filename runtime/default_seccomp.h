// The filter that containers get unless they ask for another: everything is
// allowed but what reaches past the container, and that too for who has the
// capability it belongs to. The list is the one that
// https://docs.docker.com/engine/security/seccomp/ gives as blocked, as a list
// of what is denied; with TIOCSTI and TIOCLINUX, which type into a terminal.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

namespace ufs::runtime {

// A "linux.seccomp" object. `capabilities` is a set as in spec.h.
nlohmann::ordered_json DefaultSeccomp(uint64_t capabilities);

}  // namespace ufs::runtime
