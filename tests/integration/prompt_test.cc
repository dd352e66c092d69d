// `dbsidecar sql`: the prompt on a terminal, and the same for a pipe; and `query --transaction`.
#include <fcntl.h>
#include <pty.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "tests/integration/fixture.h"

namespace dbsidecar::integration {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr milliseconds kPatience = 20s;
constexpr char kCtrlC = '\x03';
constexpr char kCtrlD = '\x04';

std::string Scratch() {
  static const std::string folder = test_support::MakeTemporaryFolder("prompt");
  return folder;
}

struct Ended {
  int exit_code = -1;
  std::string output;
};

// With `text` as a file of statements.
Ended RunFile(const PostgresSidecar& fixture, const std::string& text) {
  const std::string path = Scratch() + "/statements.sql";
  std::ofstream(path) << text;
  const auto run =
      SidecarProcess::Run({"sql", "--addr", fixture.sidecar.address(), path}, {}, kPatience);
  return {.exit_code = run.exit_code, .output = run.output};
}

// The prompt as a person has it.
class Terminal {
 public:
  explicit Terminal(const PostgresSidecar& fixture) {
    const test_support::Command command = SidecarProcess::CommandLine({}, "");
    const std::string home = Scratch();
    winsize size{};
    size.ws_col = 200;
    size.ws_row = 50;
    pid_ = forkpty(&terminal_, nullptr, nullptr, &size);
    if (pid_ == 0) {
      setenv("HOME", home.c_str(), 1);
      setenv("TERM", "dumb", 1);
      const char* binary = command.arguments[0].c_str();
      execl(binary, binary, "sql", "--addr", fixture.sidecar.address().c_str(), nullptr);
      _exit(127);
    }
    fcntl(terminal_, F_SETFL, O_NONBLOCK);
  }
  ~Terminal() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(terminal_);
  }

  // What it shows up to `text`, which must come.
  std::string AwaitOutput(const std::string& text) {
    size_t found = std::string::npos;
    EXPECT_TRUE(Eventually(kPatience,
                           [&] {
                             ReadMore();
                             found = shown_.find(text);
                             return found != std::string::npos;
                           }))
        << "no \"" << text << "\" in: " << shown_;
    if (found == std::string::npos) return "";
    std::string before = shown_.substr(0, found);
    shown_.erase(0, found + text.size());
    return before;
  }
  void Type(const std::string& text) {
    ASSERT_EQ(write(terminal_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  int AwaitExit() {
    int status = -1;
    EXPECT_TRUE(Eventually(kPatience, [&] {
      ReadMore();
      return waitpid(pid_, &status, WNOHANG) == pid_;
    })) << shown_;
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  void ReadMore() {
    char bytes[4096];
    for (ssize_t size = 0; (size = read(terminal_, bytes, sizeof(bytes))) > 0;) {
      shown_.append(bytes, static_cast<size_t>(size));
    }
  }

  int terminal_ = -1;
  pid_t pid_ = -1;
  std::string shown_;
};

TEST(PromptTest, ATransactionIsSeenInThePromptAndRolledBackAtTheEnd) {
  PostgresSidecar fixture;
  fixture.Psql("create table t (i int)");
  Terminal terminal(fixture);
  terminal.AwaitOutput("on PostgreSQL");
  terminal.AwaitOutput("sql=> ");
  terminal.Type("insert into t\n");
  terminal.AwaitOutput("sql-> ");
  terminal.Type("values (1);\n");
  terminal.AwaitOutput("INSERT 0 1");
  terminal.Type("begin; insert into t values (2);\n");
  terminal.AwaitOutput("sql*=> ");
  terminal.Type("select * from nothing;\n");
  EXPECT_THAT(terminal.AwaitOutput("sql!=> "), HasSubstr("42P01"));
  terminal.Type("rollback; begin; insert into t values (3);\n");
  terminal.AwaitOutput("sql*=> ");
  terminal.Type("\\q\n");
  terminal.AwaitOutput("rolled back");
  EXPECT_EQ(terminal.AwaitExit(), 0);
  EXPECT_EQ(fixture.Psql("select sum(i) from t"), "1");
}

TEST(PromptTest, CtrlCStopsAStatementOrForgetsWhatIsTyped) {
  PostgresSidecar fixture;
  Terminal terminal(fixture);
  terminal.AwaitOutput("sql=> ");
  terminal.Type("select 'unfinished\n");
  terminal.AwaitOutput("sql'> ");
  terminal.Type({kCtrlC});
  terminal.AwaitOutput("sql=> ");
  terminal.Type("select pg_sleep(60);\n");
  ASSERT_TRUE(Eventually(kPatience, [&] {
    return fixture.Psql(
               "select count(*) from pg_stat_activity where query like 'select pg_sleep%' "
               "and state = 'active'") == "1";
  }));
  terminal.Type({kCtrlC});
  terminal.AwaitOutput("CANCELLED");
  terminal.AwaitOutput("sql=> ");
  terminal.Type("select 40 + 2;\n");
  terminal.AwaitOutput("42");
  terminal.AwaitOutput("sql=> ");
  terminal.Type({kCtrlD});
  EXPECT_EQ(terminal.AwaitExit(), 0);
}

TEST(PromptTest, APinnedConnectionKeepsWhatIsSetOnIt) {
  PostgresSidecar fixture;
  Terminal terminal(fixture);
  terminal.AwaitOutput("sql=> ");
  terminal.Type("set work_mem = '7MB';\n");
  EXPECT_THAT(terminal.AwaitOutput("sql=> "), HasSubstr("SESSION_REQUIRED"));
  terminal.Type("\\pin\n");
  terminal.AwaitOutput("pinned=> ");
  terminal.Type("set work_mem = '7MB';\n");
  terminal.AwaitOutput("pinned=> ");
  terminal.Type("show work_mem;\n");
  EXPECT_THAT(terminal.AwaitOutput("pinned=> "), HasSubstr("7MB"));
  terminal.Type("\\unpin\n");
  terminal.AwaitOutput("sql=> ");
  terminal.Type("show work_mem;\n");
  EXPECT_THAT(terminal.AwaitOutput("sql=> "), HasSubstr("4MB"));
}

TEST(PromptTest, TheHistoryIsForItsOwnerAloneAndLeavesOutWhatBeginsWithASpace) {
  PostgresSidecar fixture;
  {
    Terminal terminal(fixture);
    terminal.AwaitOutput("sql=> ");
    terminal.Type("select 'remembered';\n");
    terminal.AwaitOutput("sql=> ");
    terminal.Type(" select 'secret';\n");
    terminal.AwaitOutput("sql=> ");
    terminal.Type("\\q\n");
    EXPECT_EQ(terminal.AwaitExit(), 0);
  }
  const std::string path = Scratch() + "/.dbsidecar_history";
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_THAT(test_support::ReadFile(path), HasSubstr("remembered"));
  EXPECT_THAT(test_support::ReadFile(path), Not(HasSubstr("secret")));
}

TEST(PromptTest, AFileStopsAtItsFirstErrorAndRollsBackWhatIsOpen) {
  PostgresSidecar fixture;
  const Ended well = RunFile(fixture,
                             "create table t (i int primary key);\n"
                             "create function f() returns int language sql as $$ select 1; $$;\n"
                             "begin; insert into t values (1); commit;\n"
                             "\\d t\n"
                             "\\dt\n\\dv\n\\di\n\\ds\n\\dn\n\\df\n\\du\n\\l\n\\d *\n"
                             "select count(*) as kept from t");
  EXPECT_EQ(well.exit_code, 0) << well.output;
  EXPECT_THAT(well.output, HasSubstr("Columns of t"));
  EXPECT_THAT(well.output, HasSubstr("t_pkey"));
  EXPECT_THAT(well.output, HasSubstr("kept"));
  const Ended badly =
      RunFile(fixture, "begin; insert into t values (2);\nselect 1 / 0; insert into t values (3);");
  EXPECT_EQ(badly.exit_code, 1);
  EXPECT_THAT(badly.output, HasSubstr("22012"));
  EXPECT_EQ(fixture.Psql("select sum(i) from t"), "1");
  const Ended nonsense = RunFile(fixture, "\\nonsense\nselect 1;");
  EXPECT_EQ(nonsense.exit_code, 1);
  EXPECT_THAT(nonsense.output, HasSubstr("there is no command \\nonsense"));
}

TEST(QueryTransactionTest, AllOrNone) {
  PostgresSidecar fixture;
  fixture.Psql("create table t (i int)");
  const auto run = [&](const std::vector<std::string>& statements) {
    std::vector<std::string> arguments{"query", "--addr", fixture.sidecar.address(),
                                       "--transaction"};
    arguments.insert(arguments.end(), statements.begin(), statements.end());
    return SidecarProcess::Run(arguments, {}, kPatience);
  };
  const auto well = run({"insert into t values (1)", "select count(*) as there from t"});
  EXPECT_EQ(well.exit_code, 0) << well.output;
  EXPECT_THAT(well.output, HasSubstr("INSERT 0 1"));
  EXPECT_THAT(well.output, HasSubstr("there"));
  const auto badly = run({"insert into t values (2)", "select 1 / 0", "select 3"});
  EXPECT_EQ(badly.exit_code, 1);
  EXPECT_THAT(badly.output, HasSubstr("statement 2 of 3"));
  EXPECT_EQ(fixture.Psql("select sum(i) from t"), "1");
}

}  // namespace
}  // namespace dbsidecar::integration
