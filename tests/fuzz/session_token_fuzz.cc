// Tokens of sessions: whoever does not have one learns nothing and changes nothing, whatever he
// sends in its place.
#include <algorithm>
#include <cctype>
#include <string>

#include "pool/event_loop.h"
#include "pool/observer.h"
#include "pool/pool.h"
#include "tests/fuzz/fuzzer.h"
#include "tests/support/fake_driver.h"

namespace {

using namespace dbsidecar;
using namespace dbsidecar::pool;

class OneCall final : public Call {
 public:
  void Answer(Outcome answer) override { outcome = std::move(answer); }
  void Done() override { done = true; }

  Outcome outcome;
  bool done = false;
};

// A pool with one session open, on a loop that is run by hand.
class HeldSession {
 public:
  HeldSession() : driver_(loop_), pool_(loop_, driver_, Options(), observer_) {
    driver_.script.sessions = true;
    loop_.RunOrPost([this] { pool_.Start(); });
    OneCall opening;
    SessionUse use;
    use.kind = SessionUse::Kind::kPin;
    Run(opening, use);
    token_ = opening.outcome.session;
    FUZZ_REQUIRE(!opening.outcome.error, opening.outcome.error->message);
    FUZZ_REQUIRE(token_.size() == 32, token_);
  }

  const std::string& token() const { return token_; }

  void Run(OneCall& call, const SessionUse& use) {
    call.id = ++last_id_;
    call.statement.sql = "select 7";
    call.session = use;
    loop_.RunOrPost([&] { pool_.Submit(call); });
    // A stopped loop runs the tasks that there are, in which the fake driver answers, and returns.
    loop_.Stop();
    loop_.Run();
    FUZZ_REQUIRE(call.done, "a call is answered and done");
  }
  size_t sessions() { return pool_.Stats().sessions; }

 private:
  static PoolOptions Options() {
    PoolOptions options;
    options.core.min = 1;
    options.core.max = 2;
    options.session_idle_timeout = Duration::zero();
    options.transaction_timeout = Duration::zero();
    return options;
  }

  EventLoop loop_;
  test_support::FakeDriver driver_;
  Observer observer_;
  Pool pool_;
  CallId last_id_ = 0;
  std::string token_;
};

// The token itself, changed by as little as the input says; or any other text.
std::string Forge(fuzz::Input& input, const std::string& token) {
  if (input.TakeUpTo(1) == 0) return std::string(input.rest());
  std::string forged = token;
  const size_t at = input.Take<uint8_t>() % (forged.size() + 1);
  switch (input.TakeUpTo(4)) {
    case 0:
      forged.resize(at);
      break;
    case 1:
      forged.insert(at, 1, input.Take<char>());
      break;
    case 2:
      if (at < forged.size()) forged[at] = input.Take<char>();
      break;
    case 3:
      std::transform(forged.begin(), forged.end(), forged.begin(),
                     [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
      break;
    case 4:
      forged += std::string(input.rest());
      break;
  }
  return forged;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto& session = *new HeldSession();
  fuzz::Input input(data, size);
  SessionUse use;
  use.kind = input.TakeUpTo(1) == 0 ? SessionUse::Kind::kContinue : SessionUse::Kind::kEnd;
  use.end = static_cast<SessionUse::End>(input.TakeUpTo(2));
  use.commit = input.TakeUpTo(1) == 1;
  const std::string token = Forge(input, session.token());
  use.token = token;
  if (token != session.token()) {
    OneCall stranger;
    session.Run(stranger, use);
    FUZZ_REQUIRE(stranger.outcome.error.has_value(), "a wrong token is taken");
    const Error& error = *stranger.outcome.error;
    FUZZ_REQUIRE(error.kind == ErrorKind::kSessionNotFound, error.message);
    FUZZ_REQUIRE(error.message.find(session.token().substr(0, 8)) == std::string::npos,
                 error.message);
    FUZZ_REQUIRE(stranger.outcome.session.empty() && !error.outcome_unknown, error.message);
    FUZZ_REQUIRE(stranger.outcome.result.rows.row_count() == 0, error.message);
  }
  FUZZ_REQUIRE(session.sessions() == 1, "the session is still there");
  OneCall owner;
  use = {};
  use.kind = SessionUse::Kind::kContinue;
  use.token = session.token();
  session.Run(owner, use);
  FUZZ_REQUIRE(!owner.outcome.error, "and is its owner's");
  return 0;
}
