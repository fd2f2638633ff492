// ufs layer import.
#include "layerdb/layer_import.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "fs/layer_sealer.h"
#include "layerdb/base/syscall.h"
#include "tools/layer_commands.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/seal_layer.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kWho[] = "ufs layer import";

struct Arguments {
  std::string input;
  std::string name;
  uint64_t max_bytes = DecompressLimits().max_bytes;
  uint64_t max_ratio = DecompressLimits().max_ratio;
  bool no_keep_blob = false;
};

Result<LayerInfo> ImportFrom(LayerStore& store, const Arguments& arguments,
                             BorrowedFd fd, uint64_t total_bytes) {
  const auto ingest = TRY(store.BeginIngest(arguments.input));
  Progress progress("import", total_bytes);
  ImportOptions options;
  options.keep_blob = !arguments.no_keep_blob;
  options.limits.max_bytes = arguments.max_bytes;
  options.limits.max_ratio = arguments.max_ratio;
  uint64_t told = 0;
  options.on_progress = [&](uint64_t bytes) {
    progress.Add(bytes - told);
    told = bytes;
  };
  FdSource source(fd);
  const Imported imported =
      TRY(ImportTar(source, *ingest, options).With(arguments.input));
  const LayerInfo info = TRY(ingest->Seal(imported.diff_id));
  if (!arguments.name.empty())
    TRY(store.SetName(arguments.name, imported.diff_id));
  return info;
}

Result<LayerInfo> ImportDirectory(LayerStore& store,
                                  const Arguments& arguments) {
  const auto ingest = TRY(store.BeginIngest(arguments.input));
  SealSource source;
  source.directory = arguments.input;
  source.trusted_marks = geteuid() == 0;
  TRY(SealDirectory(source, ingest->tree(), ingest->objects()));
  return SealIngest(store, *ingest, arguments.name);
}

Result<LayerInfo> Import(LayerStore& store, const Arguments& arguments) {
  if (!arguments.name.empty()) TRY(NormalizeLayerName(arguments.name));
  if (arguments.input == "-")
    return ImportFrom(store, arguments, STDIN_FILENO, 0);
  const UniqueFd fd =
      TRY(sys::Open(arguments.input.c_str(), O_RDONLY).With(arguments.input));
  const struct statx stat = TRY(sys::Statx({fd}));
  if (S_ISDIR(stat.stx_mode)) return ImportDirectory(store, arguments);
  return ImportFrom(store, arguments, fd, stat.stx_size);
}

}  // namespace

int RunLayerImport(int argc, char** argv) {
  Arguments arguments;
  bool as_json = false;
  ArgumentParser parser(
      kWho, "ufs layer import [options] DIR|TAR|-",
      "Makes a layer of a directory or a tar (plain, gzip, zstd, xz) and "
      "prints its\n"
      "digest: the SHA-256 of the uncompressed tar, an image's diffID. "
      "Whiteouts "
      "as\n"
      "images have them (.wh.NAME, .wh..wh..opq) stay whiteouts.",
      "Examples:\n"
      "  ufs layer import base.tar.gz --name base:v1\n"
      "  tar -c -C tree . | ufs layer import - --name tree\n");
  const StoreOption store_option(parser);
  parser.add_option("input", arguments.input);
  parser.add_option("--name", arguments.name, "A name for it")
      ->type_name("NAME[:TAG]");
  parser
      .add_option("--max-size", arguments.max_bytes,
                  "Refuse what is larger when uncompressed")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->type_name("SIZE");
  parser
      .add_option("--max-ratio", arguments.max_ratio,
                  "Refuse what grows more than N times, beyond 1 GiB")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  parser.add_flag("--no-keep-blob", arguments.no_keep_blob,
                  "Do not keep the compressed form");
  parser.add_flag("--json", as_json, "Print an object instead of the digest");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (arguments.input.empty())
    return Complain(kWho,
                    "nothing to import given; see 'ufs layer import --help'",
                    kExitUsage);
  if (arguments.input == "-" && isatty(STDIN_FILENO))
    return Complain(kWho, "stdin is a terminal, not a tar", kExitUsage);

  const auto store = store_option.Open(LayerStore::Access::kWrite);
  if (!store.ok())
    return Complain(kWho, store.error().ToString(), kExitFailure);
  const auto info = Import(**store, arguments);
  if (!info.ok()) return Complain(kWho, info.error().ToString(), kExitFailure);
  if (as_json) {
    const nlohmann::ordered_json json = {{"digest", info->diff_id.ToString()},
                                         {"entries", info->entries},
                                         {"content_bytes", info->content_bytes},
                                         {"objects", info->objects},
                                         {"name", arguments.name}};
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    std::printf("%s\n", info->diff_id.ToString().c_str());
  }
  return FinishOutput(kWho);
}

}  // namespace ufs
