#include "pool/session.h"

#include <sys/random.h>

#include <array>

#include "pool/check.h"

namespace dbsidecar::pool {

std::string NewSessionToken() {
  std::array<unsigned char, 16> bytes;
  DBSIDECAR_CHECK(getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string token;
  for (const unsigned char byte : bytes) {
    token += kDigits[byte >> 4];
    token += kDigits[byte & 15];
  }
  return token;
}

}  // namespace dbsidecar::pool
