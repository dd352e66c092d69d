// Runs a fuzzer without libFuzzer: every file of its corpus, then mutations of them, blindly, for a
// while. The same seed makes the same inputs; the input that fails is written to a file, and is run
// again by naming it.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzzer.h"

namespace {

constexpr size_t kInputBytesMax = 4096;

std::string g_input;
std::string g_found = "fuzz_found";

// The process is lost; what it does here is best effort.
void KeepInput(int signal) {
  std::ofstream(g_found, std::ios::binary) << g_input;
  std::cerr << "the input is in " << g_found << "; run this program with that file to see it again"
            << std::endl;
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void Run(std::string input) {
  g_input = std::move(input);
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(g_input.data()), g_input.size());
}

std::string Read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Mutator {
 public:
  Mutator(uint64_t seed, const std::vector<std::string>& corpus) : random_(seed), corpus_(corpus) {}

  std::string Next() {
    std::string input = Pick();
    for (size_t i = 1 + Below(6); i > 0; --i) Mutate(input);
    input.resize(std::min(input.size(), kInputBytesMax));
    return input;
  }

 private:
  size_t Below(size_t end) { return end == 0 ? 0 : random_() % end; }
  const std::string& Pick() { return corpus_[Below(corpus_.size())]; }
  std::string PieceOf(const std::string& text) {
    return text.substr(Below(text.size() + 1), 1 + Below(32));
  }

  void Mutate(std::string& input) {
    static constexpr unsigned char kTelling[] = {0,   1,   0x7f, 0x80, 0xff, '\'', '"', '(',
                                                 ')', ';', '-',  '$',  '\\', '\n', '%', ':'};
    const size_t at = Below(input.size() + 1);
    switch (Below(7)) {
      case 0:
        input.insert(at, 1, static_cast<char>(random_()));
        break;
      case 1:
        input.insert(at, 1, static_cast<char>(kTelling[Below(sizeof(kTelling))]));
        break;
      case 2:
        if (at < input.size()) input[at] = static_cast<char>(random_());
        break;
      case 3:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << Below(8)));
        break;
      case 4:
        input.erase(at, 1 + Below(8));
        break;
      case 5:
        input.insert(at, PieceOf(input));
        break;
      case 6:
        input.insert(at, PieceOf(Pick()));
        break;
    }
  }

  std::mt19937_64 random_;
  const std::vector<std::string>& corpus_;
};

}  // namespace

// [--seed=N] [--seconds=N] [--found=FILE] FOLDER | FILE
int main(int argc, char** argv) {
  uint64_t seed = std::random_device()();
  std::chrono::seconds seconds(3);
  std::filesystem::path from;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with("--seed=")) {
      seed = std::strtoull(argument.c_str() + 7, nullptr, 10);
    } else if (argument.starts_with("--seconds=")) {
      seconds = std::chrono::seconds(std::strtoul(argument.c_str() + 10, nullptr, 10));
    } else if (argument.starts_with("--found=")) {
      g_found = argument.substr(8);
    } else {
      from = argument;
    }
  }
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) std::signal(signal, &KeepInput);
  if (std::filesystem::is_regular_file(from)) {
    Run(Read(from));
    return 0;
  }
  std::vector<std::string> corpus;
  for (const auto& entry : std::filesystem::directory_iterator(from)) {
    corpus.push_back(Read(entry.path()));
  }
  std::sort(corpus.begin(), corpus.end());  // A folder has no order of its own.
  if (corpus.empty()) {
    std::cerr << "there is no corpus in " << from << std::endl;
    return 2;
  }
  std::cout << "--seed=" << seed << std::endl;
  for (const std::string& input : corpus) Run(input);
  Mutator mutator(seed, corpus);
  const auto end = std::chrono::steady_clock::now() + seconds;
  uint64_t runs = 0;
  for (; std::chrono::steady_clock::now() < end; ++runs) Run(mutator.Next());
  std::cout << corpus.size() << " files, " << runs << " mutations" << std::endl;
}
