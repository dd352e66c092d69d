#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "server/config/options.h"
#include "server/config/values.h"
#include "server/text.h"

namespace dbsidecar::server {
namespace {

// What a text of type T, or a number, becomes in a Config. One overload per alternative of Field.
class Assigner {
 public:
  Assigner(const Option& option, std::string_view text, ValueSource where)
      : option_(option), text_(text), where_(where) {}

  absl::Status operator()(std::string* field) const {
    *field = text_;
    return absl::OkStatus();
  }
  absl::Status operator()(DatabaseUrl* field) const {
    return Store(ParseDatabaseUrl(text_), field);
  }
  absl::Status operator()(WebhookUrl* field) const {
    if (Trim(text_) == option_.zero) {
      *field = {};
      return absl::OkStatus();
    }
    return Store(ParseWebhookUrl(text_), field);
  }
  absl::Status operator()(bool* field) const { return Store(ParseBoolean(text_), field); }
  absl::Status operator()(int* field) const {
    return StoreWithinLimits(ParseInteger(text_), field);
  }
  absl::Status operator()(std::int64_t* field) const {
    const bool bytes = option_.type == OptionType::kBytes;
    return StoreWithinLimits(bytes ? ParseBytes(text_) : ParseInteger(text_), field);
  }
  absl::Status operator()(std::chrono::milliseconds* field) const {
    const bool bare = where_ == ValueSource::kEnvironment && option_.environment_is_milliseconds;
    const auto duration =
        ParseDuration(text_, bare ? BareNumber::kMilliseconds : BareNumber::kRefused);
    if (!duration.ok()) return duration.status();
    std::int64_t count = 0;
    absl::Status status = StoreWithinLimits(duration->count(), &count);
    if (status.ok()) *field = std::chrono::milliseconds(count);
    return status;
  }
  absl::Status operator()(std::vector<ListenAddress>* field) const {
    std::vector<ListenAddress> addresses;
    if (!option_.zero.empty() && Trim(text_) == option_.zero) {
      field->clear();
      return absl::OkStatus();
    }
    std::vector<std::string> complaints;
    for (const std::string_view entry : Split(text_, ',')) {
      auto address = ParseListenAddress(Trim(entry));
      if (address.ok()) {
        addresses.push_back(*std::move(address));
      } else {
        complaints.push_back(Concat("\"", entry, "\" ", std::string(address.status().message())));
      }
    }
    if (!complaints.empty()) return absl::InvalidArgumentError(Join(complaints, ". "));
    *field = std::move(addresses);
    return absl::OkStatus();
  }
  absl::Status operator()(Profile* field) const { return StoreChoice(field); }
  absl::Status operator()(LogLevel* field) const { return StoreChoice(field); }
  absl::Status operator()(LogFormat* field) const { return StoreChoice(field); }
  absl::Status operator()(ReadinessPolicy* field) const { return StoreChoice(field); }
  absl::Status operator()(LimitMode* field) const { return StoreChoice(field); }

 private:
  template <typename T>
  static absl::Status Store(absl::StatusOr<T> value, T* field) {
    if (!value.ok()) return value.status();
    *field = *std::move(value);
    return absl::OkStatus();
  }

  template <typename T>
  absl::Status StoreWithinLimits(const absl::StatusOr<std::int64_t>& number, T* field) const {
    if (!number.ok()) return number.status();
    const bool special_zero = *number == 0 && !option_.zero.empty();
    if (!special_zero && (*number < option_.min || *number > option_.max)) {
      return absl::InvalidArgumentError(
          Concat("is out of range; write ", DescribeAccepted(option_)));
    }
    *field = static_cast<T>(*number);
    return absl::OkStatus();
  }

  // The names in `choices` are in the order of the enumerators.
  template <typename Enum>
  absl::Status StoreChoice(Enum* field) const {
    const std::vector<std::string_view> names = Split(option_.choices, '|');
    const auto found = std::ranges::find(names, text_);
    if (found == names.end()) {
      return absl::InvalidArgumentError(
          Concat("is not one of its values; write ", DescribeAccepted(option_)));
    }
    *field = static_cast<Enum>(found - names.begin());
    return absl::OkStatus();
  }

  const Option& option_;
  const std::string_view text_;
  const ValueSource where_;
};

class Formatter {
 public:
  explicit Formatter(const Option& option) : option_(option) {}

  std::string operator()(const std::string* field) const { return *field; }
  std::string operator()(const DatabaseUrl* field) const {
    if (field->driver == DatabaseDriver::kPostgres) return RedactUrl(field->name);
    return field->name.starts_with("file:") ? field->name : Concat("sqlite:", field->name);
  }
  std::string operator()(const WebhookUrl* field) const {
    return field->none() ? std::string(option_.zero) : field->Redacted();
  }
  std::string operator()(const bool* field) const { return *field ? "true" : "false"; }
  std::string operator()(const int* field) const { return Concat(*field); }
  std::string operator()(const std::int64_t* field) const {
    return option_.type == OptionType::kBytes ? FormatBytes(*field) : Concat(*field);
  }
  std::string operator()(const std::chrono::milliseconds* field) const {
    return FormatDuration(*field);
  }
  std::string operator()(const std::vector<ListenAddress>* field) const {
    std::vector<std::string> entries;
    for (const ListenAddress& address : *field) entries.push_back(address.ToString());
    return entries.empty() ? std::string(option_.zero) : Join(entries, ",");
  }
  std::string operator()(const Profile* field) const { return Choice(*field); }
  std::string operator()(const LogLevel* field) const { return Choice(*field); }
  std::string operator()(const LogFormat* field) const { return Choice(*field); }
  std::string operator()(const ReadinessPolicy* field) const { return Choice(*field); }
  std::string operator()(const LimitMode* field) const { return Choice(*field); }

 private:
  template <typename Enum>
  std::string Choice(Enum value) const {
    return std::string(Split(option_.choices, '|').at(static_cast<std::size_t>(value)));
  }

  const Option& option_;
};

std::string FormatLimit(const Option& option, std::int64_t limit) {
  if (option.type == OptionType::kDuration) {
    return FormatDuration(std::chrono::milliseconds(limit));
  }
  return option.type == OptionType::kBytes ? FormatBytes(limit) : Concat(limit);
}

std::string DescribeRange(const Option& option) {
  std::string text =
      Concat(FormatLimit(option, option.min), " to ", FormatLimit(option, option.max));
  if (!option.unit.empty()) text += Concat(" ", option.unit);
  if (!option.zero.empty()) text += Concat(", or 0 (", option.zero, ")");
  return text;
}

}  // namespace

absl::Status Assign(const Option& option, std::string_view text, ValueSource where,
                    Config& config) {
  return std::visit(Assigner(option, text, where), option.field(config));
}

std::string FormatValue(const Option& option, const Config& config) {
  // The table's accessors serve both ways; this one only reads.
  return std::visit(Formatter(option), option.field(const_cast<Config&>(config)));
}

bool SameValue(const Option& option, const Config& a, const Config& b) {
  return std::visit(
      [&](auto* field) {
        return *field == *std::get<decltype(field)>(option.field(const_cast<Config&>(b)));
      },
      option.field(const_cast<Config&>(a)));
}

void CopyValue(const Option& option, const Config& from, Config& to) {
  std::visit(
      [&](auto* field) {
        *field = *std::get<decltype(field)>(option.field(const_cast<Config&>(from)));
      },
      option.field(to));
}

std::string DescribeAccepted(const Option& option) {
  switch (option.type) {
    case OptionType::kString:
      return "a path";
    case OptionType::kUrl:
      return "a database URL";
    case OptionType::kWebhook:
      return Concat("an http:// or https:// URL, or ", option.zero);
    case OptionType::kAddressList:
      return option.zero.empty() ? "addresses" : Concat("addresses, or ", option.zero);
    case OptionType::kBoolean:
      return "true or false";
    case OptionType::kInteger:
    case OptionType::kDuration:
    case OptionType::kBytes:
      return DescribeRange(option);
    case OptionType::kChoice:
      return ReplaceAll(option.choices, {{"|", ", "}});
  }
  std::abort();
}

}  // namespace dbsidecar::server
