// One connection against a server that says, byte by byte, what a test wants it to: for what a real
// one does only now and then.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include "pool/postgres/postgres_driver.h"
#include "tests/support/connection_probe.h"
#include "tests/support/temporary_folder.h"

namespace dbsidecar::pool {
namespace {

// --- What a server says. ---

std::string Int(uint32_t value, int bytes) {
  std::string result;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    result.push_back(static_cast<char>(value >> shift));
  }
  return result;
}

std::string Message(char type, const std::string& body) {
  return type + Int(static_cast<uint32_t>(body.size() + 4), 4) + body;
}

std::string Parsed() { return Message('1', ""); }
std::string Bound() { return Message('2', ""); }
std::string OneColumn() {
  return Message('T', Int(1, 2) + std::string("mine") + '\0' + Int(0, 4) + Int(0, 2) + Int(25, 4) +
                          Int(0xffff, 2) + Int(0xffffffff, 4) + Int(0, 2));
}
std::string OneRow(const std::string& text) {
  return Message('D', Int(1, 2) + Int(static_cast<uint32_t>(text.size()), 4) + text);
}
std::string NoColumns() { return Message('n', ""); }
std::string Completed(const std::string& tag) { return Message('C', tag + '\0'); }
std::string Ready() { return Message('Z', "I"); }

// On a Unix socket, to one client.
class ScriptedServer {
 public:
  ScriptedServer() : listener_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = folder_ / ".s.PGSQL.5432";
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
        listen(listener_, 1) != 0) {
      ADD_FAILURE() << "cannot listen on " << path;
    }
  }
  ~ScriptedServer() {
    if (client_ >= 0) close(client_);
    close(listener_);
  }

  std::string url() const { return "postgresql:///test?host=" + (folder_ / ""); }

  // Meanwhile the client must connect.
  void Greet() {
    client_ = accept(listener_, nullptr, nullptr);
    Read(ReadInt());  // Its startup message.
    Say(Message('R', Int(0, 4)) + Message('K', Int(1, 4) + Int(2, 4)) + Ready());
  }
  void AwaitSync() {
    while (Read(1) != "S") Read(ReadInt());
    ReadInt();
  }
  void Say(std::string_view bytes) {
    ASSERT_EQ(write(client_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  void HangUp() {
    close(client_);
    client_ = -1;
  }

 private:
  std::string Read(size_t size) {
    std::string bytes(size, '\0');
    for (size_t got = 0; got < size;) {
      const ssize_t more = read(client_, bytes.data() + got, size - got);
      if (more <= 0) throw std::runtime_error("the client has gone");
      got += static_cast<size_t>(more);
    }
    return bytes;
  }
  // A message's length, which counts itself.
  size_t ReadInt() {
    size_t value = 0;
    for (const char byte : Read(4)) value = value << 8 | static_cast<uint8_t>(byte);
    return value - 4;
  }

  TemporaryFolder folder_;
  const int listener_;
  int client_ = -1;
};

class PostgresConnectionTest : public testing::Test {
 protected:
  PostgresConnectionTest()
      : driver_(NewPostgresDriver({.url = server_.url()}, loop_.loop())),
        probe_(loop_, *driver_, 0) {
    std::thread greeting([this] { server_.Greet(); });
    probe_.OpenWell();
    greeting.join();
  }

  static void ReadOnly(ProbeCall& call) { call.statement.read_only = true; }

  // The server says `last` and hangs up before two more are sent, and before any of it is read.
  // libpq notices at the first that it cannot write, reads `last` at the second, and learns that
  // the connection is broken when it reads again.
  void EndWhileSending(const std::string& last) {
    probe_.StartAfter(
        [&] {
          server_.Say(last);
          server_.HangUp();
        },
        {&third_, &fourth_});
  }

  static void ExpectLost(const ProbeEvent& event, const Call& call) {
    ASSERT_EQ(event.kind, ProbeEvent::Kind::kReply);
    EXPECT_EQ(event.call, &call);
    ASSERT_TRUE(event.outcome.error.has_value());
    EXPECT_EQ(event.outcome.error->kind, ErrorKind::kConnectionLost);
    EXPECT_EQ(event.condition, Condition::kBroken);
  }

  ProbeCall third_{"SELECT 'third' AS mine"};
  ProbeCall fourth_{"SELECT 'fourth' AS mine"};
  ScriptedServer server_;
  LoopThread loop_;
  const std::unique_ptr<Driver> driver_;
  ConnectionProbe probe_;
};

// libpq forgets what it sent when it finds the connection broken, and takes a row description for
// the answer to a Describe: a success without rows.
TEST_F(PostgresConnectionTest, HalfAnAnswerIsNone) {
  ProbeCall first("SELECT 'first' AS mine");
  ProbeCall second("SELECT 'second' AS mine");
  for (ProbeCall* call : {&first, &second}) ReadOnly(*call);
  probe_.StartTogether({&first, &second});
  server_.AwaitSync();
  EndWhileSending(Parsed() + Bound() + OneColumn() + OneRow("first").substr(0, 9));
  for (ProbeCall* call : {&first, &second}) {
    const ProbeEvent event = probe_.Wait();
    ExpectLost(event, *call);
    EXPECT_TRUE(event.outcome.may_run_again);
  }
  ExpectLost(probe_.Wait(), third_);
  ExpectLost(probe_.Wait(), fourth_);
}

TEST_F(PostgresConnectionTest, WhatWasAnsweredBeforeTheEndIsASuccess) {
  ProbeCall first("INSERT INTO t VALUES ('first')");
  ProbeCall second("SELECT 'second' AS mine");
  probe_.StartTogether({&first, &second});
  server_.AwaitSync();
  server_.AwaitSync();
  EndWhileSending(Parsed() + Bound() + NoColumns() + Completed("INSERT 0 1") + Ready() + Parsed() +
                  Bound() + OneColumn() + OneRow("second") + Completed("SELECT 1") + Ready());
  const ProbeEvent written = probe_.Wait();
  EXPECT_EQ(written.call, &first);
  EXPECT_FALSE(written.outcome.error.has_value());
  EXPECT_EQ(written.outcome.result.command_tag, "INSERT 0 1");
  const ProbeEvent read = probe_.Wait();
  EXPECT_EQ(read.call, &second);
  EXPECT_FALSE(read.outcome.error.has_value());
  const RowBuffer& rows = read.outcome.result.rows;
  ASSERT_EQ(rows.row_count(), 1U);
  EXPECT_EQ(rows.bytes(rows.at(0, 0)), "second");
  ExpectLost(probe_.Wait(), third_);
  ExpectLost(probe_.Wait(), fourth_);
}

TEST_F(PostgresConnectionTest, AnAnswerOfTheWrongKindIsNobodys) {
  ProbeCall first("SELECT 'first' AS mine");
  ProbeCall second("SELECT 'second' AS mine");
  for (ProbeCall* call : {&first, &second}) ReadOnly(*call);
  probe_.StartTogether({&first, &second});
  server_.AwaitSync();
  server_.Say(Parsed() + Bound() + Completed("") + Ready());
  ExpectLost(probe_.Wait(), first);
  ExpectLost(probe_.Wait(), second);
}

}  // namespace
}  // namespace dbsidecar::pool
