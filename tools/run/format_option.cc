#include "tools/run/format_option.h"

namespace ufs {

void FormatOption::Declare(ArgumentParser& parser, const char* names) {
  parser.add_option(names, format_, "json: as --json; there is no other")
      ->type_name("json")
      ->check([](const std::string& word) -> std::string {
        if (word == "json") return "";
        return "'" + word +
               "': there are no templates; use --format json and jq(1), as in "
               "... | jq -r '.[].name'";
      });
}

}  // namespace ufs
