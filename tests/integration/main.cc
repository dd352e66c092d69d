// Runs the tests; or, for the test that needs a client to kill, is that client.
#include <string>

#include "tests/integration/fixture.h"

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--hang-on") {
    using dbsidecar::test_support::MakeQuery;
    dbsidecar::test_support::QueryClient client(
        grpc::CreateChannel(argv[2], grpc::InsecureChannelCredentials()));
    client.Run(MakeQuery("select pg_sleep(20)"), std::chrono::seconds(30));
    return 0;
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
