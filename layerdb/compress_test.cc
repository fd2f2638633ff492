#include "layerdb/compress.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <random>
#include <string>

#include "tests/harness/files.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch_dir.h"

namespace ufs {
namespace {

using test::ScratchDir;

// Text that compresses, but not to nothing.
std::string SampleText(size_t size) {
  std::mt19937 random(7);
  std::string text;
  while (text.size() < size)
    text += "line " + std::to_string(random() % 5000) + "\n";
  text.resize(size);
  return text;
}

std::string Compressed(std::string_view text, Compression how) {
  StringSink out;
  auto sink = Compress(out, how);
  EXPECT_TRUE(sink.ok());
  EXPECT_TRUE((*sink)->Write(text).ok());
  EXPECT_TRUE((*sink)->Finish().ok());
  return out.text();
}

Result<std::string> Expand(std::string_view bytes,
                           GzipEngine engine = GzipEngine::kFast,
                           const DecompressLimits& limits = {}) {
  MemorySource below(bytes);
  auto source = TRY(Decompress(below, limits, engine));
  return ReadAll(*source, size_t{1} << 30);
}

std::string PipeThrough(const std::string& text, const std::string& command) {
  const ScratchDir dir;
  test::WriteFile(dir.path() + "/in", text);
  const auto run = test::RunProgram(
      {"sh", "-c", "cd " + dir.path() + " && { " + command + "; } <in >out"});
  EXPECT_EQ(run.exit_code, 0) << run.output;
  return test::ReadFile(dir.path() + "/out");
}

struct Form {
  const char* name;
  const char* command;  // of another program, from stdin to stdout
  Compression compression;
  GzipEngine engine = GzipEngine::kFast;
};

class Forms : public testing::TestWithParam<Form> {
 protected:
  std::string Make(const std::string& text) const {
    return PipeThrough(text, GetParam().command);
  }
  Result<std::string> Read(std::string_view bytes) const {
    return Expand(bytes, GetParam().engine);
  }
};

INSTANTIATE_TEST_SUITE_P(
    All, Forms,
    testing::Values(Form{"gzip", "gzip -c", Compression::kGzip},
                    Form{"zlib", "gzip -c", Compression::kGzip,
                         GzipEngine::kZlib},
                    Form{"zstd", "zstd -qc", Compression::kZstd},
                    Form{"xz", "xz -c", Compression::kXz}),
    [](const auto& info) { return info.param.name; });

TEST_P(Forms, ReadsWhatOthersWrite) {
  for (const size_t size : {0, 1, 511, 100'000, 700'000}) {
    const std::string text = SampleText(size);
    const std::string bytes = Make(text);
    MemorySource below(bytes);
    auto source = Decompress(below, {}, GetParam().engine);
    ASSERT_TRUE(source.ok()) << source.error().ToString();
    EXPECT_EQ((*source)->compression(), GetParam().compression);
    const auto read = ReadAll(**source, size_t{1} << 30);
    ASSERT_TRUE(read.ok()) << size << ": " << read.error().ToString();
    EXPECT_TRUE(*read == text) << size;
    EXPECT_EQ((*source)->compressed_bytes(), bytes.size());
  }
}

TEST_P(Forms, ReadsSeveralMembers) {
  const std::string a = SampleText(70'000), b = "short", c;
  const auto read = Read(Make(a) + Make(b) + Make(c) + Make(a));
  ASSERT_TRUE(read.ok()) << read.error().ToString();
  EXPECT_TRUE(*read == a + b + c + a);
}

TEST_P(Forms, RefusesEveryCut) {
  const std::string bytes = Make(SampleText(20'000));
  for (size_t size = 6; size < bytes.size(); size += 1 + size / 7) {
    const auto read = Read(std::string_view(bytes).substr(0, size));
    ASSERT_FALSE(read.ok()) << size;
    EXPECT_EQ(read.code(), EBADMSG) << size << read.error().ToString();
  }
  EXPECT_FALSE(Read(std::string_view(bytes).substr(0, bytes.size() - 1)).ok());
}

TEST_P(Forms, RefusesWhatFollows) {
  const std::string bytes = Make("contents");
  EXPECT_EQ(Read(bytes + "garbage").code(), EBADMSG);
  EXPECT_EQ(Read(bytes + std::string(9000, '\0') + "x").code(), EBADMSG);
  // As tapes are padded.
  const auto padded = Read(bytes + std::string(9000, '\0'));
  ASSERT_TRUE(padded.ok()) << padded.error().ToString();
  EXPECT_EQ(*padded, "contents");
}

TEST_P(Forms, RefusesFlippedBits) {
  const std::string text = SampleText(20'000);
  const std::string bytes = Make(text);
  for (size_t at = 10; at < bytes.size(); at += 331) {
    std::string damaged = bytes;
    damaged[at] ^= 0x10;
    const auto read = Read(damaged);
    // zstd from the command line has a checksum too, so nothing gets through.
    EXPECT_TRUE(!read.ok() || *read == text) << at;
  }
}

TEST_P(Forms, StopsABombByRatio) {
  DecompressLimits limits;
  limits.free_bytes = 1 << 20;
  limits.max_ratio = 100;
  const std::string bomb = Make(std::string(16 << 20, '\0'));
  const auto read = Expand(bomb, GetParam().engine, limits);
  EXPECT_EQ(read.code(), EFBIG);
  EXPECT_NE(read.error().ToString().find("bomb"), std::string::npos);
  limits.max_ratio = 100'000'000;
  EXPECT_TRUE(Expand(bomb, GetParam().engine, limits).ok());
}

TEST_P(Forms, StopsWhatIsTooLarge) {
  DecompressLimits limits;
  limits.max_bytes = 10'000;
  EXPECT_EQ(Expand(Make(SampleText(10'001)), GetParam().engine, limits).code(),
            EFBIG);
  EXPECT_TRUE(Expand(Make(SampleText(10'000)), GetParam().engine, limits).ok());
}

TEST(Compress, PlainBytesPassThrough) {
  for (const std::string text : {"", "x", "1234567", "BZhappy file names"}) {
    const auto read = Expand(text);
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(*read, text);
  }
}

TEST(Compress, NamesWhatItDoesNotRead) {
  const auto read = Expand(PipeThrough("text", "bzip2 -c"));
  EXPECT_EQ(read.code(), ENOTSUP);
  EXPECT_NE(read.error().ToString().find("bzip2"), std::string::npos);
}

TEST(Compress, RefusesAWindowThatEatsMemory) {
  const std::string large =
      PipeThrough("", "head -c 300M /dev/zero | zstd -qc --long=31 -1");
  const auto refused = Expand(large);
  EXPECT_EQ(refused.code(), EBADMSG) << refused.error().ToString();
}

TEST(Compress, WhatIsWrittenIsReadByOthers) {
  const std::string text = SampleText(300'000);
  EXPECT_TRUE(PipeThrough(Compressed(text, Compression::kGzip), "gzip -dc") ==
              text);
  EXPECT_TRUE(PipeThrough(Compressed(text, Compression::kZstd), "zstd -qdc") ==
              text);
  EXPECT_EQ(Compressed(text, Compression::kGzip),
            Compressed(text, Compression::kGzip));
  EXPECT_EQ(Compressed("abc", Compression::kNone), "abc");
  StringSink out;
  EXPECT_EQ(Compress(out, Compression::kXz).code(), ENOTSUP);
}

}  // namespace
}  // namespace ufs
