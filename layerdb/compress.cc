#include "layerdb/compress.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#ifdef UFS_HAVE_ISAL
#include <isa-l/igzip_lib.h>
#endif

namespace ufs {
namespace {

// Large enough that a chunk pays for the call; isa-l loses its lead on small
// ones.
constexpr size_t kInputBytes = 256 << 10;

// With the only method there is: two bytes could begin a tar's first name.
constexpr std::string_view kGzipMagic = "\x1f\x8b\x08";
constexpr std::string_view kXzMagic(
    "\xfd"
    "7zXZ\0",
    6);
constexpr std::string_view kZstdMagic = "\x28\xb5\x2f\xfd";
constexpr std::string_view kLz4Magic = "\x04\x22\x4d\x18";

bool IsZstdSkippable(std::string_view bytes) {
  return bytes.size() >= 4 && (bytes[0] & 0xf0) == 0x50 &&
         bytes.substr(1, 3) == "\x2a\x4d\x18";
}

// The bytes a decoder has before it, and what was read for them.
class Input {
 public:
  explicit Input(ByteSource& below)
      : below_(below),
        buffer_(std::make_unique_for_overwrite<char[]>(kInputBytes)) {}

  std::string_view view() const { return {buffer_.get() + begin_, size()}; }
  size_t size() const { return end_ - begin_; }
  bool at_end() const { return at_end_ && size() == 0; }
  uint64_t total() const { return total_; }
  void Consume(size_t count) { begin_ += count; }

  // At least `count` bytes, unless the source ends before.
  Status Want(size_t count) {
    if (size() >= count || at_end_) return Ok();
    std::memmove(buffer_.get(), buffer_.get() + begin_, size());
    end_ -= begin_;
    begin_ = 0;
    while (end_ < count && !at_end_) {
      const size_t got =
          TRY(below_.Read(buffer_.get() + end_, kInputBytes - end_));
      at_end_ = got == 0;
      end_ += got;
      total_ += got;
    }
    return Ok();
  }

 private:
  ByteSource& below_;
  std::unique_ptr<char[]> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t total_ = 0;
  bool at_end_ = false;
};

enum class Step { kMore, kMemberEnd };

// One format: turns input into output.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual Compression compression() const = 0;

  // Consumes from `input`, writes up to `size` bytes to `out`, adds how many
  // to *written. Makes progress if there is input, or output held back.
  virtual Result<Step> Run(Input& input, char* out, size_t size,
                           size_t* written) = 0;
  // Makes ready for another member. REQUIRES: kMemberEnd was returned.
  virtual Status Restart() = 0;
  // Whether `input`, after a member's end, begins another.
  virtual bool StartsMember(std::string_view input) const = 0;
};

bool IsOutOfMemory(size_t zstd_code) {
  return ZSTD_getErrorCode(zstd_code) == ZSTD_error_memory_allocation;
}

Error Damaged(Compression compression, std::string_view why) {
  return Error(EBADMSG, std::string("damaged ") + ToString(compression) +
                            " stream: " + std::string(why));
}

class ZlibDecoder final : public Decoder {
 public:
  ~ZlibDecoder() override {
    if (ready_) inflateEnd(&stream_);
  }
  Compression compression() const override { return Compression::kGzip; }

  Result<Step> Run(Input& input, char* out, size_t size,
                   size_t* written) override {
    if (!ready_) {
      constexpr int kGzipOnly = 16;
      if (inflateInit2(&stream_, MAX_WBITS + kGzipOnly) != Z_OK)
        return Error(ENOMEM);
      ready_ = true;
    }
    const std::string_view in = input.view();
    stream_.next_in =
        reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));  // NOLINT
    stream_.avail_in = in.size();
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = size;
    const int code = inflate(&stream_, Z_NO_FLUSH);
    input.Consume(in.size() - stream_.avail_in);
    *written += size - stream_.avail_out;
    if (code == Z_STREAM_END) return Step::kMemberEnd;
    if (code == Z_OK || code == Z_BUF_ERROR) return Step::kMore;
    return Damaged(compression(),
                   stream_.msg != nullptr ? stream_.msg : zError(code));
  }

  Status Restart() override {
    if (inflateReset(&stream_) != Z_OK) return Error(ENOMEM);
    return Ok();
  }
  bool StartsMember(std::string_view input) const override {
    return input.starts_with(kGzipMagic);
  }

 private:
  z_stream stream_{};
  bool ready_ = false;
};

#ifdef UFS_HAVE_ISAL
const char* IsalReason(int code) {
  switch (code) {
    case ISAL_INVALID_BLOCK:
      return "invalid block";
    case ISAL_INVALID_SYMBOL:
      return "invalid symbol";
    case ISAL_INVALID_LOOKBACK:
      return "invalid distance";
    case ISAL_INVALID_WRAPPER:
      return "invalid header";
    case ISAL_UNSUPPORTED_METHOD:
      return "unknown method";
    case ISAL_INCORRECT_CHECKSUM:
      return "incorrect checksum";
    default:
      return "unreadable";
  }
}

class IsalDecoder final : public Decoder {
 public:
  IsalDecoder() : state_(std::make_unique<inflate_state>()) { Start(); }
  Compression compression() const override { return Compression::kGzip; }

  Result<Step> Run(Input& input, char* out, size_t size,
                   size_t* written) override {
    const std::string_view in = input.view();
    state_->next_in =
        reinterpret_cast<uint8_t*>(const_cast<char*>(in.data()));  // NOLINT
    state_->avail_in = in.size();
    state_->next_out = reinterpret_cast<uint8_t*>(out);
    state_->avail_out = size;
    const int code = isal_inflate(state_.get());
    input.Consume(in.size() - state_->avail_in);
    *written += size - state_->avail_out;
    if (code != ISAL_DECOMP_OK && code != ISAL_END_INPUT)
      return Damaged(compression(), IsalReason(code));
    return state_->block_state == ISAL_BLOCK_FINISH ? Step::kMemberEnd
                                                    : Step::kMore;
  }

  Status Restart() override {
    Start();
    return Ok();
  }
  bool StartsMember(std::string_view input) const override {
    return input.starts_with(kGzipMagic);
  }

 private:
  void Start() {
    isal_inflate_init(state_.get());
    state_->crc_flag = ISAL_GZIP;  // header and checksum are read and verified
  }

  const std::unique_ptr<inflate_state> state_;
};
#endif

class ZstdDecoder final : public Decoder {
 public:
  ZstdDecoder() : stream_(ZSTD_createDStream()) {}
  ~ZstdDecoder() override { ZSTD_freeDStream(stream_); }
  ZstdDecoder(const ZstdDecoder&) = delete;
  ZstdDecoder& operator=(const ZstdDecoder&) = delete;
  Compression compression() const override { return Compression::kZstd; }

  Result<Step> Run(Input& input, char* out, size_t size,
                   size_t* written) override {
    if (stream_ == nullptr) return Error(ENOMEM);
    const std::string_view in = input.view();
    ZSTD_inBuffer in_buffer{in.data(), in.size(), 0};
    ZSTD_outBuffer out_buffer{out, size, 0};
    const size_t code = ZSTD_decompressStream(stream_, &out_buffer, &in_buffer);
    input.Consume(in_buffer.pos);
    *written += out_buffer.pos;
    if (IsOutOfMemory(code)) return Error(ENOMEM);
    if (ZSTD_isError(code))
      return Damaged(compression(), ZSTD_getErrorName(code));
    return code == 0 ? Step::kMemberEnd : Step::kMore;
  }

  Status Restart() override { return Ok(); }  // the stream does it itself
  bool StartsMember(std::string_view input) const override {
    return input.starts_with(kZstdMagic) || IsZstdSkippable(input);
  }

 private:
  ZSTD_DStream* const stream_;
};

class XzDecoder final : public Decoder {
 public:
  XzDecoder() { Start(); }
  ~XzDecoder() override { lzma_end(&stream_); }
  XzDecoder(const XzDecoder&) = delete;
  XzDecoder& operator=(const XzDecoder&) = delete;
  Compression compression() const override { return Compression::kXz; }

  Result<Step> Run(Input& input, char* out, size_t size,
                   size_t* written) override {
    if (start_ != LZMA_OK) return Error(ENOMEM);
    const std::string_view in = input.view();
    stream_.next_in = reinterpret_cast<const uint8_t*>(in.data());
    stream_.avail_in = in.size();
    stream_.next_out = reinterpret_cast<uint8_t*>(out);
    stream_.avail_out = size;
    const lzma_ret code = lzma_code(&stream_, LZMA_RUN);
    input.Consume(in.size() - stream_.avail_in);
    *written += size - stream_.avail_out;
    switch (code) {
      case LZMA_STREAM_END:
        return Step::kMemberEnd;
      case LZMA_OK:
      case LZMA_BUF_ERROR:
        return Step::kMore;
      case LZMA_MEM_ERROR:
        return Error(ENOMEM);
      case LZMA_MEMLIMIT_ERROR:
        return Error(EFBIG,
                     "the xz stream asks for more than 256 MiB of memory");
      default:
        return Damaged(compression(), code == LZMA_OPTIONS_ERROR
                                          ? "unknown options"
                                          : "corrupt data");
    }
  }

  Status Restart() override {
    Start();
    return start_ == LZMA_OK ? Ok() : Status(Error(ENOMEM));
  }
  bool StartsMember(std::string_view input) const override {
    return input.starts_with(kXzMagic);
  }

 private:
  static constexpr uint64_t kMemoryBytes = 256 << 20;
  void Start() { start_ = lzma_stream_decoder(&stream_, kMemoryBytes, 0); }

  lzma_stream stream_ = LZMA_STREAM_INIT;
  lzma_ret start_ = LZMA_OK;
};

class DecodedSource final : public DecompressedSource {
 public:
  DecodedSource(Input input, std::unique_ptr<Decoder> decoder,
                const DecompressLimits& limits)
      : input_(std::move(input)),
        decoder_(std::move(decoder)),
        limits_(limits) {}

  Compression compression() const override {
    return decoder_ == nullptr ? Compression::kNone : decoder_->compression();
  }
  uint64_t compressed_bytes() const override { return input_.total(); }

  Result<size_t> Read(char* buffer, size_t size) override {
    if (size == 0) return size_t{0};
    const size_t got =
        TRY(decoder_ == nullptr ? Plain(buffer, size) : Decode(buffer, size));
    total_ += got;
    TRY(CheckLimits());
    return got;
  }

 private:
  Result<size_t> Plain(char* buffer, size_t size) {
    TRY(input_.Want(1));
    const size_t count = std::min(size, input_.size());
    std::memcpy(buffer, input_.view().data(), count);
    input_.Consume(count);
    return count;
  }

  Result<size_t> Decode(char* buffer, size_t size) {
    size_t written = 0;
    while (written == 0) {
      if (between_members_) {
        if (!TRY(BeginMember())) return size_t{0};
        between_members_ = false;
      }
      TRY(input_.Want(1));
      const size_t before = input_.size();
      const Step step = TRY(decoder_->Run(input_, buffer, size, &written));
      if (step == Step::kMemberEnd)
        between_members_ = true;
      else if (written == 0 && input_.size() == before)
        return Damaged(compression(),
                       before == 0 ? "it is cut off" : "it makes no progress");
    }
    return written;
  }

  // False at the end of the stream. Zeros may follow, as tapes are padded.
  Result<bool> BeginMember() {
    TRY(input_.Want(8));
    if (decoder_->StartsMember(input_.view())) {
      TRY(decoder_->Restart());
      return true;
    }
    while (!input_.at_end()) {
      const std::string_view rest = input_.view();
      if (rest.find_first_not_of('\0') != rest.npos)
        return Damaged(compression(), "something else follows its end");
      input_.Consume(rest.size());
      TRY(input_.Want(1));
    }
    return false;
  }

  Status CheckLimits() const {
    if (total_ > limits_.max_bytes)
      return Error(EFBIG, "the stream holds more than " +
                              std::to_string(limits_.max_bytes) + " bytes");
    if (decoder_ != nullptr && total_ > limits_.free_bytes &&
        total_ / limits_.max_ratio > input_.total())
      return Error(EFBIG, std::string("the ") + ToString(compression()) +
                              " stream grows more than " +
                              std::to_string(limits_.max_ratio) +
                              " times: a decompression bomb?");
    return Ok();
  }

  Input input_;
  const std::unique_ptr<Decoder> decoder_;  // null: not compressed
  const DecompressLimits limits_;
  uint64_t total_ = 0;
  bool between_members_ = false;
};

class PlainSink final : public CompressedSink {
 public:
  explicit PlainSink(ByteSink& below) : below_(below) {}
  Status Write(std::string_view bytes) override { return below_.Write(bytes); }
  Status Finish() override { return Ok(); }

 private:
  ByteSink& below_;
};

class GzipSink final : public CompressedSink {
 public:
  explicit GzipSink(ByteSink& below) : below_(below) {
    constexpr int kGzipHeader = 16;
    constexpr int kLevel = 6;
    constexpr int kMemLevel = 9;
    ready_ = deflateInit2(&stream_, kLevel, Z_DEFLATED, MAX_WBITS + kGzipHeader,
                          kMemLevel, Z_DEFAULT_STRATEGY) == Z_OK;
  }
  ~GzipSink() override {
    if (ready_) deflateEnd(&stream_);
  }
  GzipSink(const GzipSink&) = delete;
  GzipSink& operator=(const GzipSink&) = delete;

  Status Write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const std::string_view part = bytes.substr(0, 1 << 30);
      TRY(Run(part, Z_NO_FLUSH));
      bytes.remove_prefix(part.size());
    }
    return Ok();
  }
  Status Finish() override { return Run({}, Z_FINISH); }

 private:
  Status Run(std::string_view bytes, int flush) {
    if (!ready_) return Error(ENOMEM);
    stream_.next_in =
        reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // NOLINT
    stream_.avail_in = bytes.size();
    int code;
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(out_);
      stream_.avail_out = sizeof(out_);
      code = deflate(&stream_, flush);
      TRY(below_.Write({out_, sizeof(out_) - stream_.avail_out}));
    } while (stream_.avail_out == 0);
    if (flush == Z_FINISH && code != Z_STREAM_END)
      return Error(EIO, "gzip: the stream did not end");
    return Ok();
  }

  ByteSink& below_;
  z_stream stream_{};
  bool ready_ = false;
  char out_[64 << 10];
};

class ZstdSink final : public CompressedSink {
 public:
  explicit ZstdSink(ByteSink& below)
      : below_(below),
        stream_(ZSTD_createCStream()),
        out_(ZSTD_CStreamOutSize(), '\0') {
    if (stream_ == nullptr) return;
    ZSTD_CCtx_setParameter(stream_, ZSTD_c_compressionLevel, 3);
    ZSTD_CCtx_setParameter(stream_, ZSTD_c_checksumFlag, 1);
  }
  ~ZstdSink() override { ZSTD_freeCStream(stream_); }
  ZstdSink(const ZstdSink&) = delete;
  ZstdSink& operator=(const ZstdSink&) = delete;

  Status Write(std::string_view bytes) override {
    return Run(bytes, ZSTD_e_continue);
  }
  Status Finish() override { return Run({}, ZSTD_e_end); }

 private:
  Status Run(std::string_view bytes, ZSTD_EndDirective mode) {
    if (stream_ == nullptr) return Error(ENOMEM);
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    size_t left;
    do {
      ZSTD_outBuffer out{out_.data(), out_.size(), 0};
      left = ZSTD_compressStream2(stream_, &out, &in, mode);
      if (IsOutOfMemory(left)) return Error(ENOMEM);
      if (ZSTD_isError(left))
        return Error(EIO, std::string("zstd: ") + ZSTD_getErrorName(left));
      TRY(below_.Write({out_.data(), out.pos}));
    } while (mode == ZSTD_e_end ? left != 0 : in.pos < in.size);
    return Ok();
  }

  ByteSink& below_;
  ZSTD_CStream* const stream_;
  std::string out_;
};

std::unique_ptr<Decoder> MakeGzipDecoder(GzipEngine engine) {
#ifdef UFS_HAVE_ISAL
  if (engine == GzipEngine::kFast) return std::make_unique<IsalDecoder>();
#else
  (void)engine;
#endif
  return std::make_unique<ZlibDecoder>();
}

}  // namespace

const char* ToString(Compression compression) {
  switch (compression) {
    case Compression::kNone:
      return "none";
    case Compression::kGzip:
      return "gzip";
    case Compression::kZstd:
      return "zstd";
    case Compression::kXz:
      return "xz";
  }
  return "unknown";
}

Result<Compression> SniffCompression(std::string_view head) {
  if (head.starts_with(kGzipMagic)) return Compression::kGzip;
  if (head.starts_with(kZstdMagic) || IsZstdSkippable(head))
    return Compression::kZstd;
  if (head.starts_with(kXzMagic)) return Compression::kXz;
  if ((head.starts_with("BZh") && head.size() > 4 &&
       head.substr(4, 4) == "1AY&") ||
      head.starts_with(kLz4Magic))
    return Error(ENOTSUP,
                 "compressed with bzip2 or lz4, which is not read; decompress "
                 "it first");
  return Compression::kNone;
}

Result<std::unique_ptr<DecompressedSource>> Decompress(
    ByteSource& below, const DecompressLimits& limits, GzipEngine engine) {
  Input input(below);
  TRY(input.Want(8));
  std::unique_ptr<Decoder> decoder;
  switch (TRY(SniffCompression(input.view()))) {
    case Compression::kNone:
      break;
    case Compression::kGzip:
      decoder = MakeGzipDecoder(engine);
      break;
    case Compression::kZstd:
      decoder = std::make_unique<ZstdDecoder>();
      break;
    case Compression::kXz:
      decoder = std::make_unique<XzDecoder>();
      break;
  }
  return std::unique_ptr<DecompressedSource>(std::make_unique<DecodedSource>(
      std::move(input), std::move(decoder), limits));
}

Result<std::unique_ptr<CompressedSink>> Compress(ByteSink& below,
                                                 Compression compression) {
  switch (compression) {
    case Compression::kNone:
      return std::unique_ptr<CompressedSink>(
          std::make_unique<PlainSink>(below));
    case Compression::kGzip:
      return std::unique_ptr<CompressedSink>(std::make_unique<GzipSink>(below));
    case Compression::kZstd:
      return std::unique_ptr<CompressedSink>(std::make_unique<ZstdSink>(below));
    case Compression::kXz:
      break;
  }
  return Error(ENOTSUP, "xz is read, not written");
}

}  // namespace ufs
