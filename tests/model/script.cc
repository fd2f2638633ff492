#include "tests/model/script.h"

#include <sstream>

#include "tests/model/fields.h"

namespace ufs::model {

// Lines: "script whiteouts=N"; "layer", then the layer's entries, for each
// layer; "lane", then its operations, for each lane. '#' begins a comment.
std::string Script::ToText() const {
  FieldWriter head("script");
  head.Number("whiteouts", static_cast<int64_t>(whiteouts));
  std::string text = head.line() + "\n";
  for (const LayerSpec& layer : layers) {
    text += "layer\n";
    for (const LayerEntry& entry : layer) text += entry.ToText() + "\n";
  }
  for (const std::vector<Op>& lane : lanes) {
    text += "lane\n";
    for (const Op& op : lane) text += op.ToText() + "\n";
  }
  return text;
}

std::optional<Script> Script::FromText(const std::string& text,
                                       std::string* error) {
  Script script;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line) && error->empty();) {
    if (line.empty() || line[0] == '#') continue;
    if (line.starts_with("script ")) {
      FieldReader in(line);
      in.Number("whiteouts", &script.whiteouts);
      *error = in.error();
    } else if (line == "layer") {
      script.layers.emplace_back();
    } else if (line == "lane") {
      script.lanes.emplace_back();
    } else if (!script.lanes.empty()) {
      if (auto op = Op::FromText(line, error))
        script.lanes.back().push_back(*op);
    } else if (script.layers.empty()) {
      *error = "before the first layer: " + line;
    } else if (auto entry = LayerEntry::FromText(line, error)) {
      script.layers.back().push_back(*entry);
    }
  }
  if (error->empty() && (script.layers.empty() || script.lanes.empty()))
    *error = "no layer or no lane";
  if (!error->empty()) return std::nullopt;
  return script;
}

}  // namespace ufs::model
