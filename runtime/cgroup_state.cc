// What of a Cgroup outlives the process: its directories and scope, as JSON.
#include <nlohmann/json.hpp>

#include "layerdb/base/json_reader.h"
#include "runtime/cgroup.h"

namespace ufs::runtime {

using Json = nlohmann::json;

Json Cgroup::Save() const {
  Json list = Json::array();
  for (const Directory& directory : directories_)
    list.push_back({{"path", directory.path},
                    {"made", directory.made},
                    {"mountpoint", directory.mountpoint},
                    {"top", directory.top},
                    {"v2", directory.v2},
                    {"controllers", directory.controllers}});
  Json saved = {{"directories", std::move(list)}, {"missing", missing_}};
  if (scope_)
    saved["scope"] = {{"unit", scope_->unit},
                      {"slice", scope_->slice},
                      {"description", scope_->description}};
  return saved;
}

Result<Cgroup> Cgroup::Load(const Json& json) {
  const JsonReader reader(&json, "cgroup");
  Cgroup cgroup;
  for (const JsonReader& element :
       TRY(TRY(reader.Get("directories")).Elements())) {
    Directory directory;
    TRY(element.Require("path", directory.path));
    TRY(element.Read("made", directory.made));
    TRY(element.Require("mountpoint", directory.mountpoint));
    directory.top = directory.mountpoint;
    TRY(element.Read("top", directory.top));
    TRY(element.Read("v2", directory.v2));
    TRY(element.Read("controllers", directory.controllers));
    cgroup.directories_.push_back(std::move(directory));
  }
  TRY(reader.Read("missing", cgroup.missing_));
  if (json.contains("scope")) {
    const JsonReader scope = TRY(reader.Get("scope"));
    cgroup.scope_.emplace();
    TRY(scope.Require("unit", cgroup.scope_->unit));
    TRY(scope.Read("slice", cgroup.scope_->slice));
    TRY(scope.Read("description", cgroup.scope_->description));
  }
  return cgroup;
}

}  // namespace ufs::runtime
