#include "layerdb/tar_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

namespace ufs {
namespace {

constexpr size_t kReadBytes = 256 << 10;
constexpr uint64_t kMaxSize = std::numeric_limits<int64_t>::max();

tar::Dialect DialectOf(const tar::Block& block) {
  using namespace std::string_view_literals;
  const std::string_view magic = tar::Get(block, tar::kMagic);
  if (magic == "ustar  \0"sv) return tar::Dialect::kGnu;
  if (magic.substr(0, 6) != "ustar\0"sv) return tar::Dialect::kV7;
  return tar::Get(block, tar::kStarTrailer) == "tar\0"sv ? tar::Dialect::kStar
                                                         : tar::Dialect::kUstar;
}

bool IsZero(std::string_view bytes) {
  return bytes.find_first_not_of('\0') == bytes.npos;
}

// An id as the kernel has it: 32 bits, and -1 is nobody.
Result<uint32_t> IdOf(const char* what, int64_t number) {
  if (number >= 0 && number < std::numeric_limits<uint32_t>::max())
    return static_cast<uint32_t>(number);
  return Error(EBADMSG, std::string(what) + " " + std::to_string(number) +
                            " is not an id of 32 bits");
}

}  // namespace

// The header block of an entry and what its extended headers say.
struct TarReader::Header {
  tar::Block block;
  tar::Dialect dialect = tar::Dialect::kV7;
  tar::PaxRecords pax;
  std::optional<std::string> gnu_name, gnu_link;
  uint64_t extended_bytes = 0;
};

TarReader::TarReader(ByteSource& source, TarObserver* observer,
                     const TarLimits& limits)
    : source_(source),
      observer_(observer),
      limits_(limits),
      buffer_(std::make_unique_for_overwrite<char[]>(kReadBytes)) {}

Error TarReader::Bad(std::string_view why) const {
  return Error(EBADMSG, "header at byte " + std::to_string(header_offset_) +
                            ": " + std::string(why));
}

// At least `count` bytes of what comes, unless the stream ends: then fewer.
// REQUIRES: count <= kReadBytes.
Result<std::string_view> TarReader::Peek(size_t count) {
  if (end_ - begin_ < count) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    while (end_ < count) {
      const size_t got =
          TRY(source_.Read(buffer_.get() + end_, kReadBytes - end_));
      if (got == 0) break;
      end_ += got;
    }
  }
  return std::string_view(buffer_.get() + begin_, end_ - begin_);
}

Status TarReader::Use(size_t count, bool raw) {
  if (raw && observer_ != nullptr && count > 0)
    TRY(observer_->OnRaw({buffer_.get() + begin_, count}));
  begin_ += count;
  offset_ += count;
  return Ok();
}

// False at the end of the stream.
Result<bool> TarReader::ReadBlock(tar::Block& block) {
  const std::string_view bytes = TRY(Peek(block.size()));
  if (bytes.empty()) return false;
  if (bytes.size() < block.size())
    return Error(EBADMSG, "the archive is cut off in a block at byte " +
                              std::to_string(offset_));
  std::memcpy(block.data(), bytes.data(), block.size());
  TRY(Use(block.size(), /*raw=*/true));
  return true;
}

Status TarReader::SkipRaw(uint64_t count) {
  while (count > 0) {
    const size_t want = std::min<uint64_t>(count, kReadBytes);
    const size_t got = std::min<uint64_t>(TRY(Peek(1)).size(), want);
    if (got == 0)
      return Error(EBADMSG,
                   "the archive is cut off at byte " + std::to_string(offset_));
    TRY(Use(got, /*raw=*/true));
    count -= got;
  }
  return Ok();
}

Status TarReader::FinishContents() {
  TRY(SkipRaw(left_));
  TRY(SkipRaw(padding_));
  left_ = padding_ = 0;
  return Ok();
}

// After the first block of zeros. A second one has to follow, unless the stream
// ends; after them zeros may, as tapes are padded, but nothing else: readers
// would not agree whether it counts.
Status TarReader::ReadEnd() {
  while (true) {
    const std::string_view bytes = TRY(Peek(1));
    if (bytes.empty()) return Ok();
    if (!IsZero(bytes))
      return Error(EBADMSG, "something follows the end mark, before byte " +
                                std::to_string(offset_ + bytes.size()));
    TRY(Use(bytes.size(), /*raw=*/true));
  }
}

Result<bool> TarReader::Next(TarEntry& entry) {
  TRY(FinishContents());
  Header header;
  header.pax = global_;
  if (!TRY(ReadHeader(header))) return false;
  entry = TarEntry();
  auto decoded = Decode(header, entry);
  if (!decoded.ok() && !entry.path.empty())
    return Error(std::move(decoded).error()).With("entry '" + entry.path + "'");
  TRY(std::move(decoded));
  return true;
}

// Up to the header of an entry; false at the end mark.
Result<bool> TarReader::ReadHeader(Header& header) {
  while (true) {
    header_offset_ = offset_;
    tar::Block& block = header.block;
    const bool inside = header.extended_bytes > 0;
    if (!TRY(ReadBlock(block))) {
      if (!limits_.needs_end_mark && !inside && offset_ > 0) return false;
      return Error(EBADMSG, offset_ == 0
                                ? "empty: not a tar archive"
                                : "the archive is cut off: no end mark at "
                                  "byte " +
                                      std::to_string(offset_));
    }
    if (IsZero({block.data(), block.size()})) {
      if (inside) return Bad("no entry follows the extended header");
      TRY(ReadEnd());
      return false;
    }
    if (!tar::HasValidChecksum(block))
      return Bad(offset_ == block.size() ? "not a tar archive (bad checksum)"
                                         : "bad checksum");
    header.dialect = DialectOf(block);
    const char type = block[tar::kType.offset];
    if (type != 'x' && type != 'X' && type != 'g' && type != 'L' &&
        type != 'K' && type != 'V')
      return true;
    const auto size = tar::ParseNumber(tar::Get(block, tar::kSize));
    if (!size.ok()) return Bad("size: " + std::string(size.error().context()));
    if (*size < 0) return Bad("a negative size");
    if (auto read = ReadMeta(type, *size, header); !read.ok())
      return Bad(read.error().context().empty() ? read.error().ToString()
                                                : read.error().context());
  }
}

// The contents of a header of headers.
Result<std::string> TarReader::ReadExtended(uint64_t size,
                                            std::string_view what) {
  std::string text;
  while (text.size() < size) {
    const std::string_view bytes = TRY(Peek(1));
    if (bytes.empty()) return Error(EBADMSG, std::string(what) + " is cut off");
    const std::string_view part = bytes.substr(0, size - text.size());
    text += part;
    TRY(Use(part.size(), /*raw=*/true));
  }
  TRY(SkipRaw(tar::PaddingOf(size)));
  return text;
}

Status TarReader::ReadMeta(char type, uint64_t size, Header& header) {
  // Counts also what is empty, so that they cannot go on for ever. Those for
  // the whole archive are kept, and count for the whole archive.
  uint64_t& total = type == 'g' ? global_bytes_ : header.extended_bytes;
  if (size > limits_.header_bytes ||
      total + size + tar::kBlockBytes > limits_.header_bytes)
    return Error(EBADMSG, "extended headers of more than " +
                              std::to_string(limits_.header_bytes) + " bytes");
  total += size + tar::kBlockBytes;
  if (type == 'V') {
    header.extended_bytes -= size + tar::kBlockBytes;  // says nothing
    return SkipRaw(size + tar::PaddingOf(size));
  }
  if (type == 'g') {
    if (header.extended_bytes > 0)
      return Error(EBADMSG, "a global header between an entry's headers");
    TRY(tar::ParsePax(TRY(ReadExtended(size, "a global header")), global_));
    // What belongs to one file makes no sense for all of them.
    if (global_.path || global_.link_target || global_.size ||
        global_.sparse.present)
      return Error(EBADMSG, "a global header with a path, a link or a size");
    header.pax = global_;
    return Ok();
  }
  if (type == 'x' || type == 'X') {
    // Of two, the last counts, whole, to whoever else reads tars.
    header.pax = global_;
    return tar::ParsePax(TRY(ReadExtended(size, "an extended header")),
                         header.pax);
  }
  std::string name = TRY(ReadExtended(size, "a long name"));
  name.resize(std::strlen(name.c_str()));  // one NUL, or more, at its end
  if (name.empty()) return Error(EBADMSG, "an empty long name");
  (type == 'L' ? header.gnu_name : header.gnu_link) = std::move(name);
  return Ok();
}

Status TarReader::DecodeNames(const Header& header, TarEntry& entry) {
  const tar::Block& block = header.block;
  entry.path = tar::GetText(block, tar::kName);
  if (header.dialect == tar::Dialect::kUstar ||
      header.dialect == tar::Dialect::kStar) {
    const std::string_view prefix = tar::GetText(
        block, header.dialect == tar::Dialect::kStar ? tar::kStarPrefix
                                                     : tar::kPrefix);
    if (!prefix.empty()) entry.path = std::string(prefix) + "/" + entry.path;
  }
  entry.link_target = tar::GetText(block, tar::kLinkName);
  if (header.gnu_name) entry.path = *header.gnu_name;
  if (header.gnu_link) entry.link_target = *header.gnu_link;
  if (header.pax.path) entry.path = *header.pax.path;
  if (header.pax.link_target) entry.link_target = *header.pax.link_target;
  if (header.pax.sparse.name) entry.path = *header.pax.sparse.name;
  // Readers do not agree which of the two wins.
  if ((header.gnu_name && header.pax.path &&
       *header.gnu_name != *header.pax.path) ||
      (header.gnu_link && header.pax.link_target &&
       *header.gnu_link != *header.pax.link_target))
    return Bad("a GNU long name and a pax path that differ");
  if (entry.path.empty()) return Bad("an empty name");
  return Ok();
}

Status TarReader::DecodeType(const Header& header, TarEntry& entry) {
  const char type = header.block[tar::kType.offset];
  switch (type) {
    case '0':
    case '\0':
    case '7':  // contiguous: nobody stores them otherwise
    case 'S':
      entry.type = TarType::kFile;
      // How directories were written before there was a type for them.
      if (type == '\0' && entry.path.ends_with('/'))
        entry.type = TarType::kDirectory;
      return Ok();
    case '1':
      entry.type = TarType::kHardLink;
      break;
    case '2':
      entry.type = TarType::kSymlink;
      break;
    case '3':
      entry.type = TarType::kCharDevice;
      break;
    case '4':
      entry.type = TarType::kBlockDevice;
      break;
    case '5':
      entry.type = TarType::kDirectory;
      break;
    case '6':
      entry.type = TarType::kFifo;
      break;
    default:
      return Error(EBADMSG,
                   std::string("entries of type '") +
                       (type > ' ' && type < 0x7f ? type : '?') +
                       "' (GNU incremental, multi-volume and others) are not "
                       "understood");
  }
  if ((entry.type == TarType::kHardLink || entry.type == TarType::kSymlink) &&
      entry.link_target.empty())
    return Error(EBADMSG, "a link without a target");
  return Ok();
}

Status TarReader::Decode(const Header& header, TarEntry& entry) {
  TRY(DecodeNames(header, entry));
  const tar::Block& block = header.block;
  const auto number = [&](tar::Field field,
                          const char* what) -> Result<int64_t> {
    return tar::ParseNumber(tar::Get(block, field)).With(what);
  };
  TRY(DecodeType(header, entry));
  entry.mode = TRY(number(tar::kMode, "mode")) & 07777;
  const auto& pax = header.pax;
  const auto id = [&](const std::optional<uint64_t>& told, tar::Field field,
                      const char* what) -> Result<uint32_t> {
    if (!told) return IdOf(what, TRY(number(field, what)));
    if (*told > kMaxSize)
      return Error(EBADMSG, std::string(what) + " " + std::to_string(*told) +
                                " is not an id of 32 bits");
    return IdOf(what, static_cast<int64_t>(*told));
  };
  entry.uid = TRY(id(pax.uid, tar::kUid, "uid"));
  entry.gid = TRY(id(pax.gid, tar::kGid, "gid"));
  if (pax.mtime) {
    entry.mtime_sec = pax.mtime->first;
    entry.mtime_nsec = pax.mtime->second;
  } else {
    entry.mtime_sec = TRY(number(tar::kMtime, "mtime"));
  }
  if (entry.type == TarType::kCharDevice ||
      entry.type == TarType::kBlockDevice) {
    const int64_t major = TRY(number(tar::kDevMajor, "device number"));
    const int64_t minor = TRY(number(tar::kDevMinor, "device number"));
    // As the kernel has them.
    if (major < 0 || major >= 1 << 12 || minor < 0 || minor >= 1 << 20)
      return Error(EBADMSG, "device " + std::to_string(major) + ":" +
                                std::to_string(minor) + " does not exist");
    entry.dev_major = static_cast<uint32_t>(major);
    entry.dev_minor = static_cast<uint32_t>(minor);
  }
  entry.xattrs.assign(pax.xattrs.begin(), pax.xattrs.end());
  // libarchive's mode tells of the owning group what the mask should.
  if (pax.acl_mode) entry.mode = (entry.mode & ~mode_t{0777}) | *pax.acl_mode;
  // Only files have contents. Others that tell a size have none all the same,
  // as in the readers of container engines; if they do, the next header fails.
  const int64_t size = TRY(number(tar::kSize, "size"));
  if (size < 0 || (pax.size && *pax.size > kMaxSize))
    return Error(EBADMSG, "a negative or impossible size");
  stored_bytes_ = entry.type != TarType::kFile ? 0
                  : pax.size                   ? *pax.size
                                               : static_cast<uint64_t>(size);
  if (stored_bytes_ > kMaxSize - tar::kBlockBytes)
    return Error(EBADMSG, "a negative or impossible size");
  left_ = stored_bytes_;
  padding_ = tar::PaddingOf(stored_bytes_);
  entry.size_bytes = stored_bytes_;
  TRY(DecodeSparse(header, entry));
  extents_ =
      entry.sparse ? entry.extents : std::vector<TarExtent>{{0, stored_bytes_}};
  extent_ = 0;
  extent_used_ = 0;
  return Ok();
}

Status TarReader::DecodeSparse(const Header& header, TarEntry& entry) {
  const auto& sparse = header.pax.sparse;
  const bool old_gnu = header.block[tar::kType.offset] == 'S';
  if (!old_gnu && !sparse.present) return Ok();
  if (entry.type != TarType::kFile || (old_gnu && sparse.present))
    return Error(EBADMSG, "a sparse map where none can be");
  entry.sparse = true;
  if (old_gnu) {
    if (header.dialect != tar::Dialect::kGnu)
      return Error(EBADMSG, "a GNU sparse file in no GNU archive");
    TRY(ReadGnuMap(header, entry));
  } else {
    const uint64_t major = sparse.major.value_or(0);
    if (major > 1 || (major == 1 && sparse.minor.value_or(0) != 0))
      return Error(EBADMSG, "an unknown version of GNU sparse files");
    if (!sparse.real_size)
      return Error(EBADMSG, "a sparse file that does not tell its size");
    entry.size_bytes = *sparse.real_size;
    entry.extents = sparse.extents;
    if (major == 1) TRY(ReadPaxMap(entry));
  }
  return CheckSparse(entry);
}

Status TarReader::ReadGnuMap(const Header& header, TarEntry& entry) {
  const auto number = [](std::string_view field) {
    return tar::ParseNumber(field).With("sparse map");
  };
  const int64_t size = TRY(number(tar::Get(header.block, tar::kGnuRealSize)));
  if (size < 0) return Error(EBADMSG, "a negative size");
  entry.size_bytes = static_cast<uint64_t>(size);
  constexpr size_t kNumberBytes = 12;
  const auto add = [&](std::string_view map) -> Status {
    for (; map.size() >= 2 * kNumberBytes;
         map.remove_prefix(2 * kNumberBytes)) {
      if (map[0] == '\0') break;
      const int64_t offset = TRY(number(map.substr(0, kNumberBytes)));
      const int64_t bytes = TRY(number(map.substr(kNumberBytes, kNumberBytes)));
      if (offset < 0 || bytes < 0)
        return Error(EBADMSG, "a negative number in the sparse map");
      entry.extents.push_back(
          {static_cast<uint64_t>(offset), static_cast<uint64_t>(bytes)});
    }
    return Ok();
  };
  TRY(add(tar::Get(header.block, tar::kGnuSparse)));
  bool more = header.block[tar::kGnuMore.offset] != '\0';
  while (more) {
    tar::Block block;
    if (!TRY(ReadBlock(block)) || entry.extents.size() > tar::kMaxExtents)
      return Error(EBADMSG, "the sparse map is cut off, or without end");
    TRY(add(tar::Get(block, tar::kGnuMoreSparse)));
    more = block[tar::kGnuMoreMore.offset] != '\0';
  }
  return Ok();
}

// Format 1.0: the map, decimal numbers each on a line, is at the beginning of
// the contents, and fills whole blocks.
Status TarReader::ReadPaxMap(TarEntry& entry) {
  uint64_t used = 0;
  tar::Block block;
  size_t at = block.size();
  const auto next = [&]() -> Result<uint64_t> {
    std::string digits;
    while (true) {
      if (at == block.size()) {
        if (left_ < block.size() || !TRY(ReadBlock(block)))
          return Error(EBADMSG, "the sparse map is cut off");
        left_ -= block.size();
        used += block.size();
        at = 0;
      }
      const char c = block[at++];
      if (c == '\n') break;
      digits += c;
      if (digits.size() > 20) break;
    }
    return tar::ParseDecimal(digits).With("sparse map: not a number");
  };
  const uint64_t count = TRY(next());
  if (count > tar::kMaxExtents)
    return Error(EBADMSG, "a sparse map of too many parts");
  entry.extents.clear();
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t offset = TRY(next());
    entry.extents.push_back({offset, TRY(next())});
  }
  stored_bytes_ -= used;
  return Ok();
}

Status TarReader::CheckSparse(const TarEntry& entry) const {
  uint64_t end = 0, total = 0;
  for (const TarExtent& extent : entry.extents) {
    if (extent.offset < end || extent.size > entry.size_bytes ||
        extent.offset > entry.size_bytes - extent.size)
      return Error(EBADMSG, "the sparse map overlaps, or leaves the file");
    end = extent.offset + extent.size;
    total += extent.size;
  }
  if (entry.size_bytes > kMaxSize || total != stored_bytes_)
    return Error(EBADMSG, "the sparse map is not that of the contents");
  return Ok();
}

Result<TarReader::Run> TarReader::ReadRun() {
  while (extent_ < extents_.size() && extent_used_ == extents_[extent_].size) {
    ++extent_;
    extent_used_ = 0;
  }
  if (left_ == 0 || extent_ == extents_.size()) return Run{};
  const TarExtent& extent = extents_[extent_];
  const uint64_t want = std::min(left_, extent.size - extent_used_);
  std::string_view bytes = TRY(Peek(1));
  if (bytes.empty())
    return Error(EBADMSG,
                 "the archive is cut off at byte " + std::to_string(offset_));
  bytes = bytes.substr(0, want);
  const Run run{extent.offset + extent_used_, bytes};
  TRY(Use(bytes.size(), /*raw=*/false));
  left_ -= bytes.size();
  extent_used_ += bytes.size();
  return run;
}

}  // namespace ufs
