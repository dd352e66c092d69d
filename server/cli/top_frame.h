// What `dbsidecar top` shows, as lines of text: no terminal is needed to make them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dbsidecar/v1/admin.pb.h"
#include "dbsidecar/v1/health.pb.h"
#include "dbsidecar/v1/metrics.pb.h"

namespace dbsidecar::server::cli {

// What was seen at one look.
struct TopLook {
  std::string address = {};
  v1::HealthResponse health = {};
  v1::MetricsResponse metrics = {};
  // Of the look before: rates and times are of the stretch between. Unset = since the start.
  std::optional<v1::MetricsResponse> before = {};
  // Unset = Admin does not answer, and `no_lists` says why.
  std::optional<v1::ListStatementsResponse> statements = {};
  std::optional<v1::ListSessionsResponse> sessions = {};
  std::string no_lists = {};
};

enum class TopOrder { kAge, kState, kCaller };
std::string_view NameOf(TopOrder order);

// How it is shown.
struct TopView {
  std::size_t width = 80;
  std::size_t height = 0;  // 0 = as many lines as there are.
  TopOrder order = TopOrder::kAge;
  std::uint64_t chosen = 0;  // The id of a statement; 0 = none.
  std::string footer = {};   // The last line: keys, a question or an answer.
};

enum class Ink { kPlain, kHeading, kGood, kWarning, kBad, kChosen };

struct TopLine {
  std::string text = {};  // Displayable, and not wider than the view.
  Ink ink = Ink::kPlain;
};

std::vector<TopLine> FrameOf(const TopLook& look, const TopView& view);

// The statements in the order in which they are shown.
std::vector<v1::RunningStatement> Ordered(const v1::ListStatementsResponse& statements,
                                          TopOrder order);

// The id `steps` lines below `chosen` (above, when negative), of those that are there; of the first
// if `chosen` is not. 0 = there is none.
std::uint64_t Neighbour(const std::vector<v1::RunningStatement>& statements, std::uint64_t chosen,
                        int steps);

}  // namespace dbsidecar::server::cli
