// "Did you mean ...?" for names that are not known.
#pragma once

#include <span>
#include <string_view>

namespace dbsidecar::server {

// The candidate that takes the fewest letters to insert, delete or replace; empty when even that
// one is too far away to have been meant. The result borrows from `candidates`.
std::string_view NearestName(std::string_view name, std::span<const std::string_view> candidates);

}  // namespace dbsidecar::server
