// Which CLONE_ flag and which file of /proc/PID/ns a namespace type is.
#pragma once

#include <optional>
#include <string_view>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/spec.h"

namespace ufs::runtime {

inline constexpr NamespaceType kAllNamespaces[] = {
    NamespaceType::kUser,    NamespaceType::kMount, NamespaceType::kPid,
    NamespaceType::kNetwork, NamespaceType::kUts,   NamespaceType::kIpc,
    NamespaceType::kCgroup,  NamespaceType::kTime};

int CloneFlagOf(NamespaceType type);
const char* ProcNameOf(NamespaceType type);  // "net"
const char* OciNameOf(NamespaceType type);   // "network"
std::optional<NamespaceType> ParseOciName(std::string_view name);

// Whether this process lives in the first user namespace of the machine.
bool InInitialUserNamespace();

// Joins the namespaces of `spec` that have a path. A file that is no namespace
// of the type it is named for is refused.
Status JoinNamespaces(const ContainerSpec& spec);

// Joins every namespace of the process behind `pidfd` that is not ours already.
Status JoinProcess(pid_t pid, BorrowedFd pidfd);

}  // namespace ufs::runtime
