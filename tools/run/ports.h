// Ports of the machine that lead into a container: -p of ufs run. Threads: any.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

struct PublishedPort {
  std::string address;  // of the machine, without brackets; empty: all of them
  uint16_t host = 0;    // 0: one that is free, see PickPorts
  uint16_t container = 0;
  bool udp = false;

  const char* protocol() const { return udp ? "udp" : "tcp"; }
  bool is_ipv6() const { return address.find(':') != address.npos; }
  std::string ToString()
      const;  // "127.0.0.1:8080->80/tcp", as docker prints it
};

// Of either kind, without brackets.
bool IsAddress(const std::string& text);

// "[IP:][HOST:]CONTAINER[/tcp|udp]", where both may be ranges "8000-8009".
// EINVAL, as a sentence.
Result<std::vector<PublishedPort>> ParsePublish(const std::string& text);

// The port of a container that an image exposes, "80[/tcp|udp]" or a range, to
// be published. EINVAL, as a sentence.
Result<std::vector<PublishedPort>> ParseExposed(const std::string& text);

// All of those but what is published already.
Status AddExposed(const std::vector<std::string>& exposed,
                  std::vector<PublishedPort>& ports);

// Finds a free port of the machine for each that names none. Nobody holds it
// until it is published.
Status PickPorts(std::vector<PublishedPort>& ports);

// A socket bound to it, which does not listen; why the machine does not let us
// have it, as a sentence.
Result<UniqueFd> BindPort(const PublishedPort& port);

}  // namespace ufs
