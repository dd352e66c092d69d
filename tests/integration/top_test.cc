// `dbsidecar top` on a terminal, and `dbsidecar admin`, against the real sidecar.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tests/integration/admin_fixture.h"

namespace dbsidecar::integration {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr milliseconds kPatience = 20s;

// What a VT100 shows after what was written to it, as far as curses makes use of one.
class Vt100 {
 public:
  static constexpr size_t kColumns = 80;
  static constexpr size_t kRows = 24;

  void Write(char c) {
    if (!sequence_.empty()) {
      sequence_ += c;
      const bool csi = sequence_.size() > 1 && sequence_[1] == '[';
      const bool charset = sequence_.size() > 1 && (sequence_[1] == '(' || sequence_[1] == ')');
      const bool over = csi       ? sequence_.size() > 2 && c >= '@' && c <= '~'
                        : charset ? sequence_.size() > 2
                                  : true;
      if (over) Obey(std::exchange(sequence_, ""));
    } else if (c == '\x1b') {
      sequence_ = c;
    } else if (c == '\r') {
      column_ = 0;
    } else if (c == '\n') {
      row_ = std::min(row_ + 1, kRows - 1);
    } else if (c == '\b') {
      column_ -= column_ > 0 ? 1 : 0;
    } else if (static_cast<unsigned char>(c) >= 0x20) {
      if (column_ == kColumns) {
        column_ = 0;
        row_ = std::min(row_ + 1, kRows - 1);
      }
      lines_[row_][column_++] = c;
    }
  }

  bool Shows(const std::string& text) const {
    return std::any_of(lines_.begin(), lines_.end(), [&](const std::string& line) {
      return line.find(text) != std::string::npos;
    });
  }
  std::string Text() const {
    std::string text;
    for (const std::string& line : lines_) text += line + "\n";
    return text;
  }

 private:
  void Obey(const std::string& sequence) {
    if (sequence[1] != '[') return;
    const size_t first = static_cast<size_t>(std::atoi(sequence.c_str() + 2));
    const size_t semicolon = sequence.find(';');
    const size_t second = semicolon == std::string::npos
                              ? 0
                              : static_cast<size_t>(std::atoi(sequence.c_str() + semicolon + 1));
    const size_t count = std::max<size_t>(first, 1);
    switch (sequence.back()) {
      case 'H':
        row_ = std::min(count, kRows) - 1;
        column_ = std::min(std::max<size_t>(second, 1), kColumns) - 1;
        break;
      case 'A':
        row_ -= std::min(row_, count);
        break;
      case 'B':
        row_ = std::min(row_ + count, kRows - 1);
        break;
      case 'C':
        column_ = std::min(column_ + count, kColumns - 1);
        break;
      case 'D':
        column_ -= std::min(column_, count);
        break;
      case 'J':
        for (size_t row = row_ + 1; row < kRows; ++row) lines_[row].assign(kColumns, ' ');
        [[fallthrough]];
      case 'K':
        if (first == 1) {
          std::fill_n(lines_[row_].begin(), std::min(column_ + 1, kColumns), ' ');
        } else {
          std::fill(lines_[row_].begin() + static_cast<ptrdiff_t>(column_), lines_[row_].end(),
                    ' ');
        }
        break;
    }
  }

  std::vector<std::string> lines_ = std::vector<std::string>(kRows, std::string(kColumns, ' '));
  size_t row_ = 0;
  size_t column_ = 0;
  std::string sequence_;
};

// `dbsidecar top` as a person has it.
class TopTerminal {
 public:
  explicit TopTerminal(const AdminSidecar& fixture, const char* term = "vt100") {
    const test_support::Command command = SidecarProcess::CommandLine({}, "");
    winsize size{};
    size.ws_col = Vt100::kColumns;
    size.ws_row = Vt100::kRows;
    const std::string admin = "unix:" + fixture.sidecar.admin_socket();
    pid_ = forkpty(&terminal_, nullptr, nullptr, &size);
    if (pid_ == 0) {
      setenv("TERM", term, 1);
      const char* binary = command.arguments[0].c_str();
      execl(binary, binary, "top", "--interval", "200ms", "--addr",
            fixture.sidecar.address().c_str(), "--admin-addr", admin.c_str(), nullptr);
      _exit(127);
    }
    fcntl(terminal_, F_SETFL, O_NONBLOCK);
  }
  ~TopTerminal() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(terminal_);
  }

  void Await(const std::string& text) {
    EXPECT_TRUE(Eventually(kPatience,
                           [&] {
                             ReadMore();
                             return screen_.Shows(text);
                           }))
        << "no \"" << text << "\" in:\n"
        << screen_.Text();
  }
  // In what was written, wherever it was shown.
  void AwaitWritten(const std::string& text) {
    EXPECT_TRUE(Eventually(kPatience, [&] {
      ReadMore();
      return written_.find(text) != std::string::npos;
    })) << written_;
  }
  void Type(const std::string& text) {
    ASSERT_EQ(write(terminal_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void Resize(unsigned short columns, unsigned short rows) {
    written_.clear();
    winsize size{};
    size.ws_col = columns;
    size.ws_row = rows;
    ASSERT_EQ(ioctl(terminal_, TIOCSWINSZ, &size), 0);
  }
  int AwaitExit() {
    int status = -1;
    EXPECT_TRUE(Eventually(kPatience, [&] {
      ReadMore();
      return waitpid(pid_, &status, WNOHANG) == pid_;
    })) << screen_.Text();
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  const std::string& written() const { return written_; }

 private:
  void ReadMore() {
    char bytes[4096];
    for (ssize_t size = 0; (size = read(terminal_, bytes, sizeof(bytes))) > 0;) {
      written_.append(bytes, static_cast<size_t>(size));
      for (ssize_t i = 0; i < size; ++i) screen_.Write(bytes[i]);
    }
  }

  int terminal_ = -1;
  pid_t pid_ = -1;
  std::string written_;
  Vt100 screen_;
};

TEST(TopTest, ShowsWhatRunsAndCancelsWhatIsChosen) {
  AdminSidecar fixture({"--query-timeout=50s", "--max-connections=3"});
  const auto call = fixture.client.Start(MakeQuery("select pg_sleep(60)"), 60s);
  fixture.AwaitStatements(1, v1::STATEMENT_STATE_RUNNING);
  TopTerminal terminal(fixture);
  terminal.Await("pool default (postgresql");
  terminal.Await("1 of 3 in use");
  terminal.Await("running");
  terminal.Await("q quit");
  terminal.Type("c");
  terminal.Await("choose a statement");
  terminal.Type("\x1bOB");  // Down.
  terminal.Await("> ");
  terminal.Type("c");
  terminal.Await("cancel the statement");
  terminal.Type("n");
  terminal.Await("nothing was done");
  EXPECT_FALSE(call->Finished());
  terminal.Type("c");
  terminal.Await("cancel the statement");
  terminal.Type("y");
  terminal.Await("is cancelled");
  EXPECT_EQ(call->Wait().status.error_code(), grpc::StatusCode::CANCELLED);
  terminal.Type("s");
  terminal.Await("by state");
  terminal.Type("q");
  EXPECT_EQ(terminal.AwaitExit(), 0);
  EXPECT_THAT(terminal.written(), Not(HasSubstr("\x1b[3"))) << "no colour where there is none";
}

TEST(TopTest, PausesAndResumesAfterAQuestion) {
  AdminSidecar fixture({}, "sqlite::memory:");
  TopTerminal terminal(fixture);
  terminal.Await("ACTIVE");
  terminal.Type("p");
  terminal.Await("pause the pool default?");
  EXPECT_EQ(fixture.Metrics().state(), v1::POOL_STATE_ACTIVE);
  terminal.Type("y");
  terminal.Await("paused; nothing is in use");
  EXPECT_EQ(fixture.Metrics().state(), v1::POOL_STATE_PAUSED);
  terminal.Await("an operator has paused");
  terminal.Type("p");
  terminal.Await("resume the pool default?");
  terminal.Type("y");
  EXPECT_TRUE(
      Eventually(kPatience, [&] { return fixture.Metrics().state() == v1::POOL_STATE_ACTIVE; }));
  terminal.Type("\x03");
  EXPECT_EQ(terminal.AwaitExit(), 0);
}

TEST(TopTest, HasColoursWhereThereAreAnyAndFollowsTheTerminalsSize) {
  AdminSidecar fixture({}, "sqlite::memory:");
  TopTerminal terminal(fixture, "xterm-256color");
  terminal.AwaitWritten("\x1b[32m");  // Green: it is healthy.
  terminal.Resize(40, 10);
  terminal.AwaitWritten("\x1b[10dq quit");  // In the tenth line.
  terminal.Type("q");
  EXPECT_EQ(terminal.AwaitExit(), 0);
}

TEST(TopTest, GoesOnWhenTheSidecarIsGone) {
  AdminSidecar fixture({}, "sqlite::memory:");
  TopTerminal terminal(fixture);
  terminal.Await("q quit");
  fixture.sidecar.Signal(SIGKILL);
  terminal.Await("no sidecar answers");
  terminal.Type("q");
  EXPECT_EQ(terminal.AwaitExit(), 0);
}

TEST(TopTest, OneViewIsPlainText) {
  AdminSidecar fixture({}, "sqlite::memory:");
  const auto run = SidecarProcess::Run({"top", "--once", "--addr", fixture.sidecar.address(),
                                        "--admin-addr", "unix:" + fixture.sidecar.admin_socket()});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.output, HasSubstr("statements: 0, by age\n"));
  EXPECT_THAT(run.output, Not(HasSubstr("\x1b")));
  const auto without = SidecarProcess::Run({"top", "--once", "--addr", fixture.sidecar.address(),
                                            "--admin-addr", "unix:/nowhere/admin"});
  EXPECT_EQ(without.exit_code, 0);
  EXPECT_THAT(without.output,
              HasSubstr("no lists: no Admin service answers at unix:/nowhere/admin"));
  EXPECT_EQ(SidecarProcess::Run({"top", "--addr", "unix:/nowhere"}).exit_code, 2)
      << "there is no terminal";
  EXPECT_EQ(SidecarProcess::Run({"top", "--once", "--addr", "unix:/nowhere"}).exit_code, 3);
}

class AdminVerbTest : public testing::Test {
 protected:
  test_support::FailedStart Admin(std::vector<std::string> words) {
    words.insert(words.begin(), "admin");
    words.push_back("--admin-addr=unix:" + fixture_.sidecar.admin_socket());
    return SidecarProcess::Run(words);
  }

  AdminSidecar fixture_{{"--query-timeout=50s", "--show-sql"}};
};

TEST_F(AdminVerbTest, EachActionDoesWhatItSays) {
  EXPECT_EQ(Admin({"pause"}).output, "paused\n");
  EXPECT_EQ(fixture_.Metrics().state(), v1::POOL_STATE_PAUSED);
  EXPECT_EQ(Admin({"resume"}).output, "active\n");
  EXPECT_THAT(Admin({"resize", "--min", "1", "--max", "3"}).output, HasSubstr("min 1, max 3;"));
  EXPECT_EQ(Admin({"reload", "--dry-run"}).output, "nothing has changed\n");
  EXPECT_EQ(Admin({"log-level", "warn", "--for", "10min"}).output, "it was info\n");
  EXPECT_THAT(Admin({"reset-statistics"}).output, HasSubstr("counting since 20"));
  EXPECT_EQ(Admin({"statements"}).output, "nothing runs or waits\n");
  EXPECT_EQ(Admin({"sessions"}).output, "no session is open\n");
  EXPECT_THAT(Admin({"drain"}).output, HasSubstr("draining: 0 calls in progress, 0 sessions"));
  EXPECT_EQ(fixture_.sidecar.WaitExit(20s), 0);
}

TEST_F(AdminVerbTest, StatementsAndSessionsAreCancelledByTheirIds) {
  v1::QueryRequest begin = MakeQuery("select 7");
  begin.mutable_session()->mutable_begin();
  ASSERT_TRUE(fixture_.client.Run(begin).ok());
  const auto call = fixture_.client.Start(MakeQuery("select pg_sleep(60)"), 60s);
  const auto running = fixture_.AwaitStatements(1, v1::STATEMENT_STATE_RUNNING);
  ASSERT_EQ(running.size(), 1u);
  EXPECT_THAT(Admin({"statements"}).output, HasSubstr("select pg_sleep($1)\n"));
  EXPECT_THAT(Admin({"statements", "--json"}).output,
              HasSubstr("\"state\": \"STATEMENT_STATE_RUNNING\""));
  const std::string id = std::to_string(running[0].id());
  EXPECT_EQ(Admin({"cancel", id}).output, "cancelled\n");
  EXPECT_EQ(call->Wait().status.error_code(), grpc::StatusCode::CANCELLED);
  const auto again = Admin({"cancel", id});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.output, HasSubstr("reason STATEMENT_NOT_FOUND"));
  EXPECT_THAT(Admin({"sessions"}).output, HasSubstr("transaction"));
  const std::string session = std::to_string(fixture_.Sessions().at(0).id());
  EXPECT_EQ(Admin({"cancel-session", session}).output, "rolled back and ended\n");
  EXPECT_TRUE(fixture_.Sessions().empty());
  EXPECT_EQ(Admin({"quit"}).exit_code, 0);
  EXPECT_EQ(fixture_.sidecar.WaitExit(20s), 0);
}

TEST_F(AdminVerbTest, FailuresHaveTheirExitCodes) {
  const auto refused = Admin({"resize", "--min", "99"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.output, HasSubstr("is more than max-connections"));
  EXPECT_EQ(Admin({"pause", "--pool", "other"}).exit_code, 1);
  EXPECT_EQ(Admin({"nonsense"}).exit_code, 2);
  const auto nobody = SidecarProcess::Run({"admin", "pause", "--admin-addr=unix:/nowhere"});
  EXPECT_EQ(nobody.exit_code, 3);
  EXPECT_THAT(nobody.output, HasSubstr("--admin-listen"));
}

}  // namespace
}  // namespace dbsidecar::integration
