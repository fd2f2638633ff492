// ufs layer export.
#include "layerdb/layer_export.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string>

#include "fs/marks.h"
#include "layerdb/base/cleanup.h"
#include "layerdb/base/privilege.h"
#include "layerdb/base/remove_tree.h"
#include "layerdb/base/syscall.h"
#include "layerdb/compress.h"
#include "layerdb/image_export.h"
#include "layerdb/store_io.h"
#include "layerdb/tree_directory.h"
#include "tools/layer_commands.h"
#include "tools/output.h"
#include "tools/print_json.h"
#include "tools/progress.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kLayerExport[] = "ufs layer export";

struct ExportArguments {
  std::string reference;
  std::string output = "-";
  std::string format;
  std::string compression = "none";
  bool json = false;
};

Compression CompressionOf(const std::string& word) {
  return word == "gzip"   ? Compression::kGzip
         : word == "zstd" ? Compression::kZstd
                          : Compression::kNone;
}

// A layer is exported as an image of itself alone.
Result<Image> FindImage(const LayerStore& store,
                        const ExportArguments& arguments) {
  const StoreReference found = TRY(store.Find(arguments.reference));
  if (found.is_image) return store.OpenImage(found.digest);
  return MakeImageOf(store, {found.digest});
}

// The name it was asked for by, if it is one.
std::string NameOf(const LayerStore& store, const ExportArguments& arguments) {
  const auto found = store.Find(arguments.reference);
  const auto name = NormalizeLayerName(arguments.reference);
  if (!found.ok() || !name.ok()) return "";
  const auto names = store.NamesOf(found->digest);
  const bool is_name = names.ok() && std::find(names->begin(), names->end(),
                                               *name) != names->end();
  return is_name ? *name : "";
}

// Tells of what goes through.
class ReportingSink final : public ByteSink {
 public:
  ReportingSink(ByteSink& sink, Progress& progress)
      : sink_(sink), progress_(progress) {}
  Status Write(std::string_view bytes) override {
    TRY(sink_.Write(bytes));
    progress_.Add(bytes.size());
    return Ok();
  }

 private:
  ByteSink& sink_;
  Progress& progress_;
};

Status WriteTar(const LayerStore& store, const ExportArguments& arguments,
                ByteSink& sink, Digest& written) {
  const StoreReference found = TRY(store.Find(arguments.reference));
  if (found.is_image)
    return Error(EINVAL, "'" + arguments.reference +
                             "' is an image; choose a --format: dir, oci (both "
                             "a directory), oci-archive or docker-archive");
  written = found.digest;
  const auto compressed =
      TRY(Compress(sink, CompressionOf(arguments.compression)));
  TRY(ExportTar(store, found.digest, *compressed));
  return compressed->Finish();
}

Status WriteImage(const LayerStore& store, const ExportArguments& arguments,
                  ImageOutput& output, Progress& progress, Digest& written) {
  const Image image = TRY(FindImage(store, arguments));
  const std::string name = NameOf(store, arguments);
  written = image.digest;
  if (arguments.format == "docker-archive")
    return WriteDockerArchive(store, image, name, output);
  written = TRY(WriteOciLayout(
      store, image, {name, CompressionOf(arguments.compression)}, output));
  progress.Finish();
  if (!arguments.json) std::fprintf(stderr, "%s\n", written.ToString().c_str());
  return Ok();
}

Status WriteTo(const LayerStore& store, const ExportArguments& arguments,
               BorrowedFd out, Digest& written) {
  FdSink file(out);
  Progress progress("export", 0, Progress::StyleOfStderr(arguments.json));
  ReportingSink sink(file, progress);
  if (arguments.format == "tar")
    return WriteTar(store, arguments, sink, written);
  return WriteImage(store, arguments, *OutputToTar(sink), progress, written);
}

// A new file appears when it is whole.
Status ExportFile(const LayerStore& store, const ExportArguments& arguments,
                  Digest& written) {
  if (arguments.output == "-")
    return WriteTo(store, arguments, STDOUT_FILENO, written);
  // A device, a pipe or a link is written into, not replaced.
  const auto there = sys::Statx({AT_FDCWD, arguments.output.c_str()});
  if (there.ok() && !S_ISREG(there->stx_mode)) {
    const UniqueFd file = TRY(
        sys::Open(arguments.output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644)
            .With(arguments.output));
    return WriteTo(store, arguments, file, written).With(arguments.output);
  }
  const std::string draft = arguments.output + ".part";
  {
    const UniqueFd file =
        TRY(sys::Open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644)
                .With(draft));
    auto done = WriteTo(store, arguments, file, written);
    if (done.ok()) done = sys::FSync(file);
    if (!done.ok()) {
      (void)sys::UnlinkAt({AT_FDCWD, draft.c_str()});
      return std::move(done).With(arguments.output);
    }
  }
  return sys::RenameAt2({AT_FDCWD, draft.c_str()},
                        {AT_FDCWD, arguments.output.c_str()})
      .With(arguments.output);
}

DirectoryMarks MarksOf(const MarkNames& names) {
  DirectoryMarks marks;
  marks.opaque = names.opaque;
  marks.implied = names.implied;
  marks.implied_value = [](const struct statx& stat) {
    return FormatImplied(stat);
  };
  marks.stored_name = [&names](std::string_view name) {
    return names.ToStored(name);
  };
  return marks;
}

// A layer as it is; of an image what its layers show.
Status WriteTree(const LayerStore& store, const ExportArguments& arguments,
                 BorrowedFd into, Progress& progress, Digest& written) {
  const StoreReference found = TRY(store.Find(arguments.reference));
  written = found.digest;
  const auto open_object = [&](const ObjectId& id) {
    auto object = store.objects()->OpenVerified(id);
    if (object.ok())
      if (const auto stat = sys::Statx({*object}); stat.ok())
        progress.Add(stat->stx_size);
    return object;
  };
  const MarkNames names(IsHostRoot());
  if (!found.is_image)
    return WriteTreeDirectory(
        *TRY(store.OpenLayer(found.digest, TreeFile::Verify::kAll)),
        open_object, DirectoryKind::kLayer, MarksOf(names), into);
  const Image image = TRY(store.OpenImage(found.digest));
  if (image.config.diff_ids.empty()) return Ok();
  const auto warn = [](const std::string& path) {
    Complain(kLayerExport,
             EscapePath(path) +
                 ": as it is in the image; who takes the directory for a "
                 "layer will take that for a mark",
             kExitOk);
  };
  return WriteTreeDirectory(
      *TRY(store.OpenView(image.config.diff_ids, LayerStore::IndexCheck::kNow)),
      open_object, DirectoryKind::kRoot, MarksOf(names), into, warn);
}

// So does a new directory; one that is there is not touched.
Status ExportDirectory(const LayerStore& store,
                       const ExportArguments& arguments, Digest& written) {
  std::string output = arguments.output;
  while (output.size() > 1 && output.ends_with('/')) output.pop_back();
  if (sys::Statx({AT_FDCWD, output.c_str()}).ok())
    return Error(EEXIST, output + ": name a place where nothing is yet");
  const std::string draft = output + ".part";
  const sys::At at{AT_FDCWD, draft.c_str()};
  TRY(sys::MkDirAt(at, 0755).With(draft));
  Cleanup remove([&] { (void)RemoveTree(at); });
  Progress progress("export", 0, Progress::StyleOfStderr(arguments.json));
  {
    const UniqueFd dir = TRY(sys::OpenAt(at, O_RDONLY | O_DIRECTORY));
    auto done = arguments.format == "dir"
                    ? WriteTree(store, arguments, dir, progress, written)
                    : WriteImage(store, arguments, *OutputToDirectory(dir),
                                 progress, written);
    TRY(std::move(done).With(output));
  }
  TRY(sys::RenameAt2(at, {AT_FDCWD, output.c_str()}, RENAME_NOREPLACE)
          .With(output));
  remove.Dismiss();
  return Ok();
}

}  // namespace

int RunLayerExport(int argc, char** argv) {
  ExportArguments arguments;
  ArgumentParser parser(
      kLayerExport, "ufs layer export [options] LAYER|IMAGE [FILE]",
      "Writes a layer as a tar, the very bytes its digest is of, or an image "
      "for other\ntools, to FILE or stdout. Compressed layers are written as "
      "they came, so that an\nimage keeps its digest, which is printed to "
      "stderr. A directory tells nothing of how\na tar was written: imported "
      "again it is the same tree, under another digest where\nthe layer came "
      "as a tar of another program.",
      "Examples:\n"
      "  ufs layer export base:v1 base.tar\n"
      "  ufs layer export --compress zstd base:v1 base.tar.zst\n"
      "  ufs layer export --format dir app:2 root\n"
      "  ufs layer export --format oci app:2 layout && skopeo inspect "
      "oci:layout\n"
      "  ufs layer export --format docker-archive app:2 | podman load\n");
  const StoreOption store_option(parser);
  parser.add_option("layer", arguments.reference);
  parser.add_option("file", arguments.output);
  parser
      .add_option("--format", arguments.format,
                  "tar (a layer's, the default), dir (files: of a layer with "
                  "its whiteouts, of an image what it shows), oci (a "
                  "directory), oci-archive or docker-archive")
      ->one_of({"tar", "dir", "oci", "oci-archive", "docker-archive"})
      ->type_name("FORMAT");
  parser
      .add_option("--compress", arguments.compression,
                  "none, gzip or zstd: what is not compressed already")
      ->one_of({"none", "gzip", "zstd"})
      ->type_name("HOW");
  parser.add_flag("--json", arguments.json,
                  "For programs: what was written, on stdout");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (arguments.reference.empty())
    return Complain(kLayerExport,
                    "no layer given; see 'ufs layer export --help'",
                    kExitUsage);
  if (arguments.format.empty()) arguments.format = "tar";
  const bool is_directory =
      arguments.format == "oci" || arguments.format == "dir";
  if (is_directory && arguments.output == "-")
    return Complain(kLayerExport,
                    "an OCI layout is a directory, as dir is; name it",
                    kExitUsage);
  if (arguments.compression != "none" &&
      (arguments.format == "docker-archive" || arguments.format == "dir"))
    return Complain(kLayerExport,
                    "nothing is compressed in that format; leave out "
                    "--compress",
                    kExitUsage);
  if (arguments.output == "-" && arguments.json)
    return Complain(kLayerExport,
                    "--json is for stdout too; name a file for the layer",
                    kExitUsage);
  if (arguments.output == "-" && isatty(STDOUT_FILENO))
    return Complain(kLayerExport, "stdout is a terminal; name a file",
                    kExitUsage);
  const auto store = store_option.Open(LayerStore::Access::kRead);
  if (!store.ok())
    return Complain(kLayerExport, Explain(store.error()), kExitFailure);
  Digest written;
  const auto done = is_directory ? ExportDirectory(**store, arguments, written)
                                 : ExportFile(**store, arguments, written);
  if (!done.ok())
    return Complain(kLayerExport, Explain(done.error()), kExitFailure);
  if (arguments.json) {
    Json json = {{"digest", written.ToString()}, {"format", arguments.format}};
    AddText(json, "file", arguments.output);
    PrintJson(json);
  }
  return FinishOutput(kLayerExport);
}

}  // namespace ufs
