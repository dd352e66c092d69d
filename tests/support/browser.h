// Chromium without a window, driven over its debugging pipe: no driver program, no WebSocket.
#pragma once

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/child_process.h"

namespace dbsidecar::test_support {

// One page. Throws std::runtime_error when the browser does not answer.
class Browser {
 public:
  using Json = nlohmann::json;

  // Whether there is one on this machine.
  static bool IsInstalled();

  Browser();
  ~Browser();
  Browser(const Browser&) = delete;
  Browser& operator=(const Browser&) = delete;

  void Open(const std::string& url);
  // What an expression of JavaScript gives; null for what has no JSON. Throws when it throws.
  Json Evaluate(const std::string& expression);
  // True once the expression is; false if it is not within `patience`.
  bool Eventually(const std::string& expression, std::chrono::milliseconds patience);
  void SetSize(int width, int height);
  void SetDark(bool dark);
  void SaveScreenshot(const std::string& file);

  // What the page has asked for so far, and what its console has said that was an error.
  const std::vector<std::string>& requests();
  const std::vector<std::string>& errors();

 private:
  Json Call(const std::string& method, Json parameters = Json::object());
  // The next message; none when nothing comes in time.
  Json Receive(std::chrono::steady_clock::time_point give_up);
  void TakeNote(const Json& event);
  void TakeNoteOfAll();

  std::string folder_;
  int to_browser_ = -1;
  int from_browser_ = -1;
  std::unique_ptr<ChildProcess> process_;
  std::string received_;
  std::string session_;
  int last_call_ = 0;
  std::vector<std::string> requests_;
  std::vector<std::string> errors_;
};

}  // namespace dbsidecar::test_support
