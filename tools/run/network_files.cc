#include "tools/run/network_files.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"
#include "tools/run/host_gateway.h"
#include "tools/run/network.h"

namespace ufs {
namespace {

using Strings = std::vector<std::string>;
namespace kernel = runtime::kernel;

Status WriteWhole(const std::string& path, const std::string& text) {
  const UniqueFd file = TRY(
      sys::Open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644));
  return kernel::WriteAll(file, text);
}

std::string HostFile(const char* path) {
  auto text = kernel::ReadFile(path);
  return text.ok() ? std::move(text).value() : "";
}

std::string WithNewline(std::string text) {
  if (!text.empty() && text.back() != '\n') text += '\n';
  return text;
}

Result<std::string> HostsOf(const RunOptions& options,
                            const std::string& hostname) {
  std::string text = options.network == Network::kHost
                         ? WithNewline(HostFile("/etc/hosts"))
                         : "127.0.0.1\tlocalhost\n"
                           "::1\tlocalhost ip6-localhost ip6-loopback\n"
                           "127.0.1.1\t" +
                               hostname + "\n";
  for (std::string line : options.hosts) {
    if (line.starts_with(kHostGateway))
      line.replace(0, kHostGateway.size() - 1,
                   TRY(HostGateway(options.network)));
    text += line + "\n";
  }
  return text;
}

bool HasBlank(const std::string& text) {
  return text.find_first_of(" \t\n") != text.npos;
}

// "WORD a b" for each of `words`; nothing for none.
std::string LineOf(const char* word, const Strings& words) {
  std::string line;
  for (const std::string& one : words) line += " " + one;
  return line.empty() ? "" : word + line + "\n";
}

}  // namespace

std::string MakeResolvConf(const std::string& text, const RunOptions& options) {
  const auto is_replaced = [&](const std::string& line) {
    const std::string word = line.substr(0, line.find_first_of(" \t"));
    if (word == "nameserver") return !options.dns.empty();
    if (word == "search" || word == "domain")
      return !options.dns_search.empty();
    return word == "options" && !options.dns_options.empty();
  };
  std::string made;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    if (!is_replaced(line)) made += line + "\n";
    at = end + 1;
  }
  for (const std::string& address : options.dns)
    made += "nameserver " + address + "\n";
  Strings domains = options.dns_search;
  std::erase(domains, ".");
  return made + LineOf("search", domains) +
         LineOf("options", options.dns_options);
}

Strings NetworkFiles(const RunOptions& options) {
  Strings names = {"hosts", "hostname"};
  if (options.own_resolv_conf) names.emplace_back("resolv.conf");
  return names;
}

Status WriteNetworkFiles(const RunOptions& options,
                         const std::string& directory,
                         const std::string& hostname) {
  TRY(WriteWhole(directory + "/hostname", hostname + "\n"));
  TRY(WriteWhole(directory + "/hosts", TRY(HostsOf(options, hostname))));
  std::string resolv_conf =
      IsPrivate(options.network)
          ? std::string("nameserver ") + NameServerOf(options.network) + "\n"
          : HostFile("/etc/resolv.conf");
  resolv_conf = MakeResolvConf(resolv_conf, options);
  if (options.own_resolv_conf)
    TRY(WriteWhole(directory + "/resolv.conf", resolv_conf));
  for (const std::string& name : NetworkFiles(options))
    TRY(Relabel(directory + "/" + name, options.selinux.mount,
                /*shared=*/false));
  return Ok();
}

Result<std::string> ParseAddHost(const std::string& text) {
  const size_t sign = std::min(text.find_first_of(":="), text.size());
  const std::string name = text.substr(0, sign);
  std::string address = text.substr(std::min(sign + 1, text.size()));
  if (address.size() > 2 && address.front() == '[' && address.back() == ']')
    address = address.substr(1, address.size() - 2);
  const bool gateway = address + "\t" == kHostGateway;
  if (name.empty() || HasBlank(name) || !(gateway || IsAddress(address)))
    return Error(EINVAL, "--add-host '" + text +
                             "': not NAME:ADDRESS, nor NAME:host-gateway");
  return address + "\t" + name;
}

Status CheckNameServer(const std::string& text) {
  if (IsAddress(text)) return Ok();
  return Error(EINVAL, "--dns '" + text + "': is no address");
}

Status CheckWord(const char* option, const std::string& text,
                 const char* complaint) {
  if (!text.empty() && !HasBlank(text)) return Ok();
  return InvalidOption(option, text, complaint);
}

}  // namespace ufs
