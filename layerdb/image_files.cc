#include "layerdb/image_files.h"

#include <sys/stat.h>

#include <cerrno>
#include <map>

#include "layerdb/base/syscall.h"
#include "layerdb/byte_stream.h"
#include "layerdb/image_manifest.h"
#include "layerdb/layer_path.h"
#include "layerdb/tar_reader.h"

namespace ufs {
namespace {

// An image of kMostImageLayers has some 2,000.
constexpr size_t kMostEntries = 100'000;
constexpr int kMostHops = 8;

class DirectoryFiles final : public ImageFiles {
 public:
  explicit DirectoryFiles(UniqueFd dir) : dir_(std::move(dir)) {}

  Result<File> Open(const std::string& path) const override {
    File file;
    file.own = TRY(sys::OpenAt2(dir_, path.c_str(), O_RDONLY | O_NONBLOCK,
                                RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
                       .With(path));
    const struct statx stat = TRY(sys::Statx({file.own}).With(path));
    if (!S_ISREG(stat.stx_mode)) return Error(EINVAL, path + ": is no file");
    file.fd = file.own;
    file.size_bytes = stat.stx_size;
    return file;
  }

 private:
  const UniqueFd dir_;
};

class TarFiles final : public ImageFiles {
 public:
  explicit TarFiles(UniqueFd tar) : tar_(std::move(tar)) {}

  Status ReadHeaders() {
    const struct statx stat = TRY(sys::Statx({tar_}));
    FileRangeSource source(tar_, 0, stat.stx_size);
    TarReader reader(source);
    TarEntry entry;
    for (size_t count = 0; TRY(reader.Next(entry)); ++count) {
      if (count == kMostEntries)
        return Error(EFBIG, "more than " + std::to_string(kMostEntries) +
                                " entries: no image");
      TRY(Add(entry, reader.offset()).With("entry '" + entry.path + "'"));
    }
    return Ok();
  }

  Result<File> Open(const std::string& path) const override {
    std::string at = path;
    for (int hops = 0; hops < kMostHops; ++hops) {
      const auto link = links_.find(at);
      if (link == links_.end()) break;
      at = link->second;
    }
    const auto found = files_.find(at);
    if (found == files_.end()) return Error(ENOENT, path);
    File file;
    file.fd = tar_;
    file.offset = found->second.offset;
    file.size_bytes = found->second.size_bytes;
    return file;
  }

 private:
  struct Place {
    uint64_t offset;
    uint64_t size_bytes;
  };

  Status Add(const TarEntry& entry, uint64_t offset) {
    const LayerPath path = TRY(ParseLayerPath(entry.path));
    if (path.kind != LayerPath::Kind::kEntry) return Ok();
    if (entry.type == TarType::kFile) {
      if (entry.sparse) return Error(EBADMSG, "a file with holes");
      if (!files_.emplace(path.path, Place{offset, entry.size_bytes}).second)
        return Error(EBADMSG, "is there twice");
    } else if (entry.type == TarType::kSymlink) {
      // As `docker save` refers to a layer that several images have.
      links_[path.path] = Resolve(path.path, entry.link_target);
    } else if (entry.type == TarType::kHardLink) {
      links_[path.path] = TRY(ParseLayerPath(entry.link_target)).path;
    }
    return Ok();
  }

  // What a link means, lexically; "" for what leads out.
  static std::string Resolve(const std::string& link,
                             const std::string& target) {
    std::string at = link;
    const auto up = [&at] {
      const size_t slash = at.rfind('/');
      at.resize(slash == at.npos ? 0 : slash);
    };
    up();
    std::string_view rest = target;
    if (rest.starts_with('/')) at.clear();
    while (!rest.empty()) {
      const std::string_view name = rest.substr(0, rest.find('/'));
      rest.remove_prefix(std::min(name.size() + 1, rest.size()));
      if (name.empty() || name == ".") continue;
      if (name == "..") {
        if (at.empty()) return "";
        up();
      } else {
        if (!at.empty()) at += '/';
        at += name;
      }
    }
    return at;
  }

  const UniqueFd tar_;
  std::map<std::string, Place> files_;
  std::map<std::string, std::string> links_;
};

}  // namespace

Result<std::string> ImageFiles::ReadDocument(const std::string& path) const {
  const File file = TRY(Open(path));
  if (file.size_bytes > kMostDocumentBytes)
    return Error(EFBIG, path + ": has more than " +
                            std::to_string(kMostDocumentBytes >> 20) + " MiB");
  FileRangeSource source(file.fd, file.offset, file.size_bytes);
  return ReadAll(source, kMostDocumentBytes).With(path);
}

Result<std::unique_ptr<ImageFiles>> OpenImageDirectory(
    const std::string& path) {
  return std::unique_ptr<ImageFiles>(std::make_unique<DirectoryFiles>(
      TRY(sys::Open(path.c_str(), O_RDONLY | O_DIRECTORY).With(path))));
}

Result<std::unique_ptr<ImageFiles>> OpenImageTar(UniqueFd tar) {
  auto files = std::make_unique<TarFiles>(std::move(tar));
  TRY(files->ReadHeaders());
  return std::unique_ptr<ImageFiles>(std::move(files));
}

}  // namespace ufs
