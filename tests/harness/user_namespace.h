// The life of an ordinary user: a process without any privilege outside a user
// namespace of its own.
#pragma once

#include <sys/types.h>

#include <string>

namespace ufs::test {

// Which host ids the namespace shows as which: root inside is `outer_id`; with
// `range_count` ids from `range_start` as 1, 2, ... unless that is 0.
struct IdMap {
  id_t outer_id;
  id_t range_start = 0;
  id_t range_count = 0;
};

// The map an ordinary user gets here. As root: a made-up user with a made-up
// range. As anybody else: their own id, with their range of /etc/subuid where
// they have one and `one_id` does not forbid it.
IdMap OrdinaryUser(bool one_id);

// In the process that enters, still with its old privileges: puts a /dev/fuse
// that everybody may open over the real one, for this mount namespace only.
// Returns what went wrong, or "".
std::string ShowFuseDeviceToAll(const std::string& scratch);

// In the process that enters: becomes `outer_id` where it is root, then makes
// and enters user and mount namespaces. The maps must be written from outside
// next, and BecomeNamespaceRoot called after that.
std::string EnterUserNamespace(const IdMap& map);
std::string BecomeNamespaceRoot();

// From outside: gives the namespaces of `pid` their map.
std::string WriteIdMap(pid_t pid, const IdMap& map);

}  // namespace ufs::test
