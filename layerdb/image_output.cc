// Where the files of an exported image go.
#include <sys/stat.h>

#include "layerdb/base/syscall.h"
#include "layerdb/image_export.h"
#include "layerdb/tar_writer.h"

namespace ufs {
namespace {

class DirectoryOutput final : public ImageOutput {
 public:
  explicit DirectoryOutput(BorrowedFd dir) : dir_(dir) {}

  Status AddDirectory(const std::string& path) override {
    return sys::MkDirAt({dir_, path.c_str()}, 0755).With(path);
  }
  Status AddFile(const std::string& path, ByteSource& contents,
                 uint64_t) override {
    const UniqueFd file =
        TRY(sys::OpenAt({dir_, path.c_str()}, O_WRONLY | O_CREAT | O_EXCL, 0644)
                .With(path));
    FdSink sink(file);
    TRY(CopyAll(contents, sink).With(path));
    return sys::FSync(file).With(path);
  }
  // Its files are synced; a sync of the file system does for all folders.
  Status Finish() override { return sys::SyncFs(dir_); }

 private:
  const BorrowedFd dir_;
};

class TarOutput final : public ImageOutput {
 public:
  explicit TarOutput(ByteSink& sink) : writer_(sink) {}

  Status AddDirectory(const std::string& path) override {
    TarEntry entry;
    entry.type = TarType::kDirectory;
    entry.path = path + "/";
    entry.mode = 0755;
    return writer_.Begin(entry);
  }
  Status AddFile(const std::string& path, ByteSource& contents,
                 uint64_t size_bytes) override {
    TarEntry entry;
    entry.path = path;
    entry.mode = 0644;
    entry.size_bytes = size_bytes;
    TRY(writer_.Begin(entry));
    EntrySink sink(writer_);
    TRY(CopyAll(contents, sink).With(path));
    return Ok();
  }
  Status Finish() override { return writer_.Finish(); }

 private:
  class EntrySink final : public ByteSink {
   public:
    explicit EntrySink(TarWriter& writer) : writer_(writer) {}
    Status Write(std::string_view bytes) override {
      return writer_.Write(bytes);
    }

   private:
    TarWriter& writer_;
  };

  TarWriter writer_;
};

}  // namespace

std::unique_ptr<ImageOutput> OutputToDirectory(BorrowedFd dir) {
  return std::make_unique<DirectoryOutput>(dir);
}

std::unique_ptr<ImageOutput> OutputToTar(ByteSink& sink) {
  return std::make_unique<TarOutput>(sink);
}

}  // namespace ufs
