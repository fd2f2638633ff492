// Layers as data: what each lower layer holds, entry by entry. One description
// serves four readers: the directories that are mounted, the plain copy of the
// merged tree, the model, and the text of a script.
//
// Merge is this test's own statement of what a union shows. It shares no code
// with the union.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace ufs::model {

// The letters stand in scripts.
enum class EntryType : char {
  kFile = 'f',
  kDir = 'd',
  kSymlink = 'l',
  kFifo = 'p',
  kSocket = 's',
  kCharDevice = 'c',
  kHardLink = 'h',  // to `target`, an earlier file of the same layer
  kWhiteout = 'w',
};

struct LayerEntry {
  EntryType type = EntryType::kFile;
  std::string path;
  uint32_t mode = 0644;
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t mtime = 1000000000;
  int64_t size = 0;  // of a file: Pattern(seed, size) with a hole
  uint32_t seed = 0;
  int64_t hole_off = 0;
  int64_t hole_len = 0;
  bool program = false;  // a file that holds ProgramBytes() instead
  std::string target;
  bool opaque = false;
  std::map<std::string, std::string> xattrs;

  std::string Content() const;
  std::string ToText() const;
  static std::optional<LayerEntry> FromText(std::string_view line,
                                            std::string* error);
};

// Parents stand before their children. The root of a layer has no entry.
using LayerSpec = std::vector<LayerEntry>;

using Random = std::mt19937_64;

// `count` layers, bottom first, with everything below the directory `prefix`
// ("" for the whole tree).
std::vector<LayerSpec> RandomLayers(Random& random, int count,
                                    const std::string& prefix);

// Makes layers that lost some entries ones that can be built and merged again.
void MakeConsistent(std::vector<LayerSpec>* layers);

// What a union of the layers (bottom first) shows: no whiteouts, no opaque
// marks; the first name of a hard-link group is the file, the others kHardLink.
LayerSpec Merge(const std::vector<LayerSpec>& layers);

// How deletions are written into layer directories.
enum class WhiteoutStyle { kCharDevice, kXattr, kAufs };

// Makes the entries below `dir`, which exists. Ends the program on an error,
// naming it: without layers there is no test.
void Materialize(const LayerSpec& layer, const std::string& dir,
                 WhiteoutStyle style);

// The attributes of every root, so that the union's and the copy's are equal.
void SetRootAttributes(const std::string& dir);
inline constexpr int64_t kRootMtime = 1111111111;

}  // namespace ufs::model
