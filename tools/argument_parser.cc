#include "tools/argument_parser.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <deque>
#include <utility>

#include "tools/command.h"
#include "tools/output.h"

namespace ufs {
namespace {

class HelpFormatter : public CLI::Formatter {
 public:
  // With a footer of our own: CLI11 ends one that a function makes with a line
  // more.
  HelpFormatter(std::string usage, std::function<std::string()> make_footer)
      : usage_(std::move(usage)), make_footer_(std::move(make_footer)) {
    column_width(26);
  }
  std::string make_help(const CLI::App* app, std::string,
                        CLI::AppFormatMode mode) const override {
    return "Usage: " + usage_ + "\n\n" + app->get_description() + "\n" +
           make_groups(app, mode) + "\n" + make_footer_();
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string value = option->get_type_name();
    return value.empty() ? "" : " " + value;
  }

 private:
  const std::string usage_;
  const std::function<std::string()> make_footer_;
};

// The help tells of values in its own words.
void Check(CLI::Option* option, const CLI::Validator& validator) {
  option->check(validator.description(""));
}

}  // namespace

using Option = ArgumentParser::Option;

Option* Option::type_name(const std::string& name) {
  option_->type_name(name);
  return this;
}

Option* Option::required() {
  option_->required();
  return this;
}

Option* Option::repeatable() {
  option_->allow_extra_args(false)->multi_option_policy(
      CLI::MultiOptionPolicy::TakeAll);
  return this;
}

Option* Option::range(int lowest, int highest) {
  Check(option_, CLI::Range(lowest, highest));
  return this;
}

Option* Option::range(int64_t lowest, int64_t highest) {
  Check(option_, CLI::Range(lowest, highest));
  return this;
}

Option* Option::range(double lowest, double highest) {
  Check(option_, CLI::Range(lowest, highest));
  return this;
}

Option* Option::one_of(std::initializer_list<const char*> words) {
  Check(option_, CLI::IsMember(words));
  return this;
}

Option* Option::bytes() {
  option_->transform(CLI::AsSizeValue(/*kb_is_1000=*/false).description(""));
  return this;
}

Option* Option::check(
    std::function<std::string(const std::string&)> problem_of) {
  option_->check(std::move(problem_of));
  return this;
}

struct ArgumentParser::Impl {
  CLI::App app;
  std::deque<Option> options;  // which stay where they are: callers have them
};

ArgumentParser::ArgumentParser(const std::string& who, std::string usage,
                               std::string description,
                               std::function<std::string()> make_footer)
    : impl_(new Impl{CLI::App(std::move(description), who), {}}) {
  impl_->app.formatter(std::make_shared<HelpFormatter>(std::move(usage),
                                                       std::move(make_footer)));
  impl_->app.set_help_flag("-h,--help", "Print this and exit");
}

ArgumentParser::ArgumentParser(const std::string& who, std::string usage,
                               std::string description, std::string footer)
    : ArgumentParser(who, std::move(usage), std::move(description),
                     [footer = std::move(footer)] { return footer; }) {}

ArgumentParser::~ArgumentParser() = default;

template <typename T>
Option* ArgumentParser::add_option(const char* names, T& target,
                                   const char* help) {
  return &impl_->options.emplace_back(
      Option(impl_->app.add_option(names, target, help)));
}

void ArgumentParser::add_flag(const char* names, bool& target,
                              const char* help) {
  impl_->app.add_flag(names, target, help);
}

void ArgumentParser::prefix_command() { impl_->app.prefix_command(); }

namespace {

// The words in the form that CLI11 takes. One by one, as what a word is depends
// on those before it.
class Rewriter {
 public:
  explicit Rewriter(const CLI::App& app) : app_(app) {}

  void Add(std::string word) {
    const bool is_value = std::exchange(awaits_value_, false);
    const bool is_option = ours_ && !is_value && word.starts_with('-');
    if (word == "--" || (app_.get_prefix_command() && !is_value && !is_option))
      ours_ = false;
    if (!is_option)
      words_.push_back(std::move(word));
    else if (word.starts_with("--"))
      AddLong(std::move(word));
    else
      AddShort(word);
  }
  std::vector<std::string> Take() { return std::move(words_); }

 private:
  const CLI::Option* Find(const std::string& name) const {
    return app_.get_option_no_throw(name);
  }
  static bool TakesValue(const CLI::Option* option) {
    return option != nullptr && option->get_items_expected_min() > 0;
  }

  // To CLI11 "--name=" is an option without a value, and takes the next word
  // for that. Here it is "--name" with an empty one.
  void AddLong(std::string word) {
    awaits_value_ = TakesValue(Find(word));
    const bool is_empty = word.find('=') == word.size() - 1 &&
                          TakesValue(Find(word.substr(0, word.size() - 1)));
    if (is_empty) word.pop_back();
    words_.push_back(std::move(word));
    if (is_empty) words_.emplace_back();
  }

  // "-m=64m" is "-m 64m", and "-it=false" is "-i --tty=false", as docker has
  // them; to CLI11 the sign is a part of the value.
  void AddShort(const std::string& word) {
    for (size_t i = 1; i < word.size(); ++i) {
      const CLI::Option* const option = Find({'-', word[i]});
      const bool has_sign = i + 1 < word.size() && word[i + 1] == '=';
      if (TakesValue(option)) {
        words_.push_back(word.substr(0, i + 1));
        awaits_value_ = i + 1 == word.size();
        if (!awaits_value_)
          words_.push_back(word.substr(has_sign ? i + 2 : i + 1));
        return;
      }
      if (option != nullptr && has_sign && !option->get_lnames().empty()) {
        if (i > 1) words_.push_back(word.substr(0, i));
        words_.push_back("--" + option->get_lnames()[0] + word.substr(i + 1));
        return;
      }
      if (option == nullptr) break;  // for CLI11 to refuse
    }
    words_.push_back(word);
  }

  const CLI::App& app_;
  std::vector<std::string> words_;
  bool awaits_value_ = false;
  bool ours_ = true;  // up to where a command's own words begin
};

}  // namespace

std::optional<int> ArgumentParser::Parse(int argc, char** argv) {
  CLI::App& app = impl_->app;
  Rewriter rewriter(app);
  for (int i = 1; i < argc; ++i) rewriter.Add(argv[i]);
  std::vector<std::string> words = rewriter.Take();
  // CLI11 would take "[a,b]" for a list. A path means the same with this; what
  // is none takes it off again.
  for (std::string& word : words)
    if (word.starts_with('[')) word.insert(0, "./");
  // CLI11 takes its arguments last to first.
  std::reverse(words.begin(), words.end());
  try {
    app.parse(words);
    return std::nullopt;
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return FinishOutput(app.get_name());
  } catch (const CLI::ParseError& error) {
    return Complain(
        app.get_name(),
        std::string(error.what()) + "; see '" + app.get_name() + " --help'",
        kExitUsage);
  }
}

size_t ArgumentParser::count(const char* name) const {
  return impl_->app.count(name);
}

std::vector<std::string> ArgumentParser::remaining() const {
  return impl_->app.remaining();
}

// All that there is: what else is asked for, the linker misses.
template Option* ArgumentParser::add_option(const char*, std::string&,
                                            const char*);
template Option* ArgumentParser::add_option(const char*,
                                            std::vector<std::string>&,
                                            const char*);
template Option* ArgumentParser::add_option(const char*, int&, const char*);
template Option* ArgumentParser::add_option(const char*, std::optional<int>&,
                                            const char*);
template Option* ArgumentParser::add_option(const char*, int64_t&, const char*);
template Option* ArgumentParser::add_option(const char*,
                                            std::optional<int64_t>&,
                                            const char*);
template Option* ArgumentParser::add_option(const char*, uint64_t&,
                                            const char*);
template Option* ArgumentParser::add_option(const char*, double&, const char*);

}  // namespace ufs
