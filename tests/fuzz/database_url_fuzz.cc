// Database URLs: no password shows, neither in errors nor in what is logged, and whatever is
// accepted can be written down and read again.
#include <string>
#include <string_view>

#include "pool/postgres/conninfo.h"
#include "server/config/database_url.h"
#include "server/config/listen_address.h"
#include "server/config/values.h"
#include "tests/fuzz/fuzzer.h"

namespace {

using namespace dbsidecar;
using namespace dbsidecar::server;

// Something that does not come about by accident, put where a password stands.
void HideSecret(const std::string& user, const std::string& rest) {
  constexpr std::string_view kSecret = "S3cretZ9x";
  // A fuzzer that watches comparisons learns it; where it is no password, it may be shown.
  for (const std::string& part : {user, rest}) {
    if (part.find(kSecret) != std::string::npos) return;
  }
  for (const std::string& url : {"postgresql://" + user + ":" + std::string(kSecret) + "@" + rest,
                                 "postgres://h/d?password=" + std::string(kSecret) + "&" + rest,
                                 "postgres://" + rest + "?sslpassword=" + std::string(kSecret)}) {
    // Where the rest makes it a part of something else, it is no password.
    const auto parsed = ParseDatabaseUrl(url);
    if (!parsed.ok()) {
      const std::string error(parsed.status().message());
      FUZZ_REQUIRE(error.find(kSecret) == std::string::npos, url + "\n" + error);
      continue;
    }
    bool password = false;
    for (const std::string& secret : SecretsInUrl(url)) {
      password |= secret.find(kSecret) != std::string::npos;
    }
    if (!password) continue;
    const std::string shown = RedactUrl(url);
    FUZZ_REQUIRE(shown.find(kSecret) == std::string::npos, url + "\n" + shown);
  }
}

void RunUrl(const std::string& url) {
  const auto parsed = ParseDatabaseUrl(url);
  if (!parsed.ok()) {
    FUZZ_REQUIRE(parsed.status().message().size() > 10, url);
    return;
  }
  FUZZ_REQUIRE(!parsed->name.empty(), url);
  if (parsed->driver != DatabaseDriver::kPostgres) return;
  // What is accepted here libpq accepts, with our settings added.
  FUZZ_REQUIRE(pool::ValidateConninfo(parsed->name).empty(),
               url + "\n" + pool::ValidateConninfo(parsed->name));
  const std::string conninfo = pool::BuildConninfo({.url = parsed->name});
  FUZZ_REQUIRE(pool::ValidateConninfo(conninfo).empty(), url + "\n" + conninfo);
  FUZZ_REQUIRE(pool::StatementTimeoutOf({.url = parsed->name}) >= pool::Duration::zero(), url);
}

void RunAddress(const std::string& text) {
  const auto address = ParseListenAddress(text);
  if (!address.ok()) {
    FUZZ_REQUIRE(address.status().message().size() > 10, text);
    return;
  }
  const auto again = ParseListenAddress(address->ToString());
  FUZZ_REQUIRE(again.ok() && *again == *address, text + "\n" + address->ToString());
}

void RunValues(const std::string& text) {
  for (const BareNumber bare : {BareNumber::kRefused, BareNumber::kMilliseconds}) {
    const auto duration = ParseDuration(text, bare);
    if (!duration.ok()) continue;
    FUZZ_REQUIRE(duration->count() >= 0 && *duration <= kDurationMax, text);
    const auto again = ParseDuration(FormatDuration(*duration), BareNumber::kRefused);
    FUZZ_REQUIRE(again.ok() && *again == *duration, text + "\n" + FormatDuration(*duration));
  }
  if (const auto bytes = ParseBytes(text); bytes.ok()) {
    FUZZ_REQUIRE(*bytes >= 0, text);
    const auto again = ParseBytes(FormatBytes(*bytes));
    FUZZ_REQUIRE(again.ok() && *again == *bytes, text + "\n" + FormatBytes(*bytes));
  }
  if (const auto number = ParseInteger(text); number.ok()) {
    const auto again = ParseInteger(std::to_string(*number));
    FUZZ_REQUIRE(again.ok() && *again == *number, text);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  switch (input.TakeUpTo(3)) {
    case 0:
      RunUrl(input.TakeText());
      break;
    case 1: {
      const std::string user = input.TakeText();
      HideSecret(user, input.TakeText());
      break;
    }
    case 2:
      RunAddress(input.TakeText());
      break;
    case 3:
      RunValues(input.TakeText());
      break;
  }
  return 0;
}
