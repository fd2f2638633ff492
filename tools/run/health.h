// Whether a container does what it is there for, by docker's rules: what is
// asked, and what follows from the answers. Threads: any.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "layerdb/base/json_reader.h"
#include "layerdb/base/result.h"
#include "layerdb/image_manifest.h"
#include "tools/print_json.h"

namespace ufs {

struct HealthCheck {
  using Duration = std::chrono::milliseconds;

  std::vector<std::string> command;  // empty: there is none
  Duration interval{30'000};
  Duration timeout{30'000};
  // For so long a container that has not been healthy yet may fail.
  Duration start_period{0};
  Duration start_interval{5'000};  // in place of the interval then
  int retries = 3;                 // failures in a row that make it unhealthy

  bool wanted() const { return !command.empty(); }
  Json ToJson() const;
  Status Read(const JsonReader& json);
};

// What options say of it; where they say nothing, the image.
struct HealthOptions {
  bool none = false;  // --no-healthcheck
  std::string shell;  // --health-cmd, for sh -c; empty: not said
  std::optional<HealthCheck::Duration> interval, timeout, start_period,
      start_interval;
  std::optional<int> retries;

  bool any() const {
    return !shell.empty() || interval || timeout || start_period ||
           start_interval || retries;
  }
};

// EINVAL, as a sentence: there is nothing to run, or an image's words mean
// nothing.
Result<HealthCheck> CombineHealth(const HealthOptions& options,
                                  const ImageHealthcheck& image);

struct HealthProbe {
  std::string start, end;  // RFC 3339
  int exit_code = 0;       // -1: it took too long, or could not be run
  std::string output;      // the first of it
};

class Health {
 public:
  // "starting", "healthy", "unhealthy".
  const std::string& status() const { return status_; }

  // One more answer; `young`: the start period is not over.
  void Add(HealthProbe probe, bool young, int retries);

  Json ToJson() const;
  static Result<Health> FromJson(const JsonReader& json);

 private:
  std::string status_ = "starting";
  int failing_streak_ = 0;
  std::deque<HealthProbe> log_;  // the last five
};

}  // namespace ufs
