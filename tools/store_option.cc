#include "tools/store_option.h"

#include <stdlib.h>
#include <time.h>

#include <cerrno>

#include "layerdb/base/fault.h"
#include "layerdb/store_io.h"
#include "tools/state_dir.h"

namespace ufs {

StoreOption::StoreOption(ArgumentParser& parser) {
  parser
      .add_option("--store", path_,
                  "The store of layers; else $UFS_STORE, else /var/lib/ufs for "
                  "root and ~/.local/share/ufs")
      ->type_name("DIR");
}

Result<std::shared_ptr<LayerStore>> OpenStore(const std::string& option,
                                              LayerStore::Access access) {
  if (const char* fault = getenv("UFS_FAULT"))
    TRY(ArmFault(fault).With("UFS_FAULT"));
  std::string path = TRY(StorePath(option));
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return LayerStore::Open(path, access);
}

std::string ExplainWriting(const Error& error) {
  // Where that ends in a remedy, it may be all there is.
  std::string text = Explain(error);
  if (!IsFull(error.code())) return text;
  if (text == error.context()) text = error.ToString();
  text +=
      "; 'ufs layer rm' and 'ufs store gc' give room in the store, 'ufs store "
      "df' tells how much it takes";
  if (error.code() == EDQUOT) text += "; or have the quota raised";
  return text;
}

std::string ShortDigest(const Digest& digest) {
  constexpr size_t kDigits = 12;
  return digest.Hex().substr(0, kDigits);
}

std::string FormatTime(int64_t seconds) {
  const time_t time = seconds;
  struct tm local;
  char text[64];
  if (localtime_r(&time, &local) == nullptr ||
      strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &local) == 0)
    return "-";
  return text;
}

std::string Title(const LayerInfo& info) {
  return info.names.empty() ? ShortDigest(info.diff_id) : info.names.front();
}

}  // namespace ufs
