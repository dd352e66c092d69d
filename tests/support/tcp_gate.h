// A way through to a server on the loopback interface that a test can break: for what becomes of a
// connection when not its peer but the network fails.
#pragma once

#include <list>
#include <mutex>
#include <string>
#include <thread>

namespace dbsidecar::test_support {

// Relays every connection to the port that it listens on, on a thread of its own, until told
// otherwise. The functions may be called from any thread.
class TcpGate {
 public:
  explicit TcpGate(int server_port);
  // Cuts what is still connected.
  ~TcpGate();
  TcpGate(const TcpGate&) = delete;
  TcpGate& operator=(const TcpGate&) = delete;

  int port() const { return port_; }

  // Ends every connection on both sides, and lets new ones through: in order, or as a machine does
  // that has forgotten them.
  void Cut();
  void Reset();

  // Nothing passes and nothing ends, as when packets are lost; new connections hear nothing. Thaw
  // lets everything go on where it was.
  void Freeze();
  void Thaw();

 private:
  // A socket, and what was read from it and not yet written to the other.
  struct Side {
    int socket;
    std::string read;
  };
  struct Connection {
    Side client;
    Side server;
  };

  void Run();
  // Waits until something can be done, or was changed.
  void Wait();
  void Accept();
  // As far as it goes without waiting. False = the connection has ended.
  static bool Relay(Side& from, const Side& to);
  void EndAll();
  void Wake() const;

  const int server_port_;
  int port_ = 0;
  int listener_ = -1;
  int wake_ = -1;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::list<Connection> connections_;
  bool frozen_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace dbsidecar::test_support
