// SharedLibrary: one that is loaded where it is used, and may not be installed.
// It stays loaded. Threads: any; loading one twice is the same one.
#pragma once

#include <dlfcn.h>

#include <type_traits>

namespace ufs {

class SharedLibrary {
 public:
  explicit SharedLibrary(const char* name)
      : handle_(dlopen(name, RTLD_NOW | RTLD_LOCAL)) {}

  bool loaded() const { return handle_ != nullptr; }
  // Whether it has the function; null if not. REQUIRES: loaded().
  template <typename Function>
  bool Find(const char* name, Function*& function) const {
    static_assert(std::is_function_v<Function>);
    function = reinterpret_cast<Function*>(dlsym(handle_, name));
    return function != nullptr;
  }

 private:
  void* const handle_;
};

}  // namespace ufs
