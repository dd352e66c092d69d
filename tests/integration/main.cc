// Runs the tests; or is a client in a process of its own, for tests that need one.
#include <string>

#include "tests/integration/attach_victim.h"
#include "tests/integration/fixture.h"
#include "tests/integration/probe_watch.h"

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--hang-on") {
    using dbsidecar::test_support::MakeQuery;
    dbsidecar::test_support::QueryClient client(
        grpc::CreateChannel(argv[2], grpc::InsecureChannelCredentials()));
    client.Run(MakeQuery("select pg_sleep(20)"), std::chrono::seconds(30));
    return 0;
  }
  if (argc == 4 && std::string(argv[1]) == "--probe") {
    return dbsidecar::integration::RunProbe(argv[2], argv[3]);
  }
  if (argc == 4 && std::string(argv[1]) == "--victim") {
    return dbsidecar::integration::RunVictim(argv[2], argv[3]);
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
