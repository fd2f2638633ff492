#include "runtime/programs.h"

#include <unistd.h>

namespace ufs::runtime {

std::string FindProgram(const char* name) {
  for (const char* directory : {"/usr/bin/", "/bin/", "/usr/local/bin/"}) {
    const std::string path = std::string(directory) + name;
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return "";
}

}  // namespace ufs::runtime
