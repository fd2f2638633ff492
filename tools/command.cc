#include "tools/command.h"

#include <cerrno>
#include <cstdio>

#include "tools/output.h"

namespace ufs {
namespace {

class HelpFormatter : public CLI::Formatter {
 public:
  explicit HelpFormatter(std::string usage) : usage_(std::move(usage)) {
    column_width(26);
  }
  std::string make_help(const CLI::App* app, std::string,
                        CLI::AppFormatMode mode) const override {
    return "Usage: " + usage_ + "\n\n" + app->get_description() + "\n" +
           make_groups(app, mode) + "\n" + app->get_footer();
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string value = option->get_type_name();
    return value.empty() ? "" : " " + value;
  }

 private:
  const std::string usage_;
};

}  // namespace

ArgumentParser::ArgumentParser(const std::string& who, std::string usage,
                               std::string description,
                               std::function<std::string()> make_footer)
    : CLI::App(std::move(description), who) {
  formatter(std::make_shared<HelpFormatter>(std::move(usage)));
  footer(std::move(make_footer));
  set_help_flag("-h,--help", "Print this and exit");
}

ArgumentParser::ArgumentParser(const std::string& who, std::string usage,
                               std::string description, std::string foot)
    : ArgumentParser(who, std::move(usage), std::move(description),
                     [foot = std::move(foot)] { return foot; }) {}

std::optional<int> ArgumentParser::Parse(int argc, char** argv) {
  // CLI11 takes its arguments last to first.
  std::vector<std::string> words;
  for (int i = argc - 1; i > 0; --i) {
    std::string word = argv[i];
    // CLI11 would take "[a,b]" for a list. A path means the same with this;
    // what is none takes it off again.
    if (word.starts_with('[')) word.insert(0, "./");
    words.push_back(std::move(word));
  }
  try {
    parse(words);
    return std::nullopt;
  } catch (const CLI::CallForHelp&) {
    std::fputs(help().c_str(), stdout);
    return FinishOutput(get_name());
  } catch (const CLI::ParseError& error) {
    return Complain(
        get_name(),
        std::string(error.what()) + "; see '" + get_name() + " --help'",
        kExitUsage);
  }
}

std::string Explain(const Error& error) {
  const std::string context(error.context());
  if (context.empty()) return error.ToString();
  const auto says = [&](const char* words) {
    return context.find(words) != std::string::npos;
  };
  switch (error.code()) {
    case EINVAL:
    case EBADMSG:
      return error.explained() ? context : error.ToString();
    case ENOTSUP:
    case EEXIST:
    case EBUSY:
    case ESRCH:
    case ECHILD:
      return context;
    case ENOENT:
      if (says("does not exist")) return context;
      [[fallthrough]];
    default:  // a remedy ends it
      return says("; ") ? context : error.ToString();
  }
}

int Complain(std::string_view who, std::string_view message, int code) {
  std::fprintf(stderr, "%.*s: %.*s\n", static_cast<int>(who.size()), who.data(),
               static_cast<int>(message.size()), message.data());
  return code;
}

}  // namespace ufs
