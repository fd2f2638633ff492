#include "layerdb/tar_reader.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

#include "layerdb/tar_test_util.h"

namespace ufs {
namespace {

using namespace std::string_view_literals;
using namespace std::string_literals;
using tar::FormatPax;
using test::Dir;
using test::File;
using test::HardLink;
using test::Pax;
using test::Symlink;
using test::TarEnd;
using test::TarMember;

struct Read {
  TarEntry entry;
  std::string contents;  // holes as zeros
};

class Collector : public TarObserver {
 public:
  Status OnRaw(std::string_view bytes) override {
    raw += bytes;
    return Ok();
  }
  std::string raw;
};

Result<std::vector<Read>> ReadTar(const std::string& bytes,
                                  TarObserver* observer = nullptr,
                                  const TarLimits& limits = {}) {
  MemorySource source(bytes);
  TarReader reader(source, observer, limits);
  std::vector<Read> all;
  TarEntry entry;
  while (TRY(reader.Next(entry))) {
    std::string contents;
    while (true) {
      const TarReader::Run run = TRY(reader.ReadRun());
      if (run.bytes.empty()) break;
      contents.resize(run.offset);
      contents += run.bytes;
    }
    if (entry.size_bytes < 1 << 30) contents.resize(entry.size_bytes);
    all.push_back({entry, std::move(contents)});
  }
  EXPECT_EQ(reader.offset(), bytes.size());
  return all;
}

// The one entry of an archive of one.
Read ReadOne(const std::string& member) {
  auto all = ReadTar(member + TarEnd());
  EXPECT_TRUE(all.ok()) << all.error().ToString();
  if (!all.ok()) return {};
  EXPECT_EQ(all->size(), 1u);
  return all->empty() ? Read{} : (*all)[0];
}

void ExpectRefused(const std::string& bytes, std::string_view why,
                   const char* file_line) {
  const auto all = ReadTar(bytes);
  EXPECT_EQ(all.code(), EBADMSG) << file_line;
  if (all.ok()) return;
  EXPECT_NE(all.error().ToString().find(why), std::string::npos)
      << file_line << ": " << all.error().ToString();
}
#define STRINGIFY2(x) #x
#define STRINGIFY(x) STRINGIFY2(x)
#define EXPECT_REFUSED(bytes, why) \
  ExpectRefused(bytes, why, __FILE__ ":" STRINGIFY(__LINE__))

TEST(TarReader, ReadsTheKindsOfEntries) {
  const auto all =
      ReadTar(Dir("d/") + File("d/f", "hello") + HardLink("d/h", "d/f") +
              Symlink("d/s", "../x") + TarMember("p", '6').Bytes() +
              TarMember("c", '3')
                  .Set(tar::kDevMajor, "0000001")
                  .Set(tar::kDevMinor, "0000003")
                  .Bytes() +
              TarMember("b", '4').Set(tar::kDevMajor, "0000010").Bytes() +
              TarMember("old", '\0', "x").Bytes() +
              TarMember("7", '7', "y").Bytes() + TarEnd());
  ASSERT_TRUE(all.ok()) << all.error().ToString();
  ASSERT_EQ(all->size(), 9u);
  EXPECT_EQ((*all)[0].entry.type, TarType::kDirectory);
  EXPECT_EQ((*all)[0].entry.mode, 0755u);
  EXPECT_EQ((*all)[1].contents, "hello");
  EXPECT_EQ((*all)[1].entry.mtime_sec, 1'600'000'000);
  EXPECT_EQ((*all)[2].entry.type, TarType::kHardLink);
  EXPECT_EQ((*all)[2].entry.link_target, "d/f");
  EXPECT_EQ((*all)[3].entry.link_target, "../x");
  EXPECT_EQ((*all)[4].entry.type, TarType::kFifo);
  EXPECT_EQ((*all)[5].entry.type, TarType::kCharDevice);
  EXPECT_EQ((*all)[5].entry.dev_minor, 3u);
  EXPECT_EQ((*all)[6].entry.dev_major, 8u);
  EXPECT_EQ((*all)[7].contents, "x");
  EXPECT_EQ((*all)[8].contents, "y");
}

TEST(TarReader, ObserverHearsWhatIsNotContents) {
  const std::string before = Dir("d/");
  const std::string file = File("f", "contents");
  const std::string end = TarEnd() + std::string(8192, '\0');
  Collector seen;
  ASSERT_TRUE(ReadTar(before + file + end, &seen).ok());
  EXPECT_TRUE(seen.raw ==
              before + file.substr(0, 512) + file.substr(520) + end);
}

TEST(TarReader, NamesOfAllForms) {
  EXPECT_EQ(
      ReadOne(TarMember("n", '0').Set(tar::kPrefix, "a/b").Bytes()).entry.path,
      "a/b/n");
  const std::string full(100, 'n');
  EXPECT_EQ(ReadOne(File(full)).entry.path, full);
  // GNU headers keep times where others have a prefix.
  EXPECT_EQ(
      ReadOne(
          TarMember("n", '0').Gnu().Set(tar::kPrefix, "14000000000").Bytes())
          .entry.path,
      "n");
  EXPECT_EQ(ReadOne(TarMember("n", '0')
                        .Set(tar::kStarPrefix, "star")
                        .Set(tar::kStarTrailer, "tar"sv)
                        .Bytes())
                .entry.path,
            "star/n");
  EXPECT_EQ(
      ReadOne(TarMember("dir/", '\0').Set(tar::kMagic, "").Bytes()).entry.type,
      TarType::kDirectory);
  const std::string name(300, 'x');
  EXPECT_EQ(ReadOne(TarMember("././@LongLink", 'L', name + '\0').Gnu().Bytes() +
                    TarMember("n", '0').Gnu().Bytes())
                .entry.path,
            name);
  EXPECT_EQ(ReadOne(TarMember("././@LongLink", 'K', name + '\0').Gnu().Bytes() +
                    Symlink("n", "short"))
                .entry.link_target,
            name);
  const Read pax =
      ReadOne(Pax(FormatPax("path", "p\xff\n") + FormatPax("linkpath", name)) +
              Symlink("n", "short"));
  EXPECT_EQ(pax.entry.path, "p\xff\n");
  EXPECT_EQ(pax.entry.link_target, name);
}

TEST(TarReader, PaxNumbersWin) {
  const Read read = ReadOne(
      Pax(FormatPax("size", "3") + FormatPax("uid", "4294967294") +
          FormatPax("gid", "7000000") + FormatPax("mtime", "-1.5") +
          FormatPax("SCHILY.xattr.user.b", "2") +
          FormatPax("SCHILY.xattr.user.a", "1")) +
      TarMember("f", '0', "abc").Set(tar::kSize, "00000000001").Bytes());
  EXPECT_EQ(read.contents, "abc");
  EXPECT_EQ(read.entry.uid, 4294967294u);
  EXPECT_EQ(read.entry.gid, 7000000u);
  EXPECT_EQ(read.entry.mtime_sec, -2);
  EXPECT_EQ(read.entry.mtime_nsec, 500'000'000u);
  ASSERT_EQ(read.entry.xattrs.size(), 2u);
  EXPECT_EQ(read.entry.xattrs[0].first, "user.a");
}

TEST(TarReader, GlobalHeadersHoldUntilChanged) {
  const auto all =
      ReadTar(Pax(FormatPax("uid", "5") + FormatPax("comment", "x"), 'g') +
              File("a") + Pax(FormatPax("uid", "6")) + File("b") + File("c") +
              Pax(FormatPax("uid", ""), 'g') + File("d") + TarEnd());
  ASSERT_TRUE(all.ok()) << all.error().ToString();
  EXPECT_EQ((*all)[0].entry.uid, 5u);
  EXPECT_EQ((*all)[1].entry.uid, 6u);
  EXPECT_EQ((*all)[2].entry.uid, 5u);
  EXPECT_EQ((*all)[3].entry.uid, 0u);
  EXPECT_REFUSED(Pax(FormatPax("path", "x"), 'g') + File("a") + TarEnd(),
                 "global header");
}

TEST(TarReader, SparseFilesOfAllForms) {
  const std::string a(512, 'a'), b(100, 'b');
  std::string expected =
      std::string(512, '\0') + a + std::string(1024, '\0') + b;
  expected.resize(5000);
  const auto check = [&](const std::string& member, const char* form) {
    const Read read = ReadOne(member);
    EXPECT_TRUE(read.entry.sparse) << form;
    EXPECT_EQ(read.entry.size_bytes, 5000u) << form;
    EXPECT_TRUE(read.contents == expected) << form;
    EXPECT_EQ(read.entry.path, "sparse") << form;
  };
  check(TarMember("sparse", 'S', a + b)
            .Gnu()
            .Set({386, 12}, "00000001000")
            .Set({398, 12}, "00000001000")
            .Set({410, 12}, "00000004000")
            .Set({422, 12}, "00000000144")
            .Set(tar::kGnuRealSize, "00000011610")
            .Bytes(),
        "old");
  check(Pax(FormatPax("GNU.sparse.size", "5000") +
            FormatPax("GNU.sparse.numblocks", "2") +
            FormatPax("GNU.sparse.offset", "512") +
            FormatPax("GNU.sparse.numbytes", "512") +
            FormatPax("GNU.sparse.offset", "2048") +
            FormatPax("GNU.sparse.numbytes", "100")) +
            File("sparse", a + b),
        "0.0");
  check(Pax(FormatPax("GNU.sparse.size", "5000") +
            FormatPax("GNU.sparse.name", "sparse") +
            FormatPax("GNU.sparse.map", "512,512,2048,100")) +
            File("GNUSparseFile.1/sparse", a + b),
        "0.1");
  std::string map = "2\n512\n512\n2048\n100\n";
  map.resize(512);
  check(Pax(FormatPax("GNU.sparse.major", "1") +
            FormatPax("GNU.sparse.minor", "0") +
            FormatPax("GNU.sparse.name", "sparse") +
            FormatPax("GNU.sparse.realsize", "5000")) +
            File("GNUSparseFile.1/sparse", map + a + b),
        "1.0");
}

TEST(TarReader, OldSparseMapGoesOnInFurtherBlocks) {
  // 30 extents of one byte: four in the header, 21 in a block, five in another.
  TarMember member("s", 'S');
  std::string blocks;
  tar::Block block{};
  int in_block = 0;
  const auto octal = [](uint64_t n) {
    char text[13];
    std::snprintf(text, sizeof(text), "%011llo",
                  static_cast<unsigned long long>(n));
    return std::string(text);
  };
  for (size_t i = 0; i < 30; ++i) {
    if (i < 4) {
      member.Set({386 + i * 24, 12}, octal(i * 10));
      member.Set({398 + i * 24, 12}, octal(1));
      continue;
    }
    tar::PutText(block, {in_block * 24ul, 12}, octal(i * 10));
    tar::PutText(block, {in_block * 24ul + 12, 12}, octal(1));
    if (++in_block == 21 || i == 29) {
      block[504] = i == 29 ? 0 : 1;
      blocks.append(block.data(), block.size());
      block = {};
      in_block = 0;
    }
  }
  const std::string contents(30, 'x');
  const Read read = ReadOne(member.Gnu()
                                .Set({482, 1}, "\1")
                                .Set(tar::kGnuRealSize, octal(300))
                                .Set(tar::kSize, octal(30))
                                .Bytes() +
                            blocks + contents + std::string(512 - 30, '\0'));
  ASSERT_EQ(read.entry.extents.size(), 30u);
  EXPECT_EQ(read.contents[290], 'x');
  EXPECT_EQ(read.contents[291], '\0');
}

TEST(TarReader, RefusesBadSparseMaps) {
  const auto pax = [](const std::string& map, const std::string& size) {
    return Pax(FormatPax("GNU.sparse.size", size) +
               FormatPax("GNU.sparse.map", map)) +
           File("s", "0123456789") + TarEnd();
  };
  EXPECT_TRUE(ReadTar(pax("0,5,5,5", "10")).ok());
  EXPECT_TRUE(ReadTar(pax("0,10,100,0", "100")).ok());
  EXPECT_REFUSED(pax("0,6,5,4", "10"), "overlaps");
  EXPECT_REFUSED(pax("5,5,0,5", "10"), "overlaps");
  EXPECT_REFUSED(pax("0,10", "9"), "leaves the file");
  EXPECT_REFUSED(pax("18446744073709551615,10", "100"), "leaves the file");
  EXPECT_REFUSED(pax("0,9", "10"), "not that of the contents");
  EXPECT_REFUSED(pax("0,11", "100"), "not that of the contents");
  EXPECT_REFUSED(pax("0,10", "18446744073709551615"), "not that");
  EXPECT_REFUSED(Pax(FormatPax("GNU.sparse.major", "1") +
                     FormatPax("GNU.sparse.realsize", "10")) +
                     File("s", "9999999999\n") + TarEnd(),
                 "sparse map");
  EXPECT_REFUSED(Pax(FormatPax("GNU.sparse.major", "2") +
                     FormatPax("GNU.sparse.realsize", "10")) +
                     File("s", "x") + TarEnd(),
                 "unknown version");
  EXPECT_REFUSED(Pax(FormatPax("GNU.sparse.size", "0")) + Dir("d/") + TarEnd(),
                 "sparse map where");
}

TEST(TarReader, RefusesIdsBeyond32Bits) {
  const std::string big("\x80\0\0\x01\0\0\0\0", 8);
  EXPECT_REFUSED(TarMember("f", '0').Set(tar::kUid, big).Bytes() + TarEnd(),
                 "entry 'f': uid 4294967296 is not an id of 32 bits");
  EXPECT_REFUSED(TarMember("f", '0').Set(tar::kGid, big).Bytes() + TarEnd(),
                 "gid");
  EXPECT_REFUSED(Pax(FormatPax("uid", "4294967295")) + File("f") + TarEnd(),
                 "uid");
  EXPECT_REFUSED(
      Pax(FormatPax("gid", "18446744073709551615")) + File("f") + TarEnd(),
      "gid");
  EXPECT_REFUSED(TarMember("f", '0')
                         .Set(tar::kUid, "\xff\xff\xff\xff\xff\xff\xff\xff")
                         .Bytes() +
                     TarEnd(),
                 "uid -1");
}

TEST(TarReader, RefusesImpossibleSizes) {
  EXPECT_REFUSED(
      TarMember("f", '0')
              .Set(tar::kSize,
                   "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
              .Bytes() +
          TarEnd(),
      "entry 'f': a negative or impossible size");
  EXPECT_REFUSED(
      Pax(FormatPax("size", "9223372036854775807")) + File("f") + TarEnd(),
      "impossible size");
  EXPECT_REFUSED(TarMember("f", '0').Set(tar::kSize, "x").Bytes() + TarEnd(),
                 "entry 'f': size: not an octal number");
  EXPECT_REFUSED(
      TarMember("f", '0').Set(tar::kSize, "77777777777").Bytes() + TarEnd(),
      "cut off");
}

TEST(TarReader, RefusesEveryCut) {
  const std::string whole = Pax(FormatPax("path", "long")) +
                            File("f", std::string(700, 'x')) + Dir("d/") +
                            TarEnd();
  for (size_t size = 0; size + 1024 <= whole.size(); size += 37)
    EXPECT_EQ(ReadTar(whole.substr(0, size)).code(), EBADMSG) << size;
  // One block of zeros is enough when nothing follows.
  EXPECT_TRUE(ReadTar(whole.substr(0, whole.size() - 512)).ok());
  EXPECT_REFUSED(File("a"), "no end mark");
  EXPECT_REFUSED("", "empty");
}

TEST(TarReader, TheEndMarkMayLackWhereADigestTells) {
  TarLimits limits;
  limits.needs_end_mark = false;
  const std::string whole = File("f", std::string(700, 'x')) +
                            Pax(FormatPax("path", "long")) + File("g");
  const auto all = ReadTar(whole, nullptr, limits);
  ASSERT_TRUE(all.ok()) << all.error().ToString();
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ((*all)[1].entry.path, "long");
  EXPECT_TRUE(ReadTar(whole + TarEnd(), nullptr, limits).ok());
  // The end of the first entry is as good an end; that of its headers is none.
  for (size_t size = 0; size < whole.size(); size += 37)
    EXPECT_EQ(ReadTar(whole.substr(0, size), nullptr, limits).code(), EBADMSG)
        << size;
  EXPECT_TRUE(ReadTar(whole.substr(0, 1536), nullptr, limits).ok());
  EXPECT_EQ(ReadTar(whole.substr(0, 2560), nullptr, limits).code(), EBADMSG);
}

TEST(TarReader, OfTwoExtendedHeadersTheLastCounts) {
  const Read read =
      ReadOne(Pax(FormatPax("path", "first") + FormatPax("size", "515") +
                  FormatPax("SCHILY.xattr.user.a", "b")) +
              Pax(FormatPax("mtime", "5")) + File("second", "abc"));
  EXPECT_EQ(read.entry.path, "second");
  EXPECT_EQ(read.entry.mtime_sec, 5);
  EXPECT_EQ(read.contents, "abc");
  EXPECT_TRUE(read.entry.xattrs.empty());
  // But for what is said of all.
  const Read global = ReadOne(Pax(FormatPax("uid", "7"), 'g') +
                              Pax(FormatPax("path", "first")) +
                              Pax(FormatPax("mtime", "5")) + File("second"));
  EXPECT_EQ(global.entry.uid, 7u);
  EXPECT_EQ(global.entry.path, "second");
}

TEST(TarReader, RefusesWhatIsDamaged) {
  std::string bytes = File("f", "x") + Dir("d/") + TarEnd();
  bytes[1024 + 3] ^= 1;
  EXPECT_REFUSED(bytes, "header at byte 1024: bad checksum");
  EXPECT_REFUSED(std::string(2000, 'x'), "not a tar archive");
  EXPECT_REFUSED(File("f") + TarEnd() + "junk", "follows the end mark");
  EXPECT_REFUSED(File("f") + TarEnd() + File("g") + TarEnd(),
                 "follows the end mark");
  EXPECT_REFUSED(Pax(FormatPax("path", "x")) + TarEnd(), "no entry follows");
  EXPECT_REFUSED(Pax("nonsense") + File("f") + TarEnd(), "pax record");
  EXPECT_REFUSED(TarMember("", '0').Bytes() + TarEnd(), "empty name");
  EXPECT_REFUSED(Symlink("s", "") + TarEnd(), "without a target");
  EXPECT_REFUSED(TarMember("f", 'M').Bytes() + TarEnd(), "type 'M'");
  EXPECT_REFUSED(
      TarMember("c", '3').Set(tar::kDevMajor, "7777777").Bytes() + TarEnd(),
      "does not exist");
  EXPECT_REFUSED(TarMember("l", 'L', "gnu\0"s).Bytes() +
                     Pax(FormatPax("path", "pax")) + File("f") + TarEnd(),
                 "that differ");
}

TEST(TarReader, BoundsExtendedHeaders) {
  EXPECT_REFUSED(
      TarMember("x", 'x', "").Set(tar::kSize, "00777777777").Bytes() + TarEnd(),
      "extended headers of more than");
  std::string endless;
  for (int i = 0; i < 9000; ++i) endless += Pax("");
  EXPECT_REFUSED(endless + File("f") + TarEnd(), "extended headers of more");
  endless.clear();
  for (int i = 0; i < 9000; ++i) endless += Pax("", 'g') + File("f");
  EXPECT_REFUSED(endless + TarEnd(), "extended headers of more");
}

TEST(TarReader, SkipsContentsNobodyAskedFor) {
  const std::string bytes =
      File("a", std::string(1 << 20, 'a')) + File("b", "b") + TarEnd();
  MemorySource source(bytes);
  TarReader reader(source);
  TarEntry entry;
  ASSERT_TRUE(*reader.Next(entry));
  ASSERT_TRUE(*reader.Next(entry));
  EXPECT_EQ(entry.path, "b");
  EXPECT_EQ(reader.ReadRun()->bytes, "b");
  EXPECT_FALSE(*reader.Next(entry));
}

TEST(TarReader, LinksWithASizeHaveNoContents) {
  const auto all = ReadTar(
      File("f", "x") +
      TarMember("h", '1').Link("f").Set(tar::kSize, "00000000001").Bytes() +
      File("g", "y") + TarEnd());
  ASSERT_TRUE(all.ok()) << all.error().ToString();
  EXPECT_EQ((*all)[1].entry.size_bytes, 0u);
  EXPECT_EQ((*all)[2].contents, "y");
}

}  // namespace
}  // namespace ufs
