#include "tests/support/browser.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace dbsidecar::test_support {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// On a busy machine it takes its time to start.
constexpr seconds kPatience{60};

int OpenPipe(const std::string& path) {
  if (mkfifo(path.c_str(), 0600) != 0) throw std::runtime_error("cannot make " + path);
  // For both ways, so that nobody waits for the other end.
  return open(path.c_str(), O_RDWR | O_CLOEXEC);
}

std::string DecodedBase64(const std::string& text) {
  std::string bytes;
  unsigned buffer = 0;
  int bits = 0;
  for (const char c : text) {
    static const std::string digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t digit = digits.find(c);
    if (digit == std::string::npos) continue;
    buffer = buffer << 6 | static_cast<unsigned>(digit);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes += static_cast<char>(buffer >> bits & 0xff);
  }
  return bytes;
}

}  // namespace

bool Browser::IsInstalled() { return std::filesystem::exists("/usr/bin/chromium"); }

Browser::Browser() : folder_(MakeTemporaryFolder("browser")) {
  to_browser_ = OpenPipe(folder_ + "/in");
  from_browser_ = OpenPipe(folder_ + "/out");
  const std::string command =
      "exec chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
      "--disable-background-networking --disable-component-update --disable-sync "
      "--disable-dev-shm-usage --hide-scrollbars --user-data-dir=" +
      folder_ + "/profile --remote-debugging-pipe about:blank 3<>" + folder_ + "/in 4<>" + folder_ +
      "/out";
  process_ = std::make_unique<ChildProcess>(
      Command{.arguments = {"bash", "-c", command},
              .environment = {{"HOME", folder_}, {"TZ", "UTC"}, {"LANG", "en_GB.UTF-8"}},
              .dropped_prefixes = {},
              .output_file = folder_ + "/log"});
  const Json target = Call("Target.createTarget", {{"url", "about:blank"}});
  const Json attached =
      Call("Target.attachToTarget", {{"targetId", target.at("targetId")}, {"flatten", true}});
  session_ = attached.at("sessionId");
  for (const char* domain : {"Page", "Runtime", "Log", "Network"}) {
    Call(std::string(domain) + ".enable");
  }
}

Browser::~Browser() {
  try {
    session_.clear();
    Call("Browser.close");
    process_->WaitExit(seconds(10));
  } catch (const std::exception&) {
    // It is killed below.
  }
  process_.reset();
  close(to_browser_);
  close(from_browser_);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void Browser::Open(const std::string& url) {
  const Json answer = Call("Page.navigate", {{"url", url}});
  if (answer.contains("errorText")) {
    throw std::runtime_error(url + ": " + answer["errorText"].get<std::string>());
  }
}

Browser::Json Browser::Evaluate(const std::string& expression) {
  const Json answer =
      Call("Runtime.evaluate",
           {{"expression", expression}, {"returnByValue", true}, {"awaitPromise", true}});
  if (answer.contains("exceptionDetails")) {
    throw std::runtime_error(expression + ": " + answer["exceptionDetails"].dump());
  }
  return answer.at("result").value("value", Json());
}

bool Browser::Eventually(const std::string& expression, milliseconds patience) {
  const auto give_up = steady_clock::now() + patience;
  while (Evaluate(expression) != true) {
    if (steady_clock::now() > give_up) return false;
    std::this_thread::sleep_for(milliseconds(50));
  }
  return true;
}

void Browser::SetSize(int width, int height) {
  Call("Emulation.setDeviceMetricsOverride",
       {{"width", width}, {"height", height}, {"deviceScaleFactor", 1}, {"mobile", width < 600}});
}

void Browser::SetDark(bool dark) {
  const Json scheme = {{"name", "prefers-color-scheme"}, {"value", dark ? "dark" : "light"}};
  Call("Emulation.setEmulatedMedia", {{"features", Json::array({scheme})}});
}

void Browser::SaveScreenshot(const std::string& file) {
  const Json answer = Call("Page.captureScreenshot", {{"format", "png"}});
  std::ofstream(file, std::ios::binary) << DecodedBase64(answer.at("data"));
}

const std::vector<std::string>& Browser::requests() {
  TakeNoteOfAll();
  return requests_;
}

const std::vector<std::string>& Browser::errors() {
  TakeNoteOfAll();
  return errors_;
}

// What happened before a call is told before its answer.
void Browser::TakeNoteOfAll() { Evaluate("0"); }

Browser::Json Browser::Call(const std::string& method, Json parameters) {
  Json message = {{"id", ++last_call_}, {"method", method}, {"params", std::move(parameters)}};
  if (!session_.empty()) message["sessionId"] = session_;
  std::string text = message.dump();
  text += '\0';
  for (size_t sent = 0; sent < text.size();) {
    const ssize_t size = write(to_browser_, text.data() + sent, text.size() - sent);
    if (size <= 0) throw std::runtime_error("the browser cannot be written to");
    sent += static_cast<size_t>(size);
  }
  const auto give_up = steady_clock::now() + kPatience;
  while (true) {
    const Json received = Receive(give_up);
    if (received.is_null()) {
      throw std::runtime_error(method + ": the browser does not answer:\n" +
                               ReadFile(folder_ + "/log"));
    }
    if (!received.contains("id")) {
      TakeNote(received);
    } else if (received["id"] == last_call_) {
      if (received.contains("error")) {
        throw std::runtime_error(method + ": " + received["error"].dump());
      }
      return received.at("result");
    }
  }
}

Browser::Json Browser::Receive(steady_clock::time_point give_up) {
  size_t end = std::string::npos;
  while ((end = received_.find('\0')) == std::string::npos) {
    const auto left = std::chrono::duration_cast<milliseconds>(give_up - steady_clock::now());
    pollfd ready{.fd = from_browser_, .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || poll(&ready, 1, static_cast<int>(left.count())) <= 0) return {};
    char bytes[65536];
    const ssize_t size = read(from_browser_, bytes, sizeof(bytes));
    if (size <= 0) return {};
    received_.append(bytes, static_cast<size_t>(size));
  }
  const Json message = Json::parse(received_.substr(0, end));
  received_.erase(0, end + 1);
  return message;
}

void Browser::TakeNote(const Json& event) {
  const std::string method = event.value("method", "");
  const Json& parameters = event.at("params");
  if (method == "Network.requestWillBeSent") {
    requests_.push_back(parameters["request"]["url"]);
  } else if (method == "Runtime.exceptionThrown") {
    errors_.push_back(parameters["exceptionDetails"].dump());
  } else if (method == "Runtime.consoleAPICalled" && parameters["type"] == "error") {
    errors_.push_back(parameters["args"].dump());
  } else if (method == "Log.entryAdded" && parameters["entry"]["level"] == "error") {
    errors_.push_back(parameters["entry"]["text"].get<std::string>() + " " +
                      parameters["entry"].value("url", ""));
  }
}

}  // namespace dbsidecar::test_support
