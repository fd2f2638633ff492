// make_layer STORE IDENTITY [NAME=CONTENTS]...: seals a layer, for tests of
// commands that need one. Prints its digest.
#include <cstdio>
#include <string>

#include "layerdb/store_test_util.h"

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  ufs::test::Files files;
  for (int i = 3; i < argc; ++i) {
    const std::string word = argv[i];
    const size_t equals = word.find('=');
    if (equals == word.npos) return 2;
    files[word.substr(0, equals)] = word.substr(equals + 1);
  }
  const auto store =
      ufs::LayerStore::Open(argv[1], ufs::LayerStore::Access::kWrite);
  const auto sealed =
      store.ok() ? ufs::test::Import(**store, argv[2], files)
                 : ufs::Result<ufs::LayerInfo>(ufs::Error(store.error()));
  if (!sealed.ok()) {
    std::fprintf(stderr, "make_layer: %s\n", sealed.error().ToString().c_str());
    return 1;
  }
  std::puts(sealed->diff_id.ToString().c_str());
  return 0;
}
