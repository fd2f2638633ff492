// A script is one run as text: its layers and, for each lane, its operations.
// The same script gives the same run, whatever became of the generator since.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/model/layer_spec.h"
#include "tests/model/op.h"

namespace ufs::model {

struct Script {
  WhiteoutStyle whiteouts = WhiteoutStyle::kCharDevice;
  std::vector<LayerSpec> layers;
  std::vector<std::vector<Op>> lanes;

  // What lane `i` sees as its root: all when it is alone, else its own part.
  std::string PrefixOf(size_t i) const {
    return lanes.size() == 1 ? "" : "lane" + std::to_string(i);
  }

  std::string ToText() const;
  static std::optional<Script> FromText(const std::string& text,
                                        std::string* error);
};

}  // namespace ufs::model
