#include "tests/model/runner.h"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "tests/harness/supervisor.h"
#include "tests/model/generator.h"
#include "tests/model/lane.h"
#include "tests/model/session.h"

namespace ufs::model {
namespace {

constexpr int kSecondsPerStep = 40;  // other work may have the machine

// The next operation of a lane, or nothing at its end.
using NextOp = std::function<std::optional<Op>(const PosixModel&)>;

class Run {
 public:
  Run(const std::vector<LayerSpec>& layers, WhiteoutStyle whiteouts,
      size_t lanes)
      : session_(layers, whiteouts),
        merged_(Merge(layers)),
        remounts_(static_cast<ptrdiff_t>(lanes), Completion{this}) {}

  RunResult Go(const Script& script, const std::vector<NextOp>& next) {
    if (std::string error = session_.Mount(); !error.empty())
      return {"mount: " + error, "mount"};
    std::vector<std::thread> threads;
    for (size_t i = 0; i < next.size(); ++i)
      threads.emplace_back([&, i] { RunLane(i, script.PrefixOf(i), next[i]); });
    for (std::thread& thread : threads) thread.join();
    if (test::TheWatchBoard().fired)
      Fail("it hung; its FUSE connection was aborted\n", "hang");
    if (std::string error = session_.Unmount(); !error.empty())
      Fail("unmount: " + error + "\n", "unmount");
    if (std::string error = session_.CheckLowers(); !error.empty())
      Fail(error + "\n", "lowers");
    return result_;
  }

 private:
  // When all lanes wait for a remount, one of them does it.
  struct Completion {
    Run* run;
    void operator()() noexcept {
      run->remounted_ = run->session_.Remount(run->commit_.exchange(false));
    }
  };

  void RunLane(size_t number, const std::string& prefix, const NextOp& next) {
    Executor::PrepareThread();
    {
      Lane lane(
          merged_, session_.union_root(), session_.plain_root(), prefix,
          [this](bool commit) {
            if (commit) commit_ = true;
            remounts_.arrive_and_wait();
            return remounted_;
          },
          [this] { return session_.Freeze(); });
      for (size_t i = 0; !failed_; ++i) {
        const std::optional<Op> op = next(lane.model());
        if (!op) break;
        test::TheWatchBoard().Extend(kSecondsPerStep);
        const std::string wrong = lane.Step(*op);
        if (wrong.empty()) continue;
        Fail("lane " + std::to_string(number) + ", operation " +
                 std::to_string(i) + ": " + op->ToText() + "\n" + wrong,
             KindOf(*op, wrong));
      }
    }
    remounts_.arrive_and_drop();
  }

  // The operation, and what differed on which side first.
  static std::string KindOf(const Op& op, const std::string& wrong) {
    const size_t end = wrong.find(": expected");
    const size_t colon = wrong.rfind(':', end - 1);
    return std::string(NameOf(op.kind)) + wrong.substr(0, wrong.find(':')) +
           (end == std::string::npos ? "" : wrong.substr(colon, end - colon));
  }

  void Fail(const std::string& what, const std::string& kind) {
    std::lock_guard lock(mu_);
    if (!failed_.exchange(true)) result_.kind = kind;
    result_.failure += what;
  }

  Session session_;
  const LayerSpec merged_;
  std::barrier<Completion> remounts_;
  Remounted remounted_;
  std::atomic<bool> commit_{false};
  std::atomic<bool> failed_{false};
  std::mutex mu_;
  RunResult result_;  // guarded by mu_ while lanes run
};

void RandomLayersOf(Random& random, Script* script) {
  const int count = 1 + static_cast<int>(random() % 5);
  script->layers.resize(static_cast<size_t>(count));
  for (size_t lane = 0; lane < script->lanes.size(); ++lane) {
    const auto layers = RandomLayers(random, count, script->PrefixOf(lane));
    for (size_t i = 0; i < layers.size(); ++i)
      script->layers[i].insert(script->layers[i].end(), layers[i].begin(),
                               layers[i].end());
  }
}

bool Shows(const std::vector<LayerSpec>& layers, const std::string& dir) {
  if (dir.empty()) return true;
  const LayerSpec merged = Merge(layers);
  return std::any_of(merged.begin(), merged.end(), [&](const LayerEntry& e) {
    return e.path == dir && e.type == EntryType::kDir;
  });
}

}  // namespace

RunResult RunScript(const Script& script) {
  std::vector<LayerSpec> layers = script.layers;
  MakeConsistent(&layers);
  for (size_t i = 0; i < script.lanes.size(); ++i)
    if (!Shows(layers, script.PrefixOf(i)))
      return {"no directory " + script.PrefixOf(i), "script"};
  std::vector<NextOp> next;
  for (const std::vector<Op>& ops : script.lanes) {
    auto at = std::make_shared<size_t>(0);
    next.push_back([&ops, at](const PosixModel&) -> std::optional<Op> {
      if (*at == ops.size()) return std::nullopt;
      return ops[(*at)++];
    });
  }
  test::TheWatchBoard().Arm("a script", kSecondsPerStep);
  RunResult result =
      Run(layers, script.whiteouts, next.size()).Go(script, next);
  test::TheWatchBoard().Disarm();
  return result;
}

RunResult RunSeed(const RandomRun& run, Script* script) {
  Random random(run.seed);
  script->lanes.resize(random() % 3 == 0 ? 3 : 1);
  script->whiteouts = static_cast<WhiteoutStyle>(random() % 3);
  RandomLayersOf(random, script);
  const bool freezes = run.seed % 2 == 0;
  std::vector<NextOp> next;
  for (std::vector<Op>& ops : script->lanes) {
    auto generator =
        std::make_shared<Generator>(random(), run.drop_caches, freezes);
    next.push_back(
        [&ops, &run, generator](const PosixModel& model) -> std::optional<Op> {
          const int done = static_cast<int>(ops.size());
          if (done == run.ops + 2) return std::nullopt;
          ops.emplace_back();  // in the end: remount, and compare everything
          if (done == run.ops) ops.back().kind = OpKind::kRemount;
          if (done < run.ops) ops.back() = generator->Next(model);
          return ops.back();
        });
  }
  test::TheWatchBoard().Arm("seed " + std::to_string(run.seed),
                            kSecondsPerStep);
  RunResult result =
      Run(script->layers, script->whiteouts, next.size()).Go(*script, next);
  test::TheWatchBoard().Disarm();
  return result;
}

}  // namespace ufs::model
