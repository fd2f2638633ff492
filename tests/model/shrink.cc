#include "tests/model/shrink.h"

#include <algorithm>

#include "tests/model/runner.h"

namespace ufs::model {
namespace {

using Clock = std::chrono::steady_clock;

class Shrinker {
 public:
  Shrinker(Script script, std::string kind, Clock::time_point end)
      : best_(std::move(script)), kind_(std::move(kind)), end_(end) {}

  Script Go() {
    // The large first: each run of what is left is then a short one.
    for (size_t before = Size() + 1; Size() < before && Clock::now() < end_;) {
      before = Size();
      for (size_t i = 0; i < best_.lanes.size(); ++i)
        Thin([i](Script & script) -> auto& { return script.lanes[i]; });
      for (size_t i = 0; i < best_.layers.size(); ++i)
        Thin([i](Script & script) -> auto& { return script.layers[i]; });
      for (size_t i = best_.layers.size(); i-- > 0;)
        if (best_.layers[i].empty() && best_.layers.size() > 1) {
          Script without = best_;
          without.layers.erase(without.layers.begin() +
                               static_cast<ptrdiff_t>(i));
          Keep(without);
        }
    }
    return best_;
  }

 private:
  size_t Size() const {
    size_t size = best_.layers.size();
    for (const auto& lane : best_.lanes) size += lane.size();
    for (const auto& layer : best_.layers) size += layer.size();
    return size;
  }

  // Takes runs of elements out of one list of the script, from its end, shorter
  // ones as the longer are needed.
  template <typename ListOf>
  void Thin(const ListOf& list_of) {
    for (size_t run = std::max<size_t>(list_of(best_).size(), 1);; run /= 2) {
      for (size_t end = list_of(best_).size(); end > 0;) {
        if (Clock::now() >= end_) return;
        const size_t begin = end > run ? end - run : 0;
        Script without = best_;
        auto& list = list_of(without);
        list.erase(list.begin() + static_cast<ptrdiff_t>(begin),
                   list.begin() + static_cast<ptrdiff_t>(end));
        Keep(without);
        end = begin;
      }
      if (run <= 1) return;
    }
  }

  // What depends on how threads meet may need a few tries.
  void Keep(const Script& script) {
    const int tries = script.lanes.size() == 1 ? 1 : 3;
    for (int i = 0; i < tries; ++i) {
      if (RunScript(script).kind != kind_) continue;
      best_ = script;
      return;
    }
  }

  Script best_;
  const std::string kind_;
  const Clock::time_point end_;
};

}  // namespace

Script Shrink(const Script& script, const std::string& kind,
              std::chrono::seconds budget) {
  return Shrinker(script, kind, Clock::now() + budget).Go();
}

}  // namespace ufs::model
