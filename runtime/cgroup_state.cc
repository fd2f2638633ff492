// What of a Cgroup outlives the process: its directories, as JSON.
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
                    {"v2", directory.v2},
                    {"controllers", directory.controllers}});
  return {{"directories", std::move(list)}, {"missing", missing_}};
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
    TRY(element.Read("v2", directory.v2));
    TRY(element.Read("controllers", directory.controllers));
    cgroup.directories_.push_back(std::move(directory));
  }
  TRY(reader.Read("missing", cgroup.missing_));
  return cgroup;
}

}  // namespace ufs::runtime
