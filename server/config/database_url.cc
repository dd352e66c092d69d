#include "server/config/database_url.h"

#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <memory>
#include <optional>
#include <system_error>

#include "server/text.h"

namespace dbsidecar::server {
namespace {

constexpr std::string_view kForms =
    "write postgresql://user@host/database, sqlite:name.db, sqlite::memory: or "
    "file:name.db?mode=ro";
constexpr std::string_view kInMemory = ":memory:";
constexpr std::string_view kHidden = "***";

absl::Status Bad(std::string_view what, std::string_view remedy = kForms) {
  return absl::InvalidArgumentError(Concat(what, "; ", remedy));
}

bool IsPostgres(std::string_view url) {
  return url.starts_with("postgresql://") || url.starts_with("postgres://");
}

bool IsSqlite(std::string_view url) {
  return url.starts_with("sqlite:") || url.starts_with("file:");
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Leaves what is not a valid escape as it is.
std::string PercentDecode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high >= 0 && low >= 0) {
        decoded.push_back(static_cast<char>(high * 16 + low));
        i += 2;
        continue;
      }
    }
    decoded.push_back(text[i]);
  }
  return decoded;
}

// --- Where the secrets are ----------------------------------------------------------------------

struct Range {
  std::size_t begin = 0;
  std::size_t end = 0;
};

bool IsSecretParameter(std::string_view key) {
  const std::string decoded = ToLower(PercentDecode(key));
  return decoded == "password" || decoded == "sslpassword";
}

// Text from the first colon to the last `@`: a password that should have been encoded, because it
// holds `@`, `/` or `?`, is hidden as a whole. In return an `@` in a parameter hides the host.
std::optional<Range> UserPassword(std::string_view url, std::size_t authority) {
  const std::size_t at = url.rfind('@');
  if (at == std::string_view::npos || at < authority) return std::nullopt;
  const std::size_t colon = url.find(':', authority);
  if (colon == std::string_view::npos || colon + 1 >= at) return std::nullopt;
  return Range{colon + 1, at};
}

// A stray `&` in a password makes a parameter without `=`; that is hidden, too.
void AppendSecretParameters(std::string_view url, std::size_t query, std::vector<Range>& ranges) {
  bool in_secret = false;
  for (std::size_t begin = query; begin <= url.size();) {
    const std::size_t end = std::min(url.find('&', begin), url.size());
    const std::string_view parameter = url.substr(begin, end - begin);
    const std::size_t equals = parameter.find('=');
    if (equals == std::string_view::npos) {
      if (in_secret && !parameter.empty()) ranges.push_back({begin, end});
    } else {
      in_secret = IsSecretParameter(parameter.substr(0, equals));
      if (in_secret && begin + equals + 1 < end) ranges.push_back({begin + equals + 1, end});
    }
    begin = end + 1;
  }
}

std::vector<Range> SecretRanges(std::string_view url) {
  if (IsSqlite(url)) return {};
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return {{0, url.size()}};

  std::vector<Range> ranges;
  const std::size_t authority = scheme + 3;
  if (const auto password = UserPassword(url, authority)) ranges.push_back(*password);
  const std::size_t question = url.find('?', authority);
  if (question != std::string_view::npos) AppendSecretParameters(url, question + 1, ranges);
  return ranges;
}

// --- SQLite -------------------------------------------------------------------------------------

std::string_view FileUriPath(std::string_view uri) {
  ConsumePrefix(uri, "file:");
  return uri.substr(0, uri.find_first_of("?#"));
}

bool IsInMemoryUri(std::string_view uri) {
  if (FileUriPath(uri) == kInMemory) return true;
  const std::string_view before_fragment = uri.substr(0, uri.find('#'));
  const std::size_t question = before_fragment.find('?');
  if (question == std::string_view::npos) return false;
  const std::vector<std::string_view> parameters = Split(before_fragment.substr(question + 1), '&');
  return std::ranges::find(parameters, "mode=memory") != parameters.end();
}

absl::StatusOr<DatabaseUrl> ParseFileUri(std::string_view uri) {
  const bool in_memory = IsInMemoryUri(uri);
  if (FileUriPath(uri).empty() && !in_memory) return Bad("names no file", "write file:name.db");
  return DatabaseUrl{DatabaseDriver::kSqlite, std::string(uri), in_memory};
}

absl::StatusOr<DatabaseUrl> ParseSqlitePath(std::string_view path) {
  ConsumePrefix(path, "//");
  if (path == kInMemory) return DatabaseUrl{DatabaseDriver::kSqlite, std::string(path), true};
  if (path.empty()) return Bad("names no file", "write sqlite:name.db or sqlite::memory:");
  if (path.back() == '/') return Bad("names a directory", "add the name of the database file");
  // SQLite would read these names in a special way of its own.
  if (path.front() == ':') {
    return Bad("names a file that starts with a colon",
               "write sqlite::memory: for a database in memory");
  }
  if (path.starts_with("file:")) return Bad("has two schemes", "leave sqlite: away");
  if (path.find('?') != std::string_view::npos) {
    return Bad("has parameters, which sqlite: does not take",
               "write file: in place of sqlite:, as in file:name.db?mode=ro");
  }
  return DatabaseUrl{DatabaseDriver::kSqlite, std::string(path), false};
}

// --- PostgreSQL ---------------------------------------------------------------------------------

absl::Status CheckPorts(std::string_view ports) {
  for (const std::string_view port : Split(ports, ',')) {
    if (port.empty()) continue;  // libpq's default.
    int number = 0;
    const auto [rest, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (error != std::errc() || rest != port.data() + port.size() || number < 1 || number > 65535) {
      return Bad("has a port that is not a number from 1 to 65535",
                 "correct it; a / : @ or ? in the user name or password is written "
                 "%2F %3A %40 %3F");
    }
  }
  return absl::OkStatus();
}

// libpq ends the password at the first `@` and takes the rest of it for the host, which it would
// then print.
absl::Status CheckAtSigns(std::string_view url) {
  const std::string_view before_query = url.substr(0, url.find('?'));
  const std::string_view authority =
      before_query.substr(0, before_query.find('/', url.find("://") + 3));
  const auto all = std::ranges::count(before_query, '@');
  if (all > 1 || (all == 1 && authority.find('@') == std::string_view::npos)) {
    return Bad("has an @ that is not the one before the host",
               "in names and passwords write @ as %40 and / as %2F");
  }
  return absl::OkStatus();
}

// Then a part of the password may have been taken for the query.
bool HasAtSignBehindQuery(std::string_view url) {
  const size_t query = url.find('?');
  return query != std::string_view::npos && url.find('@', query) != std::string_view::npos;
}

// At the end of a message libpq repeats what it could not read, down to the whole URL, passwords
// and all. A single word that cannot be a part of one is worth telling: it is a misspelt option.
std::string_view WithoutEcho(std::string_view reason, bool may_be_secret) {
  const size_t echo = reason.find(": \"");
  if (echo == std::string_view::npos) return reason;
  std::string_view word = reason.substr(echo + 3);
  if (word.ends_with('"')) word.remove_suffix(1);
  const bool is_word = std::ranges::all_of(
      word, [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; });
  return is_word && !may_be_secret ? reason : reason.substr(0, echo);
}

absl::StatusOr<DatabaseUrl> ParsePostgresUrl(std::string_view url) {
  if (const absl::Status status = CheckAtSigns(url); !status.ok()) return status;

  const std::string text(url);
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(text.c_str(), &message), &PQconninfoFree);
  const std::unique_ptr<char, decltype(&PQfreemem)> message_owner(message, &PQfreemem);
  if (options == nullptr) {
    const std::string_view reason = message != nullptr ? message : "out of memory";
    if (HasAtSignBehindQuery(url)) {
      return Bad(Concat("is refused by libpq: ", WithoutEcho(Trim(reason), true)),
                 "in names and passwords write ? as %3F, @ as %40 and / as %2F");
    }
    return Bad(Concat("is refused by libpq: ",
                      WithoutEcho(Trim(reason), url.find("password") != std::string_view::npos)),
               "see the connection URI format in PostgreSQL's documentation of libpq");
  }
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (std::string_view(option->keyword) != "port" || option->val == nullptr) continue;
    if (const absl::Status status = CheckPorts(option->val); !status.ok()) return status;
  }
  return DatabaseUrl{DatabaseDriver::kPostgres, text, false};
}

}  // namespace

absl::StatusOr<DatabaseUrl> ParseDatabaseUrl(std::string_view url) {
  if (url.find('\0') != std::string_view::npos) return Bad("holds a NUL byte", "remove it");
  if (IsPostgres(url)) return ParsePostgresUrl(url);
  if (url.starts_with("file:")) return ParseFileUri(url);
  if (ConsumePrefix(url, "sqlite:")) return ParseSqlitePath(url);
  return Bad("names no database that this program knows");
}

std::string RedactUrl(std::string_view url) {
  std::vector<Range> ranges = SecretRanges(url);
  std::ranges::sort(ranges, {}, &Range::begin);
  std::string redacted;
  std::size_t copied = 0;
  for (const Range& range : ranges) {
    if (range.begin >= copied) {
      redacted += Concat(url.substr(copied, range.begin - copied), kHidden);
    }
    copied = std::max(copied, range.end);
  }
  return Concat(redacted, url.substr(copied));
}

std::vector<std::string> SecretsInUrl(std::string_view url) {
  std::vector<std::string> secrets;
  for (const Range& range : SecretRanges(url)) {
    const std::string_view raw = url.substr(range.begin, range.end - range.begin);
    if (raw.empty()) continue;
    secrets.emplace_back(raw);
    if (std::string decoded = PercentDecode(raw); decoded != raw) {
      secrets.push_back(std::move(decoded));
    }
  }
  return secrets;
}

}  // namespace dbsidecar::server
