#include "server/http/http_server.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <deque>
#include <list>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "server/text.h"

namespace dbsidecar::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

using boost::system::error_code;
using Socket = asio::generic::stream_protocol::socket;
using Stream = beast::basic_stream<asio::generic::stream_protocol, Socket::executor_type>;

// After a failed accept: with no descriptor left it would fail again at once.
constexpr std::chrono::milliseconds kAcceptPause{100};

class Connection;
// Open connections, the one that was used last at the end.
using Connections = std::list<std::shared_ptr<Connection>>;

// What the connections of a server share.
struct Shared {
  HttpLimits limits;
  HttpHandler handler;
  Connections connections;
  std::atomic<size_t> streams{0};  // Of these connections.
};

HttpResponse Refusal(http::status status, std::string_view text) {
  return {.status = static_cast<unsigned>(status),
          .content_type = "text/plain; charset=utf-8",
          .body = std::string(text) + "\n"};
}

HttpRequest RequestOf(std::string_view target, std::string_view accept) {
  const size_t question = target.find('?');
  HttpRequest request{
      .path = std::string(target.substr(0, question)), .query = {}, .accept = std::string(accept)};
  if (question != std::string_view::npos) request.query = std::string(target.substr(question + 1));
  return request;
}

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Socket socket, Shared& shared) : stream_(std::move(socket)), shared_(shared) {}

  // REQUIRES: it stands at `place` in the list.
  void Start(Connections::iterator place) {
    place_ = place;
    AwaitRequest();
  }

  void Close() {
    if (!place_) return;
    shared_.connections.erase(*std::exchange(place_, std::nullopt));
    if (is_stream_) --shared_.streams;
    stream_.close();
  }

  bool is_stream() const { return is_stream_; }

  // REQUIRES: it is a stream.
  void Send(std::shared_ptr<const std::string> bytes) {
    if (!place_) return;
    if (unsent_.size() > shared_.limits.stream_backlog_max) return Close();
    unsent_.push_back(std::move(bytes));
    if (unsent_.size() == 1) SendNext();
  }

 private:
  void AwaitRequest() {
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(shared_.limits.header_bytes_max));
    parser_->body_limit(std::uint64_t{0});
    if (buffer_.size() > 0) return ReadRequest();
    stream_.expires_after(shared_.limits.idle_timeout);
    // Before the first byte there is no request whose time runs.
    stream_.async_read_some(buffer_.prepare(512),
                            [self = shared_from_this()](error_code error, size_t size) {
                              if (error) return self->Close();
                              self->buffer_.commit(size);
                              self->ReadRequest();
                            });
  }

  void ReadRequest() {
    stream_.expires_after(shared_.limits.read_timeout);
    http::async_read(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](error_code error, size_t /*size*/) { self->OnRequest(error); });
  }

  void OnRequest(error_code error) {
    if (error == http::error::end_of_stream || error == beast::error::timeout) return Close();
    if (error == http::error::header_limit) {
      return Answer(Refusal(http::status::request_header_fields_too_large,
                            "the request's header is too large"),
                    true);
    }
    if (error == http::error::body_limit) {
      return Answer(Refusal(http::status::payload_too_large, "requests have no body here"), true);
    }
    if (error.category() == http::make_error_code(http::error::bad_method).category()) {
      return Answer(Refusal(http::status::bad_request, "this is not HTTP: " + error.message()),
                    true);
    }
    // It had to make room for another while this was on its way.
    if (error || !place_) return Close();
    NoteUse();
    const auto& request = parser_->get();
    const bool last = !request.keep_alive();
    if (request.method() != http::verb::get && request.method() != http::verb::head) {
      return Answer(Refusal(http::status::method_not_allowed, "only GET and HEAD are served here"),
                    last);
    }
    HttpResponse response =
        shared_.handler(RequestOf(View(request.target()), View(request[http::field::accept])));
    if (!response.is_stream || request.method() == http::verb::head) {
      return Answer(std::move(response), last);
    }
    if (shared_.streams >= shared_.limits.streams_max) {
      return Answer(Refusal(http::status::service_unavailable,
                            "too many streams are open; close one, or ask for /api/health"),
                    last);
    }
    BeginStream(response);
  }

  // It ends with the connection, so it needs no length.
  void BeginStream(const HttpResponse& response) {
    is_stream_ = true;
    ++shared_.streams;
    AwaitLeave();
    Send(std::make_shared<const std::string>(
        "HTTP/1.1 200 OK\r\nContent-Type: " + response.content_type +
        "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: "
        "close\r\n\r\n" +
        response.body));
  }

  // A client that has more to say is not one that listens.
  void AwaitLeave() {
    stream_.expires_never();
    stream_.async_read_some(
        buffer_.prepare(512),
        [self = shared_from_this()](error_code /*error*/, size_t /*size*/) { self->Close(); });
  }

  void SendNext() {
    // Of the write alone: a read that has begun keeps its time.
    stream_.expires_after(shared_.limits.write_timeout);
    asio::async_write(stream_, asio::buffer(*unsent_.front()),
                      [self = shared_from_this()](error_code error, size_t /*size*/) {
                        if (error) return self->Close();
                        self->NoteUse();
                        self->unsent_.pop_front();
                        if (!self->unsent_.empty()) self->SendNext();
                      });
  }

  // It was used last.
  void NoteUse() {
    if (!place_) return;
    shared_.connections.splice(shared_.connections.end(), shared_.connections, *place_);
  }

  void Answer(HttpResponse response, bool last) {
    const bool has_request = parser_->is_header_done();
    const bool head = has_request && parser_->get().method() == http::verb::head;
    message_.emplace();
    message_->version(has_request ? parser_->get().version() : 11);
    message_->result(response.status);
    message_->set(http::field::content_type, response.content_type);
    message_->set(http::field::cache_control, "no-store");
    message_->set("X-Content-Type-Options", "nosniff");
    if (!response.content_security_policy.empty()) {
      message_->set("Content-Security-Policy", response.content_security_policy);
    }
    if (response.status == static_cast<unsigned>(http::status::method_not_allowed)) {
      message_->set(http::field::allow, "GET, HEAD");
    }
    message_->keep_alive(!last);
    message_->content_length(response.body.size());
    if (!head) message_->body() = std::move(response.body);
    stream_.expires_after(shared_.limits.write_timeout);
    serializer_.emplace(*message_);
    const auto done = [self = shared_from_this(), last](error_code error, size_t /*size*/) {
      if (error || last) return self->Close();
      self->AwaitRequest();
    };
    if (head) {
      http::async_write_header(stream_, *serializer_, done);
    } else {
      http::async_write(stream_, *serializer_, done);
    }
  }

  Stream stream_;
  Shared& shared_;
  std::optional<Connections::iterator> place_;  // In the list; none = closed.
  bool is_stream_ = false;
  std::deque<std::shared_ptr<const std::string>> unsent_;  // Of a stream; the first is on its way.
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::empty_body>> parser_;
  std::optional<http::response<http::string_body>> message_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
};

template <typename Protocol>
class ServerOf final : public HttpServer {
 public:
  using Acceptor = asio::basic_socket_acceptor<Protocol>;

  ServerOf(ListenAddress address, HttpLimits limits, HttpHandler handler)
      : address_(std::move(address)),
        shared_{.limits = limits, .handler = std::move(handler), .connections = {}, .streams = 0} {}

  // A failure here ends the process; there is nobody to tell.
  ~ServerOf() override {  // NOLINT(bugprone-exception-escape)
    // Whatever is under way ends with its connection.
    asio::post(context_, [this] {
      acceptor_.close();
      pause_.cancel();
      while (!shared_.connections.empty()) shared_.connections.front()->Close();
    });
    if (thread_.joinable()) {
      thread_.join();
    } else {
      context_.run();
    }
    if (address_.IsUnix()) unlink(address_.path.c_str());
  }

  void Open(const typename Protocol::endpoint& endpoint) {
    acceptor_.open(endpoint.protocol());
    acceptor_.set_option(typename Acceptor::reuse_address(true));
    acceptor_.bind(endpoint);
    acceptor_.listen();
    if constexpr (std::is_same_v<Protocol, asio::ip::tcp>) {
      address_.port = acceptor_.local_endpoint().port();
    }
  }

  void Start() override {
    Accept();
    thread_ = std::thread([this] { context_.run(); });
    pthread_setname_np(thread_.native_handle(), "http");
  }

  ListenAddress address() const override { return address_; }

  void Publish(std::shared_ptr<const std::string> bytes) override {
    asio::post(context_, [this, bytes = std::move(bytes)] {
      // One that does not keep up goes out of the list.
      const std::vector<std::shared_ptr<Connection>> all(shared_.connections.begin(),
                                                         shared_.connections.end());
      for (const auto& connection : all) {
        if (connection->is_stream()) connection->Send(bytes);
      }
    });
  }

  size_t streams() const override { return shared_.streams; }

 private:
  void Accept() {
    acceptor_.async_accept(next_, [this](error_code error) {
      if (error == asio::error::operation_aborted) return;
      if (error) {
        pause_.expires_after(kAcceptPause);
        pause_.async_wait([this](error_code cancelled) {
          if (!cancelled) Accept();
        });
        return;
      }
      Take(std::exchange(next_, Socket(context_)));
      Accept();
    });
  }

  // Streams are few and not idle between two events.
  void MakeRoom() {
    const auto idle = std::ranges::find_if(
        shared_.connections, [](const auto& connection) { return !connection->is_stream(); });
    (idle == shared_.connections.end() ? shared_.connections.front() : *idle)->Close();
  }

  void Take(Socket socket) {
    if (shared_.connections.size() >= shared_.limits.connections_max) MakeRoom();
    const auto place = shared_.connections.insert(
        shared_.connections.end(), std::make_shared<Connection>(std::move(socket), shared_));
    (*place)->Start(place);
  }

  ListenAddress address_;
  Shared shared_;
  asio::io_context context_{1};
  Acceptor acceptor_{context_};
  asio::steady_timer pause_{context_};
  Socket next_{context_};
  std::thread thread_;
};

template <typename Protocol>
absl::StatusOr<std::unique_ptr<HttpServer>> Opened(const ListenAddress& address, HttpLimits limits,
                                                   HttpHandler handler,
                                                   const typename Protocol::endpoint& endpoint) {
  auto server = std::make_unique<ServerOf<Protocol>>(address, limits, std::move(handler));
  server->Open(endpoint);
  return server;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Listen(const ListenAddress& address,
                                                               HttpLimits limits,
                                                               HttpHandler handler) {
  try {
    if (address.IsUnix()) {
      return Opened<asio::local::stream_protocol>(address, limits, std::move(handler),
                                                  {address.path});
    }
    asio::io_context context;
    asio::ip::tcp::resolver resolver(context);
    const auto found = resolver.resolve(address.host, std::to_string(address.port),
                                        asio::ip::tcp::resolver::passive);
    return Opened<asio::ip::tcp>(address, limits, std::move(handler), found.begin()->endpoint());
  } catch (const boost::system::system_error& error) {
    return absl::UnavailableError(error.code().message());
  }
}

}  // namespace dbsidecar::server
