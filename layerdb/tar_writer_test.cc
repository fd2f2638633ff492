#include "layerdb/tar_writer.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "layerdb/tar_reader.h"

namespace ufs {
namespace {

TarEntry SampleEntry() {
  TarEntry entry;
  entry.path = "file";
  entry.mode = 04755;
  entry.mtime_sec = 1'600'000'000;
  return entry;
}

std::string Written(const TarEntry& entry, uint64_t zeros = 0) {
  StringSink out;
  TarWriter writer(out);
  EXPECT_TRUE(writer.Begin(entry).ok());
  EXPECT_TRUE(writer.WriteZeros(zeros).ok());
  EXPECT_TRUE(writer.Finish().ok());
  return out.text();
}

// What a reader makes of an entry that was written.
void ExpectThereAndBack(const TarEntry& entry) {
  const std::string bytes =
      Written(entry, entry.type == TarType::kFile ? entry.size_bytes : 0);
  MemorySource source(bytes);
  TarReader reader(source);
  TarEntry read;
  const auto more = reader.Next(read);
  ASSERT_TRUE(more.ok()) << more.error().ToString();
  EXPECT_EQ(read.type, entry.type);
  EXPECT_EQ(read.path, entry.path);
  EXPECT_EQ(read.link_target, entry.link_target);
  EXPECT_EQ(read.mode, entry.mode);
  EXPECT_EQ(read.uid, entry.uid);
  EXPECT_EQ(read.gid, entry.gid);
  EXPECT_EQ(read.mtime_sec, entry.mtime_sec);
  EXPECT_EQ(read.mtime_nsec, entry.mtime_nsec);
  EXPECT_EQ(read.dev_major, entry.dev_major);
  EXPECT_EQ(read.dev_minor, entry.dev_minor);
  EXPECT_EQ(read.xattrs, entry.xattrs);
  EXPECT_EQ(read.size_bytes,
            entry.type == TarType::kFile ? entry.size_bytes : 0);
  // The form is canonical: what was read is written as it was.
  EXPECT_TRUE(EncodeTarHeader(read) == EncodeTarHeader(entry));
}

TEST(TarWriter, WhatIsWrittenIsRead) {
  TarEntry entry = SampleEntry();
  ExpectThereAndBack(entry);
  entry.size_bytes = 513;
  ExpectThereAndBack(entry);
  entry.uid = 4'294'967'294;
  entry.gid = 3'000'000;
  ExpectThereAndBack(entry);
  entry.mtime_nsec = 120'000'000;
  ExpectThereAndBack(entry);
  entry.mtime_sec = -5;
  ExpectThereAndBack(entry);
  entry.mtime_sec = int64_t{1} << 40;
  entry.mtime_nsec = 0;
  ExpectThereAndBack(entry);
  entry.xattrs = {{"security.capability", std::string("\1\0\0\2\n=", 6)},
                  {"user.empty", "x"}};
  ExpectThereAndBack(entry);
  entry.type = TarType::kCharDevice;
  entry.dev_major = 4095;
  entry.dev_minor = 1'048'575;
  ExpectThereAndBack(entry);
  entry.type = TarType::kSymlink;
  entry.dev_major = entry.dev_minor = 0;
  entry.link_target = std::string(100, 't');
  ExpectThereAndBack(entry);
  entry.link_target = std::string(4095, 't');
  ExpectThereAndBack(entry);
}

TEST(TarWriter, PathsOfEveryLength) {
  for (size_t directory = 0; directory < 300; directory += 7) {
    for (const size_t name : {1, 50, 99, 100, 101, 255}) {
      TarEntry entry = SampleEntry();
      entry.path = directory == 0 ? "" : std::string(directory, 'd') + "/";
      entry.path += std::string(name, 'n');
      ExpectThereAndBack(entry);
      entry.type = TarType::kDirectory;
      entry.path += "/";
      ExpectThereAndBack(entry);
      entry.path = "x\xff/" + entry.path;
      ExpectThereAndBack(entry);
    }
  }
}

TEST(TarWriter, PlainEntriesNeedNoPax) {
  EXPECT_EQ(EncodeTarHeader(SampleEntry()).size(), 512u);
  TarEntry entry = SampleEntry();
  entry.path = std::string(150, 'd') + "/" + std::string(100, 'n');
  EXPECT_EQ(EncodeTarHeader(entry).size(), 512u);
}

TEST(TarWriter, ContentsMustBeAsLongAsTold) {
  StringSink out;
  TarWriter writer(out);
  TarEntry entry = SampleEntry();
  entry.size_bytes = 3;
  ASSERT_TRUE(writer.Begin(entry).ok());
  EXPECT_EQ(writer.Write("abcd").code(), EINVAL);
  ASSERT_TRUE(writer.Write("ab").ok());
  EXPECT_EQ(writer.Begin(entry).code(), EINVAL);
  EXPECT_EQ(writer.Finish().code(), EINVAL);
  EXPECT_TRUE(writer.Write("c").ok());
  EXPECT_TRUE(writer.Finish().ok());
  EXPECT_EQ(out.text().size(), 512u + 512 + 1024);
}

}  // namespace
}  // namespace ufs
