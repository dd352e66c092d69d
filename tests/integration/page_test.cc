// The live page in a real browser, on a real sidecar with real trouble.
//
// With DBSIDECAR_PAGE_SHOTS=FOLDER its screenshots are kept there (`./dev shots`).
#include <gmock/gmock.h>
#include <signal.h>

#include <atomic>

#include "tests/integration/fixture.h"
#include "tests/support/browser.h"
#include "tests/support/http_client.h"

namespace dbsidecar::integration {
namespace {

using test_support::Browser;
using test_support::HttpGet;
using testing::HasSubstr;

// On a busy machine a browser takes its time.
constexpr milliseconds kPatience = 30s;

// The figure of that name on the first pool's card.
std::string Figure(const std::string& name) {
  return "[...document.querySelectorAll('.pool .figures div')]"
         ".find((one) => one.querySelector('dt').textContent === '" +
         name + "')?.querySelector('dd').textContent";
}

std::string TextOf(const std::string& selector) {
  return "(document.querySelector('" + selector + "')?.textContent ?? '')";
}

// Callers that do not rest, each on a thread.
class Load {
 public:
  Load(const SidecarProcess& sidecar, int callers, const std::string& sql) {
    for (int i = 0; i < callers; ++i) {
      threads_.emplace_back([this, &sidecar, sql] {
        QueryClient client(sidecar.NewChannel());
        while (!stopped_.load()) client.Query(sql);
      });
    }
  }
  ~Load() {
    stopped_.store(true);
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  std::atomic<bool> stopped_{false};
  std::vector<std::thread> threads_;
};

class PageTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!Browser::IsInstalled()) GTEST_SKIP() << "chromium is not installed";
    if (kThreadSanitized) GTEST_SKIP() << "reflection cannot read maps under ThreadSanitizer";
    browser_ = std::make_unique<Browser>();
  }

  void TearDown() override {
    if (browser_ == nullptr) return;
    for (const std::string& url : browser_->requests()) {
      EXPECT_TRUE(url.starts_with(Url()) || url == "data:," || url == "about:blank") << url;
    }
    if (HasFailure()) {
      std::cerr << browser_->Evaluate("document.body.innerText") << "\n";
    }
  }

  void ExpectNoErrors() { EXPECT_THAT(browser_->errors(), testing::IsEmpty()); }

  std::string Url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/"; }
  std::string PortFlag() const { return "--http-listen=127.0.0.1:" + std::to_string(port_); }

  void OpenPage() {
    browser_->Open(Url());
    ASSERT_TRUE(browser_->Eventually(TextOf("#status") + " === 'healthy'", kPatience));
  }

  void Shoot(const std::string& name) {
    const char* folder = std::getenv("DBSIDECAR_PAGE_SHOTS");
    if (folder != nullptr) browser_->SaveScreenshot(std::string(folder) + "/" + name + ".png");
  }
  static bool Shooting() { return std::getenv("DBSIDECAR_PAGE_SHOTS") != nullptr; }

  const int port_ = test_support::FreePort();
  std::unique_ptr<Browser> browser_;
};

TEST_F(PageTest, FiguresArriveAndChange) {
  PostgresSidecar fixture({PortFlag(), "--max-connections=20", "--min-connections=5"});
  browser_->SetSize(1280, 900);
  OpenPage();
  EXPECT_TRUE(browser_->Eventually(
      Figure("statements/s") + " === '0.0' || " + Figure("statements/s") + " === '0'", kPatience));
  {
    const Load load(fixture.sidecar, 4, "select pg_sleep(0.002)");
    EXPECT_TRUE(browser_->Eventually(
        "Number((" + Figure("statements/s") + " ?? '0').replace(',', '')) > 20", kPatience));
    EXPECT_TRUE(
        browser_->Eventually("document.querySelectorAll('#charts figure').length === 6 && "
                             "document.querySelectorAll('#charts polyline.line').length >= 8",
                             kPatience));
    EXPECT_TRUE(browser_->Eventually(
        "/[0-9] ms/.test([...document.querySelectorAll('.pool table td')].map((cell) => "
        "cell.textContent).join())",
        kPatience));
    if (Shooting()) {
      // Enough of a past for the charts.
      std::this_thread::sleep_for(45s);
      for (const bool dark : {false, true}) {
        browser_->SetDark(dark);
        browser_->SetSize(1280, 1250);
        Shoot(dark ? "page-normal-dark" : "page-normal");
      }
      browser_->SetDark(false);
      browser_->SetSize(360, 800);
      Shoot("page-phone");
    }
  }
  EXPECT_THAT(browser_->Evaluate(TextOf("#events")).get<std::string>(),
              HasSubstr("connection opened"));
  EXPECT_EQ(browser_->Evaluate(TextOf("#banner")), "");
  EXPECT_EQ(browser_->Evaluate("document.title"), "healthy – dbsidecar");
  const std::string url =
      browser_->Evaluate("document.querySelector('.bar').getAttribute('aria-label')");
  EXPECT_THAT(url, HasSubstr("at most 20"));
  ExpectNoErrors();
}

TEST_F(PageTest, AFullPoolIsSeen) {
  PostgresSidecar fixture({PortFlag(), "--max-connections=4", "--shared-max=0",
                           "--wait-timeout=20s", "--query-timeout=20s", "--statement-timeout=20s"});
  browser_->SetSize(1280, 1250);
  OpenPage();
  const Load load(fixture.sidecar, 16, "select pg_sleep(0.2)");
  EXPECT_TRUE(browser_->Eventually(Figure("in use") + " === '100 %'", kPatience));
  EXPECT_TRUE(
      browser_->Eventually("Number(" + Figure("waiting") +
                               ") > 5 && "
                               "document.querySelectorAll('.figures dd.trouble').length >= 2",
                           kPatience));
  EXPECT_TRUE(
      browser_->Eventually(TextOf("#alerts") + ".includes('PoolUtilizationHigh')", kPatience));
  // Those that run and those that wait, below a head; no text without --show-sql.
  EXPECT_TRUE(browser_->Eventually("document.querySelectorAll('#statements tr').length > 4 && !" +
                                       TextOf("#statements") + ".includes('pg_sleep')",
                                   kPatience));
  if (Shooting()) std::this_thread::sleep_for(40s);
  Shoot("page-saturated");
  ExpectNoErrors();
}

TEST_F(PageTest, ADatabaseThatIsDownIsSeenAndComesBack) {
  test_support::PostgresServer server;
  PostgresSidecar fixture({PortFlag()}, {}, server);
  browser_->SetSize(1280, 1250);
  OpenPage();
  server.Stop(test_support::StopMode::kFast);
  fixture.client.Query("select 1");
  EXPECT_TRUE(browser_->Eventually(TextOf("#status") + " === 'unhealthy'", kPatience));
  EXPECT_TRUE(browser_->Eventually(
      TextOf("#events") + ".includes('database down') && " + TextOf("#causes") +
          ".includes('not reachable') && document.querySelector('.pool .badge.bad') !== null",
      kPatience));
  if (Shooting()) std::this_thread::sleep_for(20s);
  Shoot("page-database-down");
  server.Start();
  EXPECT_TRUE(Eventually(20s, [&] { return fixture.client.Query("select 1").ok(); }));
  EXPECT_TRUE(browser_->Eventually(TextOf("#status") + " !== 'unhealthy'", kPatience));
  EXPECT_TRUE(browser_->Eventually(TextOf("#events") + ".includes('database up')", kPatience));
  ExpectNoErrors();
}

TEST_F(PageTest, AStopIsSaidAndARestartFound) {
  const std::string folder = test_support::MakeTemporaryFolder("page");
  const SidecarOptions options{.database_url = "sqlite:" + folder + "/test.db",
                               .flags = {PortFlag(), "--drain-delay=3s"},
                               .environment = {}};
  auto sidecar = std::make_unique<SidecarProcess>(options);
  OpenPage();
  sidecar->Signal(SIGTERM);
  EXPECT_TRUE(browser_->Eventually(TextOf("#banner") + ".includes('is stopping')", kPatience));
  EXPECT_TRUE(browser_->Eventually(TextOf("#banner") + ".includes('has stopped')", kPatience));
  EXPECT_TRUE(browser_->Evaluate("document.body.classList.contains('lost')"));
  EXPECT_EQ(sidecar->WaitExit(5s), 0);
  sidecar = std::make_unique<SidecarProcess>(options);
  EXPECT_TRUE(browser_->Eventually(
      TextOf("#status") + " === 'healthy' && document.querySelector('#banner').hidden", kPatience));
  sidecar->Signal(SIGKILL);
  EXPECT_TRUE(browser_->Eventually(TextOf("#banner") + ".includes('is lost')", kPatience));
}

// Opens a session, which the page lists by its caller.
void OpenSessionOf(const std::string& caller, PostgresSidecar& fixture) {
  v1::QueryRequest request = MakeQuery("select 1");
  request.mutable_session()->mutable_begin();
  (*request.mutable_tags())["caller"] = caller;
  const QueryOutcome outcome = fixture.client.Run(request);
  EXPECT_TRUE(outcome.ok()) << outcome;
}

TEST_F(PageTest, ItFitsEveryWidthInLightAndDark) {
  PostgresSidecar fixture({PortFlag()});
  OpenSessionOf("a_rather_long_word_" + std::string(200, 'x'), fixture);
  OpenPage();
  EXPECT_TRUE(browser_->Eventually("document.querySelectorAll('#charts svg').length === 6 && " +
                                       TextOf("#sessions") + ".includes('rather_long')",
                                   kPatience));
  std::vector<std::string> papers;
  for (const bool dark : {false, true}) {
    browser_->SetDark(dark);
    for (const int width : {320, 360, 768, 1280, 1920}) {
      browser_->SetSize(width, 800);
      EXPECT_LE(browser_->Evaluate("document.documentElement.scrollWidth"), width);
    }
    papers.push_back(browser_->Evaluate("getComputedStyle(document.body).backgroundColor"));
  }
  EXPECT_NE(papers[0], papers[1]);
  ExpectNoErrors();
}

TEST_F(PageTest, TextCanBeRead) {
  PostgresSidecar fixture({PortFlag()});
  fixture.client.Query("selec");
  OpenPage();
  ASSERT_TRUE(
      browser_->Eventually("document.querySelectorAll('#charts svg').length === 6", kPatience));
  // Contrast by WCAG 2.1, of every text against the nearest background; 4.5 is level AA.
  const std::string faint = R"((() => {
    const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => {
      const linear = [r, g, b].map((c) => c / 255).map(
        (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
      return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const backgroundOf = (element) => {
      for (; element; element = element.parentElement) {
        const colour = parts(getComputedStyle(element).backgroundColor);
        if (colour.length === 3 || colour[3] === 1) return colour;
      }
      return [255, 255, 255];
    };
    const faint = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
      if (['NOSCRIPT', 'SCRIPT'].includes(element.tagName)) continue;
      const a = light(parts(getComputedStyle(element).color));
      const b = light(backgroundOf(element));
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (contrast < 4.5) faint.push(`${walker.currentNode.textContent}: ${contrast.toFixed(2)}`);
    }
    return faint.join('\n');
  })())";
  for (const bool dark : {false, true}) {
    browser_->SetDark(dark);
    EXPECT_EQ(browser_->Evaluate(faint), "") << (dark ? "dark" : "light");
  }
  EXPECT_EQ(browser_->Evaluate("document.querySelectorAll('[role=img]:not([aria-label])').length"),
            0);
  EXPECT_EQ(browser_->Evaluate("document.querySelectorAll('h1').length"), 1);
}

TEST_F(PageTest, WhatTheServerSaysIsTextAndNothingIsRunFromIt) {
  PostgresSidecar fixture({PortFlag()});
  OpenPage();
  const std::string markup =
      "<img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script>";
  OpenSessionOf(markup, fixture);
  EXPECT_TRUE(browser_->Eventually(TextOf("#sessions") + ".includes('<img src=x')", kPatience));
  EXPECT_EQ(browser_->Evaluate("document.querySelectorAll('main img, main script').length"), 0);
  ExpectNoErrors();
  // And if it were not: the policy.
  browser_->Evaluate(
      "(() => { const script = document.createElement('script');"
      "script.textContent = 'window.hacked = 1'; document.body.append(script);"
      "const image = document.createElement('div');"
      "image.innerHTML = '<img src=x onerror=\"window.hacked=1\">';"
      "document.body.append(image); })()");
  std::this_thread::sleep_for(300ms);
  EXPECT_EQ(browser_->Evaluate("window.hacked === undefined"), true);
}

TEST_F(PageTest, AnotherStretchOfTimeIsChosen) {
  PostgresSidecar fixture({PortFlag()});
  OpenPage();
  ASSERT_TRUE(
      browser_->Eventually("document.querySelectorAll('#charts svg').length === 6", kPatience));
  browser_->Evaluate("document.querySelectorAll('.choices button')[1].focus()");
  browser_->Evaluate("document.activeElement.click()");
  EXPECT_EQ(
      browser_->Evaluate("document.querySelector('.choices [aria-pressed=true]').textContent"),
      "1 hour");
  EXPECT_TRUE(Eventually(kPatience, [&] {
    const auto& requests = browser_->requests();
    return std::ranges::any_of(
        requests, [](const std::string& url) { return url.find("step=12&") != std::string::npos; });
  }));
  ExpectNoErrors();
}

TEST_F(PageTest, WithoutAHistoryTheRestIsThere) {
  PostgresSidecar fixture({PortFlag(), "--history=off"});
  OpenPage();
  EXPECT_TRUE(
      browser_->Eventually(TextOf("#history-note") + ".includes('switched off')", kPatience));
  EXPECT_TRUE(browser_->Eventually(Figure("in use") + " !== undefined", kPatience));
}

TEST(PageRouteTest, ThePageIsServedWithAStrictPolicy) {
  const SidecarProcess sidecar({.database_url = "sqlite::memory:", .flags = {}, .environment = {}});
  for (const auto& [path, type] : std::vector<std::pair<std::string, std::string>>{
           {"/", "text/html"}, {"/page.css", "text/css"}, {"/page.js", "text/javascript"}}) {
    const auto answer = HttpGet(sidecar.http_socket(), path);
    EXPECT_EQ(answer.status, 200);
    EXPECT_THAT(answer.header, HasSubstr("Content-Type: " + type + "; charset=utf-8\r\n"));
    EXPECT_THAT(answer.header, HasSubstr("Content-Security-Policy: default-src 'none'; "));
    EXPECT_THAT(answer.header, testing::Not(HasSubstr("unsafe")));
    EXPECT_GT(answer.body.size(), 1000u);
    EXPECT_EQ(HttpGet(sidecar.http_socket(), path, "POST").status, 405);
  }
}

}  // namespace
}  // namespace dbsidecar::integration
