// ArgumentParser: the arguments of a verb, read into its variables. CLI11,
// which does the work, is long to compile and busy before main: only the .cc
// has it.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class Option;
}  // namespace CLI

namespace ufs {

// Our form of help: usage, options, `footer`. For one thread. The variables
// that options are read into are the caller's, and outlive Parse.
class ArgumentParser {
 public:
  // Says more of an option just added, each part in turn. The parser owns it.
  class Option {
   public:
    Option* type_name(const std::string& name);  // of the value, for the help
    Option* required();
    Option* repeatable();  // a value each time, and all are kept
    Option* range(int lowest, int highest);
    Option* range(int64_t lowest, int64_t highest);
    Option* range(double lowest, double highest);
    Option* one_of(std::initializer_list<const char*> words);
    Option* bytes();  // a number with a unit, where 1k and 1kb are 1024
    // `problem_of` returns what is wrong with a value, "" when nothing is.
    Option* check(std::function<std::string(const std::string&)> problem_of);

   private:
    friend class ArgumentParser;
    explicit Option(CLI::Option* option) : option_(option) {}
    CLI::Option* const option_;
  };

  // `who` begins each message, `usage` is what follows "Usage: ".
  ArgumentParser(const std::string& who, std::string usage,
                 std::string description, std::string footer);
  // The same, where the footer takes time to make: only who asks for help
  // waits.
  ArgumentParser(const std::string& who, std::string usage,
                 std::string description,
                 std::function<std::string()> make_footer);
  ~ArgumentParser();
  ArgumentParser(const ArgumentParser&) = delete;
  ArgumentParser& operator=(const ArgumentParser&) = delete;

  // `names` is "-n,--name" or, for what has its place instead of a name, a
  // word. Without an argument of that name `target` stays as it is: a string, a
  // vector of them, an int, int64_t, uint64_t or double, and an int or int64_t
  // that is optional.
  template <typename T>
  Option* add_option(const char* names, T& target, const char* help = "");
  void add_flag(const char* names, bool& target, const char* help);
  // The first word that is no option, and all behind it, are left alone.
  void prefix_command();

  // Nullopt to go on; else the exit code, when help was asked for (and
  // printed) or the arguments make no sense (and stderr says why).
  std::optional<int> Parse(int argc, char** argv);

  // After Parse: how often an option was given, and what prefix_command left.
  size_t count(const char* name) const;
  std::vector<std::string> remaining() const;

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ufs
