#include "layerdb/tar_writer.h"

#include <algorithm>
#include <cerrno>
#include <map>

#include "layerdb/tar_header.h"
#include "layerdb/tar_pax.h"

namespace ufs {
namespace {

using tar::Block;

constexpr std::string_view kPaxName = "././@PaxHeader";
constexpr char kZeros[64 << 10] = {};

char TypeFlag(TarType type) {
  switch (type) {
    case TarType::kFile:
      return '0';
    case TarType::kHardLink:
      return '1';
    case TarType::kSymlink:
      return '2';
    case TarType::kCharDevice:
      return '3';
    case TarType::kBlockDevice:
      return '4';
    case TarType::kDirectory:
      return '5';
    case TarType::kFifo:
      return '6';
  }
  return '0';
}

// Where a path can be cut into prefix and name: at the last slash that leaves
// both short enough. Npos when there is none.
size_t SplitAt(std::string_view path) {
  // A trailing slash belongs to the name.
  const size_t last =
      path.size() >= 2 ? path.rfind('/', path.size() - 2) : path.npos;
  for (size_t at = last; at != path.npos && at > 0;
       at = path.rfind('/', at - 1)) {
    if (path.size() - at - 1 > tar::kName.size) return path.npos;
    if (at <= tar::kPrefix.size) return at;
  }
  return path.npos;
}

Block NewBlock(char type) {
  Block block{};
  tar::PutText(block, tar::kMagic, std::string_view("ustar\00000", 8));
  block[tar::kType.offset] = type;
  tar::PutOctal(block, tar::kDevMajor, 0);
  tar::PutOctal(block, tar::kDevMinor, 0);
  return block;
}

void Append(const Block& block, std::string& to) {
  to.append(block.data(), block.size());
}

using Records = std::map<std::string, std::string>;

void PutName(Block& block, std::string_view path, Records& records) {
  if (path.size() <= tar::kName.size)
    return tar::PutText(block, tar::kName, path);
  if (const size_t at = SplitAt(path); at != path.npos) {
    tar::PutText(block, tar::kPrefix, path.substr(0, at));
    return tar::PutText(block, tar::kName, path.substr(at + 1));
  }
  records["path"] = path;
  tar::PutText(block, tar::kName, path);
}

void PutNumber(Block& block, tar::Field field, const char* keyword,
               uint64_t value, Records& records) {
  if (tar::FitsOctal(field, value)) return tar::PutOctal(block, field, value);
  tar::PutOctal(block, field, 0);
  records[keyword] = std::to_string(value);
}

void PutTime(Block& block, const TarEntry& entry, Records& records) {
  const bool fits =
      entry.mtime_sec >= 0 && tar::FitsOctal(tar::kMtime, entry.mtime_sec);
  tar::PutOctal(block, tar::kMtime, fits ? entry.mtime_sec : 0);
  if (!fits || entry.mtime_nsec != 0)
    records["mtime"] = tar::FormatPaxTime(entry.mtime_sec, entry.mtime_nsec);
}

std::string EncodePax(const Records& records) {
  std::string body;
  for (const auto& [keyword, value] : records)
    body += tar::FormatPax(keyword, value);
  Block block = NewBlock('x');
  tar::PutText(block, tar::kName, kPaxName);
  tar::PutOctal(block, tar::kMode, 0);
  tar::PutOctal(block, tar::kUid, 0);
  tar::PutOctal(block, tar::kGid, 0);
  tar::PutOctal(block, tar::kSize, body.size());
  tar::PutOctal(block, tar::kMtime, 0);
  tar::PutChecksum(block);
  std::string out;
  Append(block, out);
  out += body;
  out.append(tar::PaddingOf(body.size()), '\0');
  return out;
}

}  // namespace

std::string EncodeTarHeader(const TarEntry& entry) {
  Records records;
  Block block = NewBlock(TypeFlag(entry.type));
  PutName(block, entry.path, records);
  tar::PutOctal(block, tar::kMode, entry.mode & 07777);
  PutNumber(block, tar::kUid, "uid", entry.uid, records);
  PutNumber(block, tar::kGid, "gid", entry.gid, records);
  PutNumber(block, tar::kSize, "size",
            entry.type == TarType::kFile ? entry.size_bytes : 0, records);
  PutTime(block, entry, records);
  if (entry.link_target.size() > tar::kLinkName.size)
    records["linkpath"] = entry.link_target;
  tar::PutText(block, tar::kLinkName, entry.link_target);
  tar::PutOctal(block, tar::kDevMajor, entry.dev_major);
  tar::PutOctal(block, tar::kDevMinor, entry.dev_minor);
  for (const auto& [name, value] : entry.xattrs)
    records[tar::PaxXattrKeyword(name)] = value;
  tar::PutChecksum(block);
  std::string out = records.empty() ? std::string() : EncodePax(records);
  Append(block, out);
  return out;
}

Status TarWriter::EndEntry() {
  if (left_ > 0)
    return Error(EINVAL, "an entry lacks " + std::to_string(left_) +
                             " bytes of its contents");
  const size_t padding = padding_;
  padding_ = 0;
  return sink_.Write({kZeros, padding});
}

Status TarWriter::Begin(const TarEntry& entry) {
  TRY(EndEntry());
  if (entry.type == TarType::kFile) {
    left_ = entry.size_bytes;
    padding_ = tar::PaddingOf(entry.size_bytes);
  }
  return sink_.Write(EncodeTarHeader(entry));
}

Status TarWriter::Write(std::string_view bytes) {
  if (bytes.size() > left_)
    return Error(EINVAL, "more contents than the entry has");
  left_ -= bytes.size();
  return sink_.Write(bytes);
}

Status TarWriter::WriteZeros(uint64_t count) {
  while (count > 0) {
    const size_t part = std::min<uint64_t>(count, sizeof(kZeros));
    TRY(Write({kZeros, part}));
    count -= part;
  }
  return Ok();
}

Status TarWriter::Finish() {
  TRY(EndEntry());
  return sink_.Write({kZeros, 2 * tar::kBlockBytes});
}

}  // namespace ufs
