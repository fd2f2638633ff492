// Starting slirp4netns and pasta, and waiting until they serve.
// Threads: in a process with one thread.
#pragma once

#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/kernel.h"
#include "tools/run/ports.h"

namespace ufs {

// A helper that was started; one that does not get ready is ended.
class NetworkHelper {
 public:
  // Runs `program` of the host, with `words` as its arguments, in `directory`,
  // with `fds` as its descriptors 3 and following and nothing else of ours.
  static Result<NetworkHelper> Start(const std::string& program,
                                     std::vector<std::string> words,
                                     const std::string& directory,
                                     const std::vector<int>& fds);
  NetworkHelper(NetworkHelper&&) = default;
  NetworkHelper& operator=(NetworkHelper&&) = delete;
  ~NetworkHelper();

  // Until it writes to the other end of `ready`. EIO, with what it said.
  Status Await(BorrowedFd ready);

  // Lets it run.
  runtime::kernel::Child Release();

 private:
  NetworkHelper() = default;

  std::string program_;
  runtime::kernel::Child child_;
  UniqueFd errors_;  // a file in memory: its standard error
};

// The two, each with its ports, of TCP; see ConnectNetwork.
Result<runtime::kernel::Child> ConnectBySlirp4netns(
    BorrowedFd network, const std::vector<PublishedPort>& ports,
    const std::string& directory);
Result<runtime::kernel::Child> ConnectByPasta(
    BorrowedFd network, const std::vector<PublishedPort>& ports,
    const std::string& directory, bool host_gateway);

}  // namespace ufs
