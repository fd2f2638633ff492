// What the keeping of a store reports.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ufs {

struct GcReport {
  uint64_t images = 0;
  uint64_t layers = 0;
  uint64_t objects = 0;
  uint64_t blobs = 0;
  uint64_t views = 0;
  uint64_t leftovers = 0;    // of crashes and failed imports
  uint64_t freed_bytes = 0;  // blocks
  uint64_t kept_objects = 0;
  // An import was under way: objects without a layer may be its, and stayed.
  bool imports_under_way = false;
  // Unnamed layers or views that stayed because somebody uses them.
  uint64_t in_use = 0;
};

struct Finding {
  int invariant = 0;    // S1 ... of README.md
  std::string subject;  // "layer sha256:...", "object ...", "name ..."
  std::string text;     // what is wrong, and the remedy where there is one
};

struct CheckReport {
  std::vector<Finding> findings;
  // What was looked at.
  uint64_t layers = 0;
  uint64_t images = 0;
  uint64_t objects = 0;
  uint64_t names = 0;
  uint64_t views = 0;
  uint64_t bytes = 0;  // read and hashed, by Verify
  // Not wrong: 'gc' takes it.
  uint64_t unused_objects = 0;
  uint64_t leftovers = 0;

  bool clean() const { return findings.empty(); }
};

struct RepairReport {
  std::vector<std::string> mended;
  std::vector<Finding> left;  // what only another import or 'rm' can mend
};

// Blocks on the disk, as du(1) counts them, folders included.
struct DiskUsage {
  uint64_t objects = 0;
  uint64_t layers = 0;
  uint64_t images = 0;
  uint64_t views = 0;
  uint64_t blobs = 0;
  uint64_t catalog = 0;
  uint64_t ingest = 0;
  uint64_t rest = 0;
  uint64_t total = 0;

  uint64_t object_count = 0;
  uint64_t layer_count = 0;
  uint64_t image_count = 0;
  uint64_t content_bytes = 0;  // what the layers would take without sharing
};

}  // namespace ufs
