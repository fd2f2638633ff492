// Result<T>: a value, or an Error that says which errno and, off the hot path,
// what was being done. TRY unwraps a Result or returns its Error from the
// enclosing function, so that straight-line code reads like its specification:
//
//   UniqueFd fd = TRY(sys::OpenAt(dir, "name", O_RDONLY));
//
// Threads: values, compatible with use by one thread at a time.
// An Error with no context allocates nothing: ENOENT is the commonest answer a
// filesystem gives.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace ufs {

class [[nodiscard]] Error {
 public:
  // REQUIRES: code > 0, an errno.
  explicit Error(int code) : code_(code) {}
  Error(int code, std::string context)
      : code_(code),
        explained_(true),
        context_(std::make_shared<const std::string>(std::move(context))) {}

  int code() const { return code_; }

  // What was being done; empty when nobody said.
  std::string_view context() const {
    return context_ ? std::string_view(*context_) : std::string_view();
  }

  // Whether its maker said in words what is wrong. Else a call failed, and the
  // context says only what was being done.
  bool explained() const { return explained_; }

  // Puts `context` in front of what is already there.
  Error With(std::string_view context) &&;

  // "context: No such file or directory", for a person.
  std::string ToString() const;

 private:
  int code_;
  bool explained_ = false;
  std::shared_ptr<const std::string> context_;  // null on the hot path
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return value_.has_value(); }
  explicit operator bool() const { return ok(); }

  // REQUIRES: ok().
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return std::move(*value_); }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

  // REQUIRES: !ok().
  const Error& error() const& { return error_; }
  Error&& error() && { return std::move(error_); }

  // 0, or the errno.
  int code() const { return ok() ? 0 : error_.code(); }

  Result With(std::string_view context) && {
    if (!ok()) error_ = std::move(error_).With(context);
    return std::move(*this);
  }

 private:
  std::optional<T> value_;
  Error error_{1};
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  void value() const {}
  const Error& error() const& { return *error_; }
  Error&& error() && { return std::move(*error_); }
  int code() const { return ok() ? 0 : error_->code(); }

  Result With(std::string_view context) && {
    if (!ok()) error_ = std::move(*error_).With(context);
    return std::move(*this);
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

inline Status Ok() { return {}; }

}  // namespace ufs

// The value of a Result, or return its Error. A GNU statement expression, which
// both compilers we build with have.
#define TRY(expression)                                       \
  ({                                                          \
    auto&& ufs_try_result = (expression);                     \
    if (!ufs_try_result.ok()) [[unlikely]]                    \
      return ::ufs::Error(std::move(ufs_try_result).error()); \
    std::move(ufs_try_result).value();                        \
  })
