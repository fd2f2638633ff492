// Stores for tests: layers made of a few files.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <map>
#include <memory>
#include <string>

#include "layerdb/layer_store.h"

namespace ufs::test {

// Path -> contents. Those of up to kMaxInlineBytes are inline.
using Files = std::map<std::string, std::string>;

inline std::string Contents(char seed, size_t size = 5000) {
  std::string data(size, '\0');
  for (size_t i = 0; i < size; ++i)
    data[i] = static_cast<char>(seed + i * 7 + i / 251);
  return data;
}

inline TreeNode FileNode(const std::string& contents) {
  TreeNode node;
  node.mode = S_IFREG | 0644;
  node.size_bytes = contents.size();
  return node;
}

inline Status Fill(Ingest& ingest, const Files& files) {
  for (const auto& [path, contents] : files) {
    TreeNode node = FileNode(contents);
    if (contents.size() > kMaxInlineBytes) {
      node.content = TRY(ingest.objects().Put(contents));
    } else if (!contents.empty()) {
      node.content = contents;
    }
    TRY(ingest.tree().Put(path, node));
  }
  return Ok();
}

// As an importer does it; the digest is made of `identity`.
inline Result<LayerInfo> Import(LayerStore& store, const std::string& identity,
                                const Files& files,
                                const std::string& blob = "") {
  const auto ingest = TRY(store.BeginIngest("test of " + identity));
  TRY(Fill(*ingest, files));
  if (!blob.empty()) {
    const UniqueFd file = TRY(sys::OpenAt({ingest->folder(), "blob"},
                                          O_WRONLY | O_CREAT | O_EXCL, 0644));
    TRY(sys::Pwrite(file, blob.data(), blob.size(), 0));
    ingest->SetBlob("blob", {Sha256Of(blob), blob.size(), "test/blob"});
  }
  return ingest->Seal(Sha256Of(identity));
}

inline Result<std::string> ReadFile(const LayerStore& store,
                                    const TreeFile& tree,
                                    const std::string& name) {
  const auto found = TRY(tree.Lookup(tree.Root(), name));
  if (found.kind != TreeFile::Found::Kind::kNode) return Error(ENOENT, name);
  const TreeNodeView node = TRY(tree.Node(found.node));
  if (!node.object) return std::string(node.inline_content);
  const UniqueFd file = TRY(store.objects()->OpenObject(*node.object));
  std::string data(node.size_bytes, '\0');
  data.resize(TRY(sys::Pread(file, data.data(), data.size(), 0)));
  return data;
}

inline std::string Text(const CheckReport& report) {
  std::string text;
  for (const Finding& finding : report.findings)
    text += "S" + std::to_string(finding.invariant) + " " + finding.subject +
            ": " + finding.text + "\n";
  return text;
}

}  // namespace ufs::test
