#include "runtime/systemd_property.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace ufs::runtime {
namespace {

std::string Show(const PropertyValue& value) {
  if (!value.parts.empty() || value.type[0] == 'a') {
    std::string text = value.type + ":[";
    for (const PropertyValue& part : value.parts) text += Show(part) + ";";
    return text + "]";
  }
  if (value.type == "d") return "d:" + std::to_string(value.real);
  if (value.type == "s" || value.type == "o" || value.type == "g")
    return value.type + ":" + value.text;
  return value.type + ":" + std::to_string(static_cast<int64_t>(value.number));
}

std::string Parsed(const char* text) {
  const auto value = ParsePropertyValue(text);
  return value.ok() ? Show(*value) : "error " + value.error().ToString();
}

TEST(PropertyValueTest, AsGVariantWritesThem) {
  for (const auto& [text, shown] :
       {std::pair("true", "b:1"),
        {"boolean false", "b:0"},
        {"12", "i:12"},
        {"-12", "i:-12"},
        {"0x10", "i:16"},
        {"uint64 18446744073709551615", "t:-1"},
        {"int64 -1", "x:-1"},
        {"byte 255", "y:255"},
        {"1.5", "d:1.500000"},
        {"double 2", "d:2.000000"},
        {"'inactive-or-failed'", "s:inactive-or-failed"},
        {"\"it's\"", "s:it's"},
        {"'a\\'b\\n'", "s:a'b\n"},
        {"objectpath '/a'", "o:/a"},
        {"['a', 'b']", "as:[s:a;s:b;]"},
        {"@as []", "as:[]"},
        {"[uint32 1, 2]", "au:[u:1;u:2;]"},
        {"@at [1]", "at:[t:1;]"},
        {"[('/dev/null', 'rw')]", "a(ss):[(ss):[s:/dev/null;s:rw;];]"},
        {"(1,)", "(i):[i:1;]"},
        {"@(st) ('a', 1)", "(st):[s:a;t:1;]"}})
    EXPECT_EQ(Parsed(text), shown) << text;
}

TEST(PropertyValueTest, WhatIsNoneIsRefused) {
  for (const char* text :
       {"", "word", "'open", "[", "[]", "()", "[1, 'a']", "1 2", "byte 256",
        "byte -1", "2147483648", "uint64 x", "uint64 'a'", "@q 'a'", "@v 1",
        "@a [1]", "@(s) ('a', 'b')", "@(ss) ('a',)", "{'a': 1}", "<1>", "1e999",
        "objectpath 'a'", "objectpath '/a/'", "signature 'z'", "'\\u0041'",
        "[[[[[[[[[[1]]]]]]]]]]", "--1", "0x", "+",
        // Octal to GVariant.
        "010", "-010", "uint64 00"})
    EXPECT_EQ(ParsePropertyValue(text).code(), EINVAL) << text;
}

TEST(PropertyValueTest, ZerosThatAreNotOctal) {
  for (const auto& [text, shown] : {std::pair("0", "i:0"),
                                    {"-0", "i:0"},
                                    {"0x010", "i:16"},
                                    {"0.5", "d:0.500000"}})
    EXPECT_EQ(Parsed(text), shown) << text;
}

// No signature of D-Bus is longer.
TEST(PropertyValueTest, ATypeHas255Letters) {
  const auto annotated = [](size_t members) {
    return "@a(" + std::string(members, 's') + ") []";
  };
  EXPECT_EQ(Parsed(annotated(252).c_str()),
            "a(" + std::string(252, 's') + "):[]");
  EXPECT_EQ(ParsePropertyValue(annotated(253)).code(), EINVAL);
  const auto array = [](size_t members) {
    std::string text = "[(1";
    for (size_t i = 1; i < members; ++i) text += ", 1";
    return text + ")]";
  };
  EXPECT_TRUE(ParsePropertyValue(array(252)).ok());
  EXPECT_EQ(ParsePropertyValue(array(253)).code(), EINVAL);
}

TEST(PropertiesInTest, NamesAndSeconds) {
  const auto found =
      PropertiesIn({{"org.systemd.property.TimeoutStopSec", "3"},
                    {"org.systemd.property.RuntimeMaxSec", "1.5"},
                    {"org.systemd.property.KillMode", "'none'"},
                    {"org.systemd.property.CPUQuotaPeriodUSec", "uint64 7"},
                    {"org.example", "anything"}});
  ASSERT_TRUE(found.ok()) << found.error().ToString();
  std::string all;
  for (const SystemdProperty& property : *found)
    all += property.name + "=" + Show(property.value) + " ";
  EXPECT_EQ(all,
            "CPUQuotaPeriodUSec=t:7 KillMode=s:none RuntimeMaxUSec=t:1500000 "
            "TimeoutStopUSec=t:3000000 ");
  for (const char* name : {"", "Ab", "Kill-Mode", "Kill Mode", "Description"})
    EXPECT_EQ(
        PropertiesIn({{std::string("org.systemd.property.") + name, "'a'"}})
            .code(),
        EINVAL)
        << name;
  for (const char* text : {"'soon'", "-1", "uint64 18446744073709551615"})
    EXPECT_EQ(
        PropertiesIn({{"org.systemd.property.TimeoutStopSec", text}}).code(),
        EINVAL)
        << text;
}

int Given(const std::string& name) {
  return PropertiesIn({{"org.systemd.property." + name, "true"}}).code();
}

TEST(PropertiesInTest, WhatStaysWithinTheScope) {
  for (const char* name :
       {"After", "Before", "CollectMode", "CPUWeight", "CPUAccounting",
        "DefaultDependencies", "DeviceAllow", "IOAccounting", "IOWeight",
        "IPAccounting", "KillMode", "KillSignal", "MemoryHigh", "MemorySwapMax",
        "RuntimeMaxUSec", "SendSIGKILL", "StartupCPUWeight", "TasksMax",
        "TimeoutStopUSec"})
    EXPECT_EQ(Given(name), 0) << name;
}

TEST(PropertiesInTest, WhatReachesBeyondItIsRefused) {
  for (const char* name : {"PIDs",
                           "PIDFDs",
                           "Slice",
                           "Delegate",
                           "DelegateSubgroup",
                           "Controller",
                           "User",
                           "Group",
                           "Description",
                           "FailureAction",
                           "SuccessAction",
                           "JobTimeoutAction",
                           "StartLimitAction",
                           "RebootArgument",
                           "JobTimeoutUSec",
                           "JobTimeoutSec",
                           "JobRunningTimeoutUSec",
                           "JobTimeoutRebootArgument",
                           "Wants",
                           "Requires",
                           "Requisite",
                           "BindsTo",
                           "PartOf",
                           "Upholds",
                           "Conflicts",
                           "OnFailure",
                           "OnSuccess",
                           "OnFailureJobMode",
                           "PropagatesReloadTo",
                           "PropagatesStopTo",
                           "ReloadPropagatedFrom",
                           "StopPropagatedFrom",
                           "JoinsNamespaceOf",
                           "RequiresMountsFor",
                           "StopWhenUnneeded",
                           "BPFProgram",
                           "IPIngressFilterPath",
                           "ManagedOOMPreference",
                           "Aftermath"})
    EXPECT_EQ(Given(name), EINVAL) << name;
}

}  // namespace
}  // namespace ufs::runtime
