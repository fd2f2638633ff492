// Users of the host: whoever runs us, above all. By /etc/passwd, and for those
// who are not in it (LDAP, sssd, systemd-homed) by getent(1), which knows all
// that the host knows: libc's own way to them, plug-ins, is closed to programs
// that are linked statically. Threads: any.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "runtime/user_db.h"

namespace ufs::runtime {

// Nothing where nobody knows the user. By other files for tests; without a
// `getent` by the host's.
std::optional<PasswdEntry> FindHostUser(
    uid_t uid, const std::string& passwd = "/etc/passwd",
    std::string getent = "");

}  // namespace ufs::runtime
