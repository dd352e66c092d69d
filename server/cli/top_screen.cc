#include "server/cli/top_screen.h"

#include <curses.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <utility>

namespace dbsidecar::server::cli {
namespace {

constexpr int kCtrlC = 3;
constexpr short kGoodPair = 1;
constexpr short kWarningPair = 2;
constexpr short kBadPair = 3;

attr_t AttributesOf(Ink ink, bool colours) {
  const auto coloured = [&](short pair, attr_t otherwise) {
    return colours ? static_cast<attr_t>(COLOR_PAIR(pair)) : otherwise;
  };
  switch (ink) {
    case Ink::kPlain:
      return A_NORMAL;
    case Ink::kHeading:
      return A_BOLD;
    case Ink::kGood:
      return coloured(kGoodPair, A_BOLD);
    case Ink::kWarning:
      return coloured(kWarningPair, A_BOLD);
    case Ink::kBad:
      return coloured(kBadPair, A_BOLD) | A_BOLD;
    case Ink::kChosen:
      return A_REVERSE;
  }
  return A_NORMAL;
}

}  // namespace

struct TopScreen::Terminal {
  SCREEN* screen = nullptr;
  bool colours = false;

  ~Terminal() {
    endwin();
    delscreen(screen);
  }
};

std::unique_ptr<TopScreen> TopScreen::Open() {
  if (isatty(STDOUT_FILENO) == 0 || isatty(STDIN_FILENO) == 0) return nullptr;
  std::setlocale(LC_CTYPE, "");
  SCREEN* screen = newterm(nullptr, stdout, stdin);
  if (screen == nullptr) return nullptr;
  auto terminal = std::make_unique<Terminal>();
  terminal->screen = screen;
  raw();  // Ctrl-C is a key, so that the terminal is always put back.
  noecho();
  nonl();
  keypad(stdscr, TRUE);
  curs_set(0);
  if (has_colors() && start_color() == OK) {
    const short background = use_default_colors() == OK ? -1 : COLOR_BLACK;
    init_pair(kGoodPair, COLOR_GREEN, background);
    init_pair(kWarningPair, COLOR_YELLOW, background);
    init_pair(kBadPair, COLOR_RED, background);
    terminal->colours = true;
  }
  return std::unique_ptr<TopScreen>(new TopScreen(std::move(terminal)));
}

TopScreen::TopScreen(std::unique_ptr<Terminal> terminal) : terminal_(std::move(terminal)) {}

TopScreen::~TopScreen() = default;

std::size_t TopScreen::width() const { return static_cast<std::size_t>(getmaxx(stdscr)); }
std::size_t TopScreen::height() const { return static_cast<std::size_t>(getmaxy(stdscr)); }

void TopScreen::Draw(const std::vector<TopLine>& lines) {
  erase();
  int row = 0;
  for (const TopLine& line : lines) {
    const attr_t attributes = AttributesOf(line.ink, terminal_->colours);
    attrset(static_cast<int>(attributes));
    mvaddstr(row++, 0, line.text.c_str());
  }
  attrset(A_NORMAL);
  refresh();
}

TopScreen::Pressed TopScreen::Wait(std::chrono::milliseconds limit) {
  timeout(static_cast<int>(limit.count()));
  const int code = getch();
  if (code == ERR) return {};
  if (code == KEY_UP) return {.key = Key::kUp};
  if (code == KEY_DOWN) return {.key = Key::kDown};
  if (code == KEY_RESIZE) return {.key = Key::kResized};
  if (code == 'q' || code == kCtrlC) return {.key = Key::kQuit};
  return {.key = Key::kOther, .letter = code < 0x80 ? static_cast<char>(code) : '\0'};
}

}  // namespace dbsidecar::server::cli
