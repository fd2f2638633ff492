#include "tools/argument_parser.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

namespace ufs {
namespace {

struct Arguments {
  std::string memory = "unset";
  std::vector<std::string> env, rest;
  bool interactive = false, terminal = false;
};

// Of a verb whose own words end at the first that is no option.
Arguments Read(std::initializer_list<const char*> words) {
  Arguments read;
  ArgumentParser parser("verb", "", "", "");
  parser.add_option("-m,--memory", read.memory);
  parser.add_option("-e,--env", read.env)->repeatable();
  parser.add_flag("-i,--interactive", read.interactive, "");
  parser.add_flag("-t,--tty", read.terminal, "");
  parser.prefix_command();
  std::vector<char*> argv = {const_cast<char*>("verb")};
  for (const char* word : words) argv.push_back(const_cast<char*>(word));
  EXPECT_EQ(parser.Parse(static_cast<int>(argv.size()), argv.data()),
            std::nullopt);
  read.rest = parser.remaining();
  return read;
}

using Words = std::vector<std::string>;

TEST(ArgumentParser, TakesValuesOfShortOptionsAsDocker) {
  for (const auto& read :
       {Read({"-m=64m"}), Read({"-m64m"}), Read({"-m", "64m"}),
        Read({"--memory=64m"}), Read({"-im=64m"}), Read({"-im", "64m"})})
    EXPECT_EQ(read.memory, "64m");
  EXPECT_EQ(Read({"-m=-1"}).memory, "-1");
  EXPECT_EQ(Read({"-m="}).memory, "");
  EXPECT_EQ(Read({"-e=A=B", "-eC=D", "-e", "E="}).env,
            (Words{"A=B", "C=D", "E="}));
}

TEST(ArgumentParser, TakesValuesOfFlagsAsDocker) {
  const Arguments read = Read({"-it=false", "-m=-t"});
  EXPECT_TRUE(read.interactive);
  EXPECT_FALSE(read.terminal);
  EXPECT_EQ(read.memory, "-t");
  EXPECT_TRUE(Read({"-t=true"}).terminal);
  EXPECT_FALSE(Read({"-t", "-t=false"}).terminal);
}

TEST(ArgumentParser, LeavesTheWordsOfACommandAlone) {
  const Arguments read = Read({"-ie", "A=B", "box", "-m=64m", "--env=", "-t"});
  EXPECT_EQ(read.env, (Words{"A=B"}));
  EXPECT_EQ(read.memory, "unset");
  EXPECT_EQ(read.rest, (Words{"box", "-m=64m", "--env=", "-t"}));
}

}  // namespace
}  // namespace ufs
