// The labels that SELinux knows a container and its files by, chosen as podman
// and docker do: of the type that the machine's policy has for containers, with
// two categories of its own, which keep containers apart.
// Threads: any.
#pragma once

#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

// What was said by --security-opt label=...; empty: as the machine has it.
struct LabelWish {
  bool disable = false;
  std::string user, role, type, level, filetype;

  bool any() const { return !(user + role + type + level + filetype).empty(); }
};

// Empty where there is none to set.
struct SelinuxLabels {
  std::string process;
  std::string mount;  // of the files
};

// "disable", "type:T", ...; EINVAL for another.
Status AddLabelWish(const std::string& text, LabelWish& wish);

// `defaults` is the text of a file as lxc_contexts(5); where its labels have
// levels, theirs is `level`. EINVAL for one that names no labels.
Result<SelinuxLabels> CombineLabels(const std::string& defaults,
                                    const std::string& level,
                                    const LabelWish& wish);

// None where there is no SELinux, with a line in `notes` if that was not what
// was asked for. EINVAL for what the policy does not know.
Result<SelinuxLabels> ChooseLabels(const LabelWish& wish,
                                   std::vector<std::string>& notes);

// Gives a file, or a directory and all below, the label `mount`; `shared`: so
// that every container may use it. Nothing to do on a file system that has one
// label for all, nor without a label.
Status Relabel(const std::string& path, const std::string& mount, bool shared);

}  // namespace ufs
