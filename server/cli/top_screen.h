// A terminal that shows frames and gives keys, by ncurses; its header is in the .cc file alone,
// because its macros have everyday names.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include "server/cli/top_frame.h"

namespace dbsidecar::server::cli {

class TopScreen {
 public:
  enum class Key { kNone, kUp, kDown, kResized, kQuit, kOther };
  struct Pressed {
    Key key = Key::kNone;
    char letter = 0;  // kOther: an ASCII character.
  };

  // Null if standard output is no terminal that can be drawn on.
  static std::unique_ptr<TopScreen> Open();
  // Leaves the terminal as it was.
  ~TopScreen();

  std::size_t width() const;
  std::size_t height() const;
  void Draw(const std::vector<TopLine>& lines);
  // kNone = none came in that time.
  Pressed Wait(std::chrono::milliseconds limit);

 private:
  struct Terminal;
  explicit TopScreen(std::unique_ptr<Terminal> terminal);

  std::unique_ptr<Terminal> terminal_;
};

}  // namespace dbsidecar::server::cli
