#include "layerdb/digest.h"

#include <gtest/gtest.h>

#include "layerdb/object_id.h"

namespace ufs {
namespace {

constexpr char kAbc[] =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

TEST(DigestTest, IsWhatTheStandardSays) {
  // FIPS 180-2, appendix B.1.
  EXPECT_EQ(Sha256Of("abc").Hex(), kAbc);
  Sha256 pieces;
  pieces.Update("a");
  pieces.Update("bc");
  EXPECT_EQ(pieces.Finish().ToString(), std::string("sha256:") + kAbc);
}

TEST(DigestTest, ParsesItsOwnSpellingOnly) {
  const Digest abc = Sha256Of("abc");
  EXPECT_EQ(Digest::Parse(abc.ToString()).value(), abc);
  EXPECT_EQ(Digest::Parse(abc.Hex()).value(), abc);
  const std::string hex = abc.Hex();
  for (const std::string& bad :
       {std::string(), std::string("sha256:"), hex.substr(1), hex + "0",
        "sha512:" + hex, "SHA256:" + hex, "BA" + hex.substr(2),
        "zz" + hex.substr(2)})
    EXPECT_EQ(Digest::Parse(bad).code(), EINVAL) << bad;
}

// The chain of the example in the OCI image specification's config.md:
// ChainID(A|B) = Digest(ChainID(A) + " " + DiffID(B)).
TEST(DigestTest, ChainsAsTheImageSpecificationSays) {
  const Digest a = Sha256Of("a"), b = Sha256Of("b"), c = Sha256Of("c");
  const Digest one[] = {a}, two[] = {a, b}, three[] = {a, b, c};
  EXPECT_EQ(ChainId(one), a);
  EXPECT_EQ(ChainId(two), Sha256Of(a.ToString() + " " + b.ToString()));
  EXPECT_EQ(ChainId(three),
            Sha256Of(ChainId(two).ToString() + " " + c.ToString()));
}

TEST(DigestTest, HashesPiecesAndZerosAsTheWhole) {
  std::string text = "head";
  text += std::string(200'000, '\0') + "tail";
  Hasher128 pieces;
  pieces.Update("head", 4);
  pieces.UpdateZeros(200'000);
  pieces.Update("tail", 4);
  EXPECT_EQ(pieces.Finish(), HashOf(text));
}

TEST(ObjectIdTest, FileNamesGoBothWays) {
  const ObjectId plain{0x0123456789abcdef, 0xfedcba9876543210};
  EXPECT_EQ(plain.FileName(), "0123456789abcdeffedcba9876543210");
  EXPECT_EQ(plain.Path(), "01/0123456789abcdeffedcba9876543210");
  const ObjectId other{plain.hi, plain.lo, 4294967295u};
  for (const ObjectId& id : {plain, other})
    EXPECT_EQ(ObjectId::FromFileName(id.FileName()), id);
  for (const char* bad : {"", "0123", "0123456789abcdeffedcba9876543210-",
                          "0123456789abcdeffedcba9876543210-0",
                          "0123456789abcdeffedcba9876543210-01",
                          "0123456789abcdeffedcba9876543210-4294967296",
                          "0123456789abcdeffedcba9876543210+1",
                          "0123456789ABCDEFFEDCBA9876543210"})
    EXPECT_FALSE(ObjectId::FromFileName(bad).has_value()) << bad;
}

}  // namespace
}  // namespace ufs
