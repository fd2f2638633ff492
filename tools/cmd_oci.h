// The OCI runtime's command line: global flags, then a verb. Called as
// `ufs oci` or under the name ufs-oci.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "runtime/container.h"

namespace ufs {

// What stands before the verb, as runc has it.
struct OciGlobals {
  std::string root;  // of the state directory
  std::string log;   // a file; empty: stderr alone
  bool log_json = false;
  bool debug = false;
  bool cgroups = true;  // --cgroup-manager=disabled
  bool systemd = false;
};

// One verb. Its exit code, or what went wrong; words[0] is the verb.
using OciVerb = Result<int> (*)(const OciGlobals& globals,
                                const std::vector<std::string>& words);

// --- the verbs, by file ------------------------------------------------------

Result<int> OciCreate(const OciGlobals&, const std::vector<std::string>&);
Result<int> OciRun(const OciGlobals&, const std::vector<std::string>&);
Result<int> OciExec(const OciGlobals&, const std::vector<std::string>&);
Result<int> OciStart(const OciGlobals&, const std::vector<std::string>&);
Result<int> OciState(const OciGlobals&, const std::vector<std::string>&);
Result<int> OciKill(const OciGlobals&, const std::vector<std::string>&);
Result<int> OciDelete(const OciGlobals&, const std::vector<std::string>&);
Result<int> OciPause(const OciGlobals&, const std::vector<std::string>&);
Result<int> OciResume(const OciGlobals&, const std::vector<std::string>&);
Result<int> OciUpdate(const OciGlobals&, const std::vector<std::string>&);
Result<int> OciEvents(const OciGlobals&, const std::vector<std::string>&);
Result<int> OciList(const OciGlobals&, const std::vector<std::string>&);
Result<int> OciPs(const OciGlobals&, const std::vector<std::string>&);
Result<int> OciSpec(const OciGlobals&, const std::vector<std::string>&);
Result<int> OciFeatures(const OciGlobals&, const std::vector<std::string>&);

// --- what they share ---------------------------------------------------------

// The arguments of a verb: options of its own, then plain words.
class OciArguments {
 public:
  // Each option by its name; `flag` takes no value. Aliases share a target.
  OciArguments& Flag(std::initializer_list<const char*> names, bool& target);
  OciArguments& Value(std::initializer_list<const char*> names,
                      std::string& target);
  OciArguments& List(std::initializer_list<const char*> names,
                     std::vector<std::string>& target);

  // "--name value", "--name=value", "-n value"; options end at "--", and, with
  // `words_end_options`, at the first plain word. EINVAL for what is unknown.
  Result<std::vector<std::string>> Parse(const std::vector<std::string>& words,
                                         bool words_end_options = false);

 private:
  struct Option {
    std::vector<std::string> names;
    bool* flag = nullptr;
    std::string* value = nullptr;
    std::vector<std::string>* list = nullptr;
  };
  std::vector<Option> options_;
};

// Exactly one plain word: the container's id.
Result<std::string> OnlyId(const std::vector<std::string>& words);

// Of --format: "table" or "json", else EINVAL.
Status CheckFormat(const std::string& format);

// A whole number from `text`; EINVAL that names `what`.
Result<int> ParseNumber(const std::string& text, const std::string& what);

// Waits for `pid`, a child, passing on signals and, with a valid `terminal`,
// copying between it and our own; its exit code as a shell's.
Result<int> Attend(pid_t pid, UniqueFd terminal);

// Keeps the signals that Attend passes on until it is called.
void HoldSignals();

}  // namespace ufs
