// For tests: trees in a few words.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <memory>
#include <string>
#include <utility>

#include "layerdb/base/syscall.h"
#include "layerdb/tree_builder.h"
#include "layerdb/tree_file.h"

namespace ufs::test {

inline TreeNode Dir(mode_t mode = 0755) {
  TreeNode node;
  node.mode = S_IFDIR | mode;
  return node;
}

inline TreeNode File(const std::string& content, mode_t mode = 0644) {
  TreeNode node;
  node.mode = S_IFREG | mode;
  node.size_bytes = content.size();
  if (!content.empty()) node.content = content;
  return node;
}

inline TreeNode Symlink(const std::string& target) {
  TreeNode node;
  node.mode = S_IFLNK | 0777;
  node.link_target = target;
  return node;
}

inline TreeNode Device(mode_t mode, uint64_t rdev) {
  TreeNode node;
  node.mode = mode;
  node.rdev = rdev;
  return node;
}

// The bytes of the tree file.
inline std::string BytesOf(const TreeBuilder& tree, uint32_t source_count = 1) {
  const UniqueFd fd(memfd_create("tree", MFD_CLOEXEC));
  EXPECT_TRUE(tree.Write(fd, {}, source_count).ok());
  std::string bytes(sys::Statx({fd})->stx_size, '\0');
  EXPECT_EQ(*sys::Pread(fd, bytes.data(), bytes.size(), 0), bytes.size());
  return bytes;
}

inline std::shared_ptr<const TreeFile> FileOf(const TreeBuilder& tree,
                                              uint32_t source_count = 1) {
  auto file =
      TreeFile::Parse(BytesOf(tree, source_count), TreeFile::Verify::kAll);
  EXPECT_TRUE(file.ok()) << file.error().ToString();
  return file.ok() ? *file : nullptr;
}

// The node a path leads to; nullopt when there is none.
inline std::optional<TreeFile::NodeNo> Walk(const TreeFile& file,
                                            std::string_view path) {
  TreeFile::NodeNo at = TreeFile::kRoot;
  while (!path.empty()) {
    const auto name = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(name.size() + 1, path.size()));
    const auto found = file.Lookup(at, name);
    if (!found.ok() || found->kind != TreeFile::Found::Kind::kNode)
      return std::nullopt;
    at = found->node;
  }
  return at;
}

}  // namespace ufs::test
