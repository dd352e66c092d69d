#include "server/http/http_poster.h"

#include <httplib.h>

#include <chrono>
#include <exception>

namespace dbsidecar::server {
namespace {

// The longest that the other side may do nothing.
constexpr std::chrono::seconds kConnectMax{3};
constexpr std::chrono::seconds kWriteMax{5};
constexpr std::chrono::seconds kReadMax{5};

std::string Words(httplib::Error error) {
  if (error == httplib::Error::Connection) return "it cannot be connected to";
  if (error == httplib::Error::ConnectionTimeout) return "it cannot be connected to in time";
  if (error == httplib::Error::Read) return "it did not answer";
  if (error == httplib::Error::SSLServerVerification) return "its certificate is not trusted";
  return httplib::to_string(error);
}

class Poster final : public HttpPoster {
 public:
  explicit Poster(const WebhookUrl& url)
      : target_(url.target),
        client_((url.tls ? "https://" : "http://") +
                (url.host.find(':') == std::string::npos ? url.host : "[" + url.host + "]") + ":" +
                std::to_string(url.port)) {
    client_.set_connection_timeout(kConnectMax);
    client_.set_write_timeout(kWriteMax);
    client_.set_read_timeout(kReadMax);
    client_.set_keep_alive(false);
    client_.set_follow_location(false);
    client_.set_url_encode(false);  // It is sent as it was given; see ParseWebhookUrl.
    if (!url.user.empty() || !url.password.empty()) {
      client_.set_basic_auth(url.user, url.password);
    }
  }

  PostResult Post(const std::string& body) override {
    httplib::Request request;
    request.method = "POST";
    request.path = target_;
    request.body = body;
    request.set_header("Content-Type", "application/json");
    request.set_header("User-Agent", "dbsidecar");
    // The status is enough, however long the rest is.
    int status = 0;
    request.response_handler = [&](const httplib::Response& response) {
      status = response.status;
      return false;
    };
    httplib::Response response;
    httplib::Error error = httplib::Error::Success;
    try {
      client_.send(request, response, error);
    } catch (const std::exception& trouble) {
      return {.error = trouble.what()};
    }
    if (status == 0) status = response.status > 0 ? response.status : 0;
    if (status != 0) return {.status = status};
    return {.error = Words(error)};
  }

  void Stop() override { client_.stop(); }

 private:
  const std::string target_;
  httplib::Client client_;
};

}  // namespace

std::unique_ptr<HttpPoster> NewHttpPoster(const WebhookUrl& url) {
  return std::make_unique<Poster>(url);
}

}  // namespace dbsidecar::server
