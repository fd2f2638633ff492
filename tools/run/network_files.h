// The files of a container that belong to the place it runs in, not to its
// image: /etc/hosts, /etc/hostname, /etc/resolv.conf. Threads: any.
#pragma once

#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "tools/run/options.h"

namespace ufs {

// Those that it gets, by their names in /etc.
std::vector<std::string> NetworkFiles(const RunOptions& options);

// Writes them to `directory`, by these names.
Status WriteNetworkFiles(const RunOptions& options,
                         const std::string& directory,
                         const std::string& hostname);

// "NAME:ADDRESS" or "NAME=ADDRESS" of --add-host as a line of /etc/hosts.
Result<std::string> ParseAddHost(const std::string& text);
Status CheckNameServer(const std::string& text);
// Of an option that goes into a line of a file.
Status CheckWord(const char* option, const std::string& text,
                 const char* complaint = "takes one word");

// /etc/resolv.conf with what was asked for in the place of what `text` says of
// the same: name servers, domains to search (a dot: none), options.
std::string MakeResolvConf(const std::string& text, const RunOptions& options);

}  // namespace ufs
