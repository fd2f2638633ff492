// ufs layer import.
#include "layerdb/layer_import.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>

#include "fs/layer_sealer.h"
#include "layerdb/base/privilege.h"
#include "layerdb/base/syscall.h"
#include "layerdb/image_import.h"
#include "layerdb/image_source.h"
#include "tools/layer_commands.h"
#include "tools/layer_json.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/seal_layer.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kLayerImport[] = "ufs layer import";

constexpr size_t kHeadBytes = 64 << 10;

struct ImportArguments {
  std::string input;
  std::string name;
  std::string image;
  std::string platform;
  uint64_t max_bytes = DecompressLimits().max_bytes;
  uint64_t max_ratio = DecompressLimits().max_ratio;
  uint64_t max_entries = ImportOptions().max_entries;
  bool no_keep_blob = false;
  bool as_layer = false;
  bool as_json = false;
};

// What an input became: a layer, or images.
struct Outcome {
  LayerInfo layer;
  std::vector<Image> images;
};

class Import {
 public:
  Import(LayerStore& store, const ImportArguments& arguments)
      : store_(store), arguments_(arguments) {
    options_.keep_blob = !arguments.no_keep_blob;
    options_.limits.max_bytes = arguments.max_bytes;
    options_.limits.max_ratio = arguments.max_ratio;
    options_.max_entries = arguments.max_entries;
  }

  Result<Outcome> Run() {
    if (!arguments_.name.empty())
      name_ = TRY(NormalizeLayerName(arguments_.name));
    if (!arguments_.platform.empty())
      choice_.platform = TRY(Platform::Parse(arguments_.platform));
    choice_.reference = arguments_.image;
    const std::string& input = arguments_.input;
    if (input == "-") return FromStream(STDIN_FILENO, 0, false);
    const UniqueFd fd = TRY(sys::Open(input.c_str(), O_RDONLY).With(input));
    const struct statx stat = TRY(sys::Statx({fd}));
    if (S_ISDIR(stat.stx_mode)) return FromDirectory();
    return FromStream(fd, stat.stx_size, S_ISREG(stat.stx_mode));
  }

 private:
  Result<Outcome> FromDirectory() {
    if (!arguments_.as_layer) {
      const auto files = TRY(OpenImageDirectory(arguments_.input));
      if (IsOciLayout(*files)) return FromImages(*files);
    }
    TRY(CheckNoChoice());
    const auto ingest = TRY(store_.BeginIngest(arguments_.input));
    SealSource source;
    source.directory = arguments_.input;
    source.trusted_marks = IsHostRoot();
    std::set<std::string> sockets;
    source.sockets = &sockets;
    TRY(SealDirectory(source, ingest->tree(), ingest->objects()));
    Progress progress("import", ingest->tree().Stats().content_bytes,
                      Progress::StyleOfStderr(arguments_.as_json));
    LayerInfo info = TRY(SealIngest(store_, *ingest, name_, progress));
    progress.Finish();
    WarnOfSockets(kLayerImport, sockets);
    WarnOfMounts(kLayerImport, arguments_.input);
    return Outcome{std::move(info), {}};
  }

  Result<Outcome> FromStream(BorrowedFd fd, uint64_t total_bytes,
                             bool is_file) {
    FdSource rest(fd);
    std::string head(kHeadBytes, '\0');
    head.resize(
        TRY(ReadFull(rest, head.data(), head.size()).With(arguments_.input)));
    MemorySource head_source(head);
    ChainedSource whole(head_source, rest);
    if (arguments_.as_layer) return FromTar(whole, total_bytes);
    if (!MayHoldImages(head) && !(is_file && HoldsDockerArchive(fd))) {
      auto outcome = TRY(FromTar(whole, total_bytes));
      WarnOfImages(outcome.layer.diff_id);
      return outcome;
    }
    // Images are read at any place: what is no plain file becomes one.
    UniqueFd file;
    if (is_file) {
      file = TRY(sys::Reopen(fd, O_RDONLY));
    } else {
      file = TRY(Spool(whole));
      total_bytes = TRY(sys::Statx({file})).stx_size;
    }
    FileRangeSource again(file, 0, total_bytes);
    UniqueFd tar;
    if (TRY(SniffCompression(std::string_view(head).substr(0, 8))) ==
        Compression::kNone) {
      tar = TRY(sys::Reopen(file, O_RDONLY));
    } else {
      FileRangeSource compressed(file, 0, total_bytes);
      const auto plain = TRY(Decompress(compressed, options_.limits));
      tar = TRY(Spool(*plain).With(arguments_.input));
    }
    const auto files = TRY(
        OpenImageTar(std::move(tar))
            .With(arguments_.input + " (with --layer it is taken as a layer)"));
    if (IsOciLayout(*files) || IsDockerArchive(*files))
      return FromImages(*files);
    return FromTar(again, total_bytes);
  }

  // A stream or compressed file is not read twice only to look for them.
  void WarnOfImages(const Digest& layer) {
    const auto is_manifest = [&]() -> Result<bool> {
      const auto tree = TRY(store_.OpenLayer(layer));
      const auto found = TRY(tree->Lookup(tree->Root(), "manifest.json"));
      if (found.kind != TreeFile::Found::Kind::kNode) return false;
      const TreeNodeView node = TRY(tree->Node(found.node));
      if (!S_ISREG(node.mode) || node.size_bytes > kMostDocumentBytes)
        return false;
      if (!node.object) return IsDockerManifest(node.inline_content);
      const UniqueFd object = TRY(store_.objects()->OpenObject(*node.object));
      FdSource source(object);
      return IsDockerManifest(TRY(ReadAll(source, kMostDocumentBytes)));
    };
    // The layer is there, whatever can be told of it.
    if (const auto is = is_manifest(); is.ok() && *is)
      Complain(kLayerImport,
               EscapePath(arguments_.input) +
                   ": became one layer, but its manifest.json is that of a "
                   "docker archive; for the images in it import it as an "
                   "uncompressed file",
               kExitOk);
  }

  Result<UniqueFd> Spool(ByteSource& source) {
    UniqueFd file = TRY(store_.MakeScratchFile());
    FdSink sink(file);
    TRY(CopyAll(source, sink));
    return file;
  }

  Result<Outcome> FromTar(ByteSource& source, uint64_t total_bytes) {
    TRY(CheckNoChoice());
    const auto ingest = TRY(store_.BeginIngest(arguments_.input));
    Progress progress("import", total_bytes,
                      Progress::StyleOfStderr(arguments_.as_json));
    ReportTo(progress);
    const Imported imported =
        TRY(ImportTar(source, *ingest, options_).With(arguments_.input));
    const LayerInfo info = TRY(ingest->Seal(imported.diff_id));
    if (!name_.empty()) TRY(store_.SetName(name_, imported.diff_id));
    return Outcome{info, {}};
  }

  Result<Outcome> FromImages(const ImageFiles& files) {
    const auto drafts = TRY(ReadImages(files, choice_).With(arguments_.input));
    if (drafts.size() > 1 && !name_.empty())
      return Error(ENOTUNIQ, arguments_.input + ": holds " +
                                 std::to_string(drafts.size()) +
                                 " images, which cannot have one name; choose "
                                 "one with --image");
    uint64_t total_bytes = 0;
    for (const ImageDraft& draft : drafts)
      for (const ImageDraft::Layer& layer : draft.layers)
        total_bytes += layer.size_bytes;
    Progress progress("import", total_bytes,
                      Progress::StyleOfStderr(arguments_.as_json));
    ReportTo(progress);
    const ImageImportOptions options{options_, arguments_.input, name_};
    return Outcome{{},
                   TRY(ImportImages(store_, files, drafts, options)
                           .With(arguments_.input))};
  }

  Status CheckNoChoice() const {
    if (arguments_.image.empty() && arguments_.platform.empty()) return Ok();
    return Error(EINVAL, arguments_.input +
                             ": is a layer, no image; --image and --platform "
                             "choose among images");
  }

  void ReportTo(Progress& progress) {
    options_.on_progress = [&progress,
                            told = uint64_t{0}](uint64_t bytes) mutable {
      progress.Add(bytes - told);
      told = bytes;
    };
  }

  LayerStore& store_;
  const ImportArguments& arguments_;
  std::string name_;
  ImageChoice choice_;
  ImportOptions options_;
};

void Print(const Outcome& outcome, const std::string& name, bool as_json) {
  if (!outcome.images.empty()) {
    auto list = Json::array();
    for (const Image& image : outcome.images) {
      if (as_json) {
        list.push_back(ToJson(image));
      } else {
        std::string line = image.digest.ToString();
        if (outcome.images.size() > 1)
          for (const std::string& own : image.names) line += " " + own;
        std::puts(line.c_str());
      }
    }
    if (as_json) PrintJson({{"images", list}});
    return;
  }
  PrintSealed(outcome.layer, name, as_json);
}

}  // namespace

int RunLayerImport(int argc, char** argv) {
  ImportArguments arguments;
  ArgumentParser parser(
      kLayerImport,
      "ufs layer import [options] DIR|TAR|OCI-LAYOUT|DOCKER-ARCHIVE|-",
      "Makes a layer of a directory or a tar (plain, gzip, zstd, xz) and "
      "prints its\n"
      "digest: the SHA-256 of the uncompressed tar, an image's diffID. "
      "Whiteouts as\n"
      "images have them (.wh.NAME, .wh..wh..opq) stay whiteouts. OCI layouts "
      "(a directory or\n"
      "a tar) and what 'docker save' and 'podman save' write become images, "
      "layers and all;\n"
      "the digest is that of the manifest.",
      "Examples:\n"
      "  ufs layer import base.tar.gz --name base:v1\n"
      "  tar -c -C tree . | ufs layer import - --name tree\n"
      "  skopeo copy docker://debian:12 oci:debian && ufs layer import debian "
      "--name debian:12\n"
      "  podman save app:2 | ufs layer import -\n");
  const StoreOption store_option(parser);
  parser.add_option("input", arguments.input);
  parser.add_option("--name", arguments.name, "A name for it")
      ->type_name("NAME[:TAG]");
  parser
      .add_option("--image", arguments.image,
                  "Of several images this one: its tag, name or digest")
      ->type_name("REF");
  parser
      .add_option("--platform", arguments.platform,
                  "Of an image for several platforms this one (default: this "
                  "machine's)")
      ->type_name("OS/ARCH[/VARIANT]");
  parser.add_flag("--layer", arguments.as_layer,
                  "Take the input as one layer, even if it holds images");
  parser
      .add_option("--max-size", arguments.max_bytes,
                  "Refuse what is larger when uncompressed")
      ->bytes()
      ->type_name("SIZE");
  parser
      .add_option("--max-ratio", arguments.max_ratio,
                  "Refuse what grows more than N times, beyond 1 GiB")
      ->check([](const std::string& text) {
        return std::strtod(text.c_str(), nullptr) > 0
                   ? std::string()
                   : text + " is not more than 0";
      })
      ->type_name("N");
  parser
      .add_option("--max-entries", arguments.max_entries,
                  "Refuse what has more names (default: 10 million)")
      ->type_name("N");
  parser.add_flag("--no-keep-blob", arguments.no_keep_blob,
                  "Do not keep the compressed form");
  parser.add_flag("--json", arguments.as_json,
                  "Print an object instead of the digest");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (arguments.input.empty())
    return Complain(kLayerImport,
                    "nothing to import given; see 'ufs layer import --help'",
                    kExitUsage);
  if (arguments.input == "-" && isatty(STDIN_FILENO))
    return Complain(kLayerImport, "stdin is a terminal, not a tar", kExitUsage);

  const auto store = store_option.Open(LayerStore::Access::kWrite);
  if (!store.ok())
    return Complain(kLayerImport, ExplainWriting(store.error()), kExitFailure);
  const auto outcome = Import(**store, arguments).Run();
  if (!outcome.ok())
    return Complain(kLayerImport, ExplainWriting(outcome.error()),
                    kExitFailure);
  Print(*outcome, arguments.name, arguments.as_json);
  return FinishOutput(kLayerImport);
}

}  // namespace ufs
