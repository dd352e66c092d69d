#include "server/config/values.h"

#include <array>
#include <charconv>
#include <limits>
#include <span>
#include <system_error>

#include "server/text.h"

namespace dbsidecar::server {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t factor;
};

// Largest first; of two names for one unit the first is the one that is written.
constexpr std::array kDurationUnits = {Unit{"h", 3'600'000}, Unit{"min", 60'000}, Unit{"m", 60'000},
                                       Unit{"s", 1'000}, Unit{"ms", 1}};
constexpr std::array kByteUnits = {Unit{"GiB", std::int64_t{1} << 30},
                                   Unit{"MiB", std::int64_t{1} << 20},
                                   Unit{"KiB", std::int64_t{1} << 10}, Unit{"B", 1}};

constexpr std::string_view kDurationRemedy = "write a number with its unit: 500ms, 10s, 5min, 1h";
constexpr std::string_view kBytesRemedy = "write a number with its unit: 512KiB, 4MiB, 1GiB";

absl::Status Bad(std::string_view what, std::string_view remedy) {
  return absl::InvalidArgumentError(Concat(what, "; ", remedy));
}

struct Quantity {
  std::int64_t number = 0;
  std::string_view unit;
};

// The number saturates, so that the caller's own limit refuses it.
absl::StatusOr<Quantity> SplitQuantity(std::string_view text, std::string_view what,
                                       std::string_view remedy) {
  Quantity quantity;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, quantity.number);
  if (error == std::errc::invalid_argument) return Bad(what, remedy);
  if (error == std::errc::result_out_of_range) {
    quantity.number = text.front() == '-' ? std::numeric_limits<std::int64_t>::min()
                                          : std::numeric_limits<std::int64_t>::max();
  }
  if (quantity.number < 0) return Bad("is negative", remedy);
  quantity.unit = std::string_view(rest, static_cast<std::size_t>(end - rest));
  return quantity;
}

const Unit* FindUnit(std::span<const Unit> units, std::string_view name) {
  for (const Unit& unit : units) {
    if (unit.name == name) return &unit;
  }
  return nullptr;
}

std::string FormatQuantity(std::span<const Unit> units, std::int64_t number) {
  for (const Unit& unit : units) {
    if (number != 0 && number % unit.factor == 0) {
      return Concat(number / unit.factor, unit.name);
    }
  }
  return "0";
}

}  // namespace

absl::StatusOr<std::int64_t> ParseInteger(std::string_view text) {
  std::int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc::result_out_of_range) {
    return Bad("is too large", "write a smaller number");
  }
  if (error != std::errc() || rest != end) {
    return Bad("is not a whole number", "write digits only, such as 20");
  }
  return number;
}

absl::StatusOr<bool> ParseBoolean(std::string_view text) {
  const std::string lower = ToLower(text);
  for (const std::string_view yes : {"true", "on", "yes", "1"}) {
    if (lower == yes) return true;
  }
  for (const std::string_view no : {"false", "off", "no", "0"}) {
    if (lower == no) return false;
  }
  return Bad("is neither true nor false", "write true or false");
}

absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text, BareNumber bare) {
  const auto quantity = SplitQuantity(text, "is not a duration", kDurationRemedy);
  if (!quantity.ok()) return quantity.status();

  std::int64_t factor = 1;
  if (!quantity->unit.empty()) {
    const Unit* unit = FindUnit(kDurationUnits, quantity->unit);
    if (unit == nullptr) return Bad("is not a duration", kDurationRemedy);
    factor = unit->factor;
  } else if (quantity->number != 0 && bare == BareNumber::kRefused) {
    return Bad("has no unit", kDurationRemedy);
  }

  constexpr std::chrono::milliseconds kMax = kDurationMax;
  if (quantity->number > kMax.count() / factor) {
    return Bad("is longer than a year", "write a shorter duration");
  }
  return std::chrono::milliseconds(quantity->number * factor);
}

absl::StatusOr<std::int64_t> ParseBytes(std::string_view text) {
  const auto quantity = SplitQuantity(text, "is not a size", kBytesRemedy);
  if (!quantity.ok()) return quantity.status();

  const Unit* unit =
      quantity->unit.empty() ? &kByteUnits.back() : FindUnit(kByteUnits, quantity->unit);
  if (unit == nullptr) return Bad("is not a size", kBytesRemedy);
  if (quantity->number > std::numeric_limits<std::int64_t>::max() / unit->factor) {
    return Bad("is too large", "write a smaller size");
  }
  return quantity->number * unit->factor;
}

std::string FormatDuration(std::chrono::milliseconds duration) {
  return FormatQuantity(kDurationUnits, duration.count());
}

std::string FormatBytes(std::int64_t bytes) { return FormatQuantity(kByteUnits, bytes); }

}  // namespace dbsidecar::server
