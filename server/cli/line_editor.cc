#include "server/cli/line_editor.h"

#include <editline/readline.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdlib>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

namespace dbsidecar::server::cli {
namespace {

constexpr int kHistoryMax = 10000;

// What the signal's handler may touch.
sigjmp_buf at_prompt;
volatile sig_atomic_t is_reading = 0;
int interrupt_pipe = -1;
pthread_t reader;

// libedit waits for a character again after a signal, so the handler leaves it by a jump; there is
// nothing of ours on the way. The signal may come to any thread, and only the reader's own stack
// can be jumped back to.
void OnInterrupt(int signal) {
  if (pthread_equal(pthread_self(), reader) == 0) {
    pthread_kill(reader, signal);
    return;
  }
  if (is_reading != 0) siglongjmp(at_prompt, 1);
  const char byte = 0;
  if (write(interrupt_pipe, &byte, 1) != 1) return;
}

}  // namespace

struct LineEditor::Interrupts {
  explicit Interrupts(std::function<void()> interrupt) {
    int ends[2];
    if (pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    interrupt_pipe = ends[1];
    reader = pthread_self();
    thread = std::thread([from = ends[0], interrupt = std::move(interrupt)] {
      char byte = 0;
      while (read(from, &byte, 1) == 1) interrupt();
      close(from);
    });
    struct sigaction action {};
    action.sa_handler = &OnInterrupt;
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, &before);
  }
  ~Interrupts() {
    sigaction(SIGINT, &before, nullptr);
    close(std::exchange(interrupt_pipe, -1));
    thread.join();
  }

  struct sigaction before {};
  std::thread thread;
};

LineEditor::LineEditor(std::string history, std::function<void()> interrupt)
    : history_(std::move(history)),
      interrupts_(std::make_unique<Interrupts>(std::move(interrupt))) {
  std::setlocale(LC_CTYPE, "");
  using_history();
  stifle_history(kHistoryMax);
  if (!history_.empty()) read_history(history_.c_str());
}

LineEditor::~LineEditor() {
  if (history_.empty()) return;
  const mode_t mask = umask(S_IRWXG | S_IRWXO);
  write_history(history_.c_str());
  umask(mask);
}

std::optional<LineEditor::Line> LineEditor::Read(const std::string& prompt) {
  if (sigsetjmp(at_prompt, 1) != 0) {
    is_reading = 0;
    return Line{.text = "", .interrupted = true};
  }
  is_reading = 1;
  char* line = readline(prompt.c_str());
  is_reading = 0;
  if (line == nullptr) return std::nullopt;
  Line result{.text = line};
  std::free(line);
  if (!result.text.empty() && result.text[0] != ' ') add_history(result.text.c_str());
  return result;
}

}  // namespace dbsidecar::server::cli
