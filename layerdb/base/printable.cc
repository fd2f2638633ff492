#include "layerdb/base/printable.h"

#include <cstdio>

namespace ufs {

std::string Printable(std::string_view text, std::string_view kept) {
  std::string printable;
  const auto add_octal = [&](unsigned char c) {
    char octal[5];
    std::snprintf(octal, sizeof(octal), "\\%03o", c);
    printable += octal;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next =
        i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    if (c == 0xC2 && next >= 0x80 && next < 0xA0) {
      add_octal(c);
      add_octal(next);
      ++i;
    } else if ((c < 0x20 || c == 0x7F) &&
               kept.find(text[i]) == std::string_view::npos) {
      add_octal(c);
    } else {
      printable.push_back(text[i]);
    }
  }
  return printable;
}

}  // namespace ufs
