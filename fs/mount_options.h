// What may stand behind -o, and what it means: the options of overlayfs, of
// fuse-overlayfs and of mount(8), and our own. One table holds them all.
//
// An option is either honoured, or accepted because ufs meets it anyway (a hint
// about how, not what), or refused by name. Nothing that changes what the union
// shows is dropped in silence.
//
// Every Error's context is the whole message for the user.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/mount_config.h"
#include "fs/union_config.h"
#include "layerdb/base/result.h"

namespace ufs {

struct MountOptions {
  // `layers` are those of lowerdir=, turned around: bottom to top.
  UnionConfig config;
  MountConfig mount;
  bool has_lowerdir = false;
  bool remount = false;                 // of what is mounted there already
  std::optional<bool> read_only_given;  // the last of ro and rw
  bool foreground = false;              // debug implies it
  std::vector<std::string> notes;       // worth a line on stderr each
};

// What happens to an option nobody knows.
enum class UnknownOption {
  kRefuse,  // an error that names it and the nearest known one
  kIgnore,  // a note, as fuse-overlayfs and `mount -s` do
};

// Reads one option string after another, as they come on a command line. A
// later option overrides an earlier one.
class MountOptionParser {
 public:
  explicit MountOptionParser(UnknownOption unknown);

  Status Add(std::string_view text);
  // What all of them together mean; refuses what contradicts itself.
  Result<MountOptions> Finish() &&;

  // For the handlers of single options, in mount_options.cc.
  struct State : MountOptions {
    bool is_lenient = false;  // as of UnknownOption::kIgnore
    bool squash_to_root = false;
    bool is_volatile = false;
    bool metacopy_was_given = false;
    bool partial_was_given = false;
    bool redirect_dir_was_given = false;
    std::vector<std::string> lowerdirs;  // top to bottom
  };

 private:
  const UnknownOption unknown_;
  State state_;
};

// The options, one line each, for --help.
std::string DescribeMountOptions();

}  // namespace ufs
