// The model test: random operations on a union, on a plain directory and on a
// model of what Linux does, which must agree. See tests/README.md.
#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>

#include <chrono>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <string_view>

#include "tests/harness/subject.h"
#include "tests/harness/supervisor.h"
#include "tests/model/program.h"
#include "tests/model/runner.h"
#include "tests/model/shrink.h"
#include "tests/model/storm.h"

namespace ufs::model {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kUsage[] =
    "usage: model_test --subject=NAME [--seed=N] [--count=N] [--ops=N]\n"
    "                  [--minutes=N] [--shrink=SECONDS] [--drop-caches]\n"
    "       model_test --subject=NAME --replay=FILE [--shrink=SECONDS]\n"
    "  --subject=NAME  plain, ufs-root-classic, ufs-root-uring,\n"
    "                  ufs-root-writeback, ufs-root-passthrough or ufs-user\n"
    "  --seed=N        the first of --count seeds (1 of 4), after which one\n"
    "                  comes that was never used; with --seed, that one alone\n"
    "  --minutes=N     seeds that were never used, for so long\n"
    "  --ops=N         operations of each thread (400)\n"
    "  --replay=FILE   what a failure printed\n"
    "  --shrink=N      how long a failure may be shrunk (120)\n"
    "  --drop-caches   now and then the machine's caches are dropped (root)\n"
    "The subjects of ufs need UFS_BIN, the path of the program. Directories "
    "are\n"
    "made in UFS_TEST_DIR, or in /var/tmp.\n";

struct Options {
  std::string subject;
  std::optional<uint64_t> seed;
  uint64_t count = 4;
  int ops = 400;
  int minutes = 0;
  int shrink_seconds = 120;
  bool drop_caches = false;
  std::string replay;
};

int Usage() {
  fputs(kUsage, stderr);
  return 2;
}

// `--name=VALUE` with a number that is all of the value.
template <typename T>
bool Number(std::string_view argument, std::string_view name, T* value) {
  if (!argument.starts_with(name)) return false;
  const std::string text(argument.substr(name.size()));
  char* end = nullptr;
  *value = static_cast<T>(strtoull(text.c_str(), &end, 10));
  return !text.empty() && *end == 0;
}

bool Parse(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    uint64_t seed = 0;
    if (argument.starts_with("--subject=")) {
      options->subject = argument.substr(10);
    } else if (argument.starts_with("--replay=")) {
      options->replay = argument.substr(9);
    } else if (argument == "--drop-caches") {
      options->drop_caches = true;
    } else if (Number(argument, "--seed=", &seed)) {
      options->seed = seed;
    } else if (!Number(argument, "--count=", &options->count) &&
               !Number(argument, "--ops=", &options->ops) &&
               !Number(argument, "--minutes=", &options->minutes) &&
               !Number(argument, "--shrink=", &options->shrink_seconds)) {
      return false;
    }
  }
  return true;
}

// Prints the failure and the smallest script that still has it. Returns the
// exit status.
int Report(const Options& options, const Script& script,
           const RunResult& result) {
  if (result.failure.empty()) return 0;
  printf("FAILED\n%s", result.failure.c_str());
  fflush(stdout);
  if (options.shrink_seconds > 0) {
    const Script small = Shrink(script, result.kind,
                                std::chrono::seconds(options.shrink_seconds));
    const RunResult again = RunScript(small);
    printf(
        "\nshrunk to\n%s\nof which came %s\nTo run it again: --replay=FILE\n",
        small.ToText().c_str(),
        again.failure.empty() ? "nothing, this time" : again.failure.c_str());
  } else {
    printf("\n%s", script.ToText().c_str());
  }
  return 1;
}

int RunOneSeed(const Options& options, uint64_t seed) {
  printf("seed %llu\n", static_cast<unsigned long long>(seed));
  fflush(stdout);
  Script script;
  const RunResult result =
      RunSeed({seed, options.ops, options.drop_caches}, &script);
  if (int status = Report(options, script, result)) return status;
  const std::string wrong = RunStorm(seed, options.ops);
  if (!wrong.empty()) printf("FAILED in the storm\n%s", wrong.c_str());
  return wrong.empty() ? 0 : 1;
}

int Replay(const Options& options) {
  std::ifstream in(options.replay);
  std::stringstream text;
  text << in.rdbuf();
  std::string error = in ? "" : "cannot be read";
  const auto script = Script::FromText(text.str(), &error);
  if (!script) {
    fprintf(stderr, "%s: %s\n", options.replay.c_str(), error.c_str());
    return 2;
  }
  return Report(options, *script, RunScript(*script));
}

int RunTests(const Options& options) {
  std::random_device fresh;
  if (options.minutes > 0) {
    const auto end = Clock::now() + std::chrono::minutes(options.minutes);
    while (Clock::now() < end)
      if (int status = RunOneSeed(options, fresh())) return status;
    return 0;
  }
  const uint64_t first = options.seed.value_or(1);
  for (uint64_t i = 0; i < options.count; ++i)
    if (int status = RunOneSeed(options, first + i)) return status;
  return options.seed ? 0 : RunOneSeed(options, fresh());
}

int Main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  Options options;
  if (!Parse(argc, argv, &options)) return Usage();
  const auto subject = test::Subject::Named(options.subject);
  if (!subject || subject->is_overlay() || subject->one_id || subject->sealed)
    return Usage();
  if (subject->is_ufs() && ::getenv("UFS_BIN") == nullptr) {
    printf("skipped: UFS_BIN is not set\n");
    return test::kExitSkipped;
  }
  ProgramBytes();
  test::SetTheSubject(*subject);
  return test::Supervise(*subject, [&] {
    return options.replay.empty() ? RunTests(options) : Replay(options);
  });
}

}  // namespace
}  // namespace ufs::model

int main(int argc, char** argv) { return ufs::model::Main(argc, argv); }
