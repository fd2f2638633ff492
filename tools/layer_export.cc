// ufs layer export.
#include "layerdb/layer_export.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "layerdb/base/syscall.h"
#include "layerdb/compress.h"
#include "tools/layer_commands.h"
#include "tools/output.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kWho[] = "ufs layer export";

Status Write(const LayerStore& store, const Digest& digest,
             Compression compression, BorrowedFd out) {
  FdSink sink(out);
  const auto compressed = TRY(Compress(sink, compression));
  TRY(ExportTar(store, digest, *compressed));
  return compressed->Finish();
}

// A new file appears when it is whole.
Status Export(const LayerStore& store, const std::string& reference,
              Compression compression, const std::string& output) {
  const Digest digest = TRY(store.Resolve(reference));
  if (output == "-") return Write(store, digest, compression, STDOUT_FILENO);
  const std::string draft = output + ".part";
  {
    const UniqueFd file =
        TRY(sys::Open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644)
                .With(draft));
    auto written = Write(store, digest, compression, file);
    if (written.ok()) written = sys::FSync(file);
    if (!written.ok()) {
      (void)sys::UnlinkAt({AT_FDCWD, draft.c_str()});
      return std::move(written).With(output);
    }
  }
  return sys::RenameAt2({AT_FDCWD, draft.c_str()}, {AT_FDCWD, output.c_str()})
      .With(output);
}

}  // namespace

int RunLayerExport(int argc, char** argv) {
  std::string layer, output = "-", compression = "none";
  ArgumentParser parser(
      kWho, "ufs layer export [options] LAYER [FILE]",
      "Writes a layer as a tar, the very bytes its digest is of: to FILE, or "
      "to stdout.",
      "Examples:\n"
      "  ufs layer export base:v1 base.tar\n"
      "  ufs layer export --compress zstd base:v1 base.tar.zst\n");
  const StoreOption store_option(parser);
  parser.add_option("layer", layer);
  parser.add_option("file", output);
  parser.add_option("--compress", compression, "none, gzip or zstd")
      ->check(CLI::IsMember({"none", "gzip", "zstd"}))
      ->type_name("HOW");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (layer.empty())
    return Complain(kWho, "no layer given; see 'ufs layer export --help'",
                    kExitUsage);
  if (output == "-" && isatty(STDOUT_FILENO))
    return Complain(kWho, "stdout is a terminal; name a file", kExitUsage);
  const auto store = store_option.Open(LayerStore::Access::kRead);
  if (!store.ok())
    return Complain(kWho, store.error().ToString(), kExitFailure);
  const auto done = Export(**store, layer,
                           compression == "gzip"   ? Compression::kGzip
                           : compression == "zstd" ? Compression::kZstd
                                                   : Compression::kNone,
                           output);
  if (!done.ok()) return Complain(kWho, done.error().ToString(), kExitFailure);
  return FinishOutput(kWho);
}

}  // namespace ufs
