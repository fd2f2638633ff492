// Archives made by hand, for tests: also such as no writer would write.
#pragma once

#include <string>
#include <string_view>

#include "layerdb/tar_header.h"
#include "layerdb/tar_pax.h"

namespace ufs::test {

// A member: a header block whose fields can be set to anything, and contents.
class TarMember {
 public:
  TarMember(std::string_view name, char type, std::string contents = "")
      : contents_(std::move(contents)) {
    tar::PutText(block_, tar::kName, name);
    block_[tar::kType.offset] = type;
    tar::PutText(block_, tar::kMagic, std::string_view("ustar\00000", 8));
    tar::PutOctal(block_, tar::kMode, type == '5' ? 0755 : 0644);
    tar::PutOctal(block_, tar::kUid, 0);
    tar::PutOctal(block_, tar::kGid, 0);
    tar::PutOctal(block_, tar::kSize, contents_.size());
    tar::PutOctal(block_, tar::kMtime, 1'600'000'000);
  }

  TarMember& Set(tar::Field field, std::string_view bytes) {
    for (size_t i = 0; i < field.size; ++i)
      block_[field.offset + i] = i < bytes.size() ? bytes[i] : '\0';
    return *this;
  }
  TarMember& Link(std::string_view target) {
    return Set(tar::kLinkName, target);
  }
  TarMember& Gnu() {
    return Set(tar::kMagic, std::string_view("ustar  \0", 8));
  }

  std::string Bytes() const {
    tar::Block block = block_;
    tar::PutChecksum(block);
    return std::string(block.data(), block.size()) + contents_ +
           std::string(tar::PaddingOf(contents_.size()), '\0');
  }

 private:
  tar::Block block_{};
  std::string contents_;
};

inline std::string TarEnd() { return std::string(1024, '\0'); }

// A pax header for the member that follows.
inline std::string Pax(const std::string& records, char type = 'x') {
  return TarMember("pax", type, records).Bytes();
}

inline std::string File(std::string_view name, std::string contents = "") {
  return TarMember(name, '0', std::move(contents)).Bytes();
}
inline std::string Dir(std::string_view name) {
  return TarMember(name, '5').Bytes();
}
inline std::string Symlink(std::string_view name, std::string_view target) {
  return TarMember(name, '2').Link(target).Bytes();
}
inline std::string HardLink(std::string_view name, std::string_view target) {
  return TarMember(name, '1').Link(target).Bytes();
}

}  // namespace ufs::test
