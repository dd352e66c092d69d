// Reads lines from a terminal: editing, history, and Ctrl-C (libedit).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace dbsidecar::server::cli {

// One at a time, on the main thread: it handles SIGINT while it lives.
class LineEditor {
 public:
  // `history` is a file, which only its owner may read; empty = none is kept. `interrupt` runs on a
  // thread of its own when Ctrl-C comes while no line is being read.
  LineEditor(std::string history, std::function<void()> interrupt);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  struct Line {
    std::string text;
    bool interrupted = false;  // Ctrl-C: what was typed is to be forgotten.
  };
  // Empty: the end of the input. A line that begins with a space is not kept in the history.
  std::optional<Line> Read(const std::string& prompt);

 private:
  struct Interrupts;

  const std::string history_;
  std::unique_ptr<Interrupts> interrupts_;
};

}  // namespace dbsidecar::server::cli
