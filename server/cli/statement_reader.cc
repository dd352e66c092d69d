#include "server/cli/statement_reader.h"

#include <algorithm>
#include <cctype>

namespace dbsidecar::server::cli {
namespace {

bool IsWordStart(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool IsWordPart(char c) {
  return IsWordStart(c) || std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '$';
}

bool IsSpace(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

std::string LowerCase(std::string_view word) {
  std::string lower(word);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

// "$tag$" at the beginning of `text`; empty = none.
std::string_view DollarTag(std::string_view text) {
  size_t size = 1;
  if (size < text.size() && IsWordStart(text[size])) {
    while (size < text.size() && IsWordPart(text[size]) && text[size] != '$') ++size;
  }
  return size < text.size() && text[size] == '$' ? text.substr(0, size + 1) : std::string_view();
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

void StatementReader::Add(std::string_view line) {
  text_ += line;
  text_ += '\n';
}

std::optional<std::string> StatementReader::Next() {
  while (at_ < text_.size()) {
    if (!Step()) continue;
    const std::string statement(Trimmed(std::string_view(text_).substr(0, at_)));
    const bool empty = !begun_;
    std::string behind = text_.substr(at_ + 1);
    Clear();
    text_ = std::move(behind);
    if (!empty) return statement;
  }
  return std::nullopt;
}

std::optional<std::string> StatementReader::Rest() {
  if (empty()) return std::nullopt;
  std::string statement(Trimmed(text_));
  Clear();
  return statement;
}

void StatementReader::Clear() { *this = StatementReader(); }

char StatementReader::expects() const {
  switch (state_) {
    case State::kQuoted:
    case State::kEscaped:
      return '\'';
    case State::kName:
      return '"';
    case State::kDollar:
      return '$';
    case State::kComment:
      return '*';
    case State::kPlain:
    case State::kLineComment:
      break;
  }
  if (parentheses_ > 0) return '(';
  return begun_ ? '-' : '=';
}

// Looks at what comes next. True = it is the semicolon that ends the statement.
bool StatementReader::Step() {
  const char c = text_[at_];
  const std::string_view two = rest().substr(0, 2);
  switch (state_) {
    case State::kPlain:
      return StepPlain();
    case State::kQuoted:
    case State::kName:
      // One that is doubled ends and begins again.
      if (c == (state_ == State::kQuoted ? '\'' : '"')) state_ = State::kPlain;
      break;
    case State::kEscaped:
      if (c == '\\') {
        ++at_;
      } else if (c == '\'') {
        state_ = State::kPlain;
      }
      break;
    case State::kDollar:
      if (rest().starts_with(tag_)) {
        at_ += tag_.size() - 1;
        state_ = State::kPlain;
      }
      break;
    case State::kLineComment:
      if (c == '\n') state_ = State::kPlain;
      break;
    case State::kComment:
      if (two == "/*") {
        ++comments_;
        ++at_;
      } else if (two == "*/") {
        ++at_;
        if (--comments_ == 0) state_ = State::kPlain;
      }
      break;
  }
  ++at_;
  return false;
}

bool StatementReader::StepPlain() {
  const char c = text_[at_];
  const std::string_view two = rest().substr(0, 2);
  if (two == "--") {
    state_ = State::kLineComment;
    ++at_;
    return false;
  }
  if (two == "/*") {
    state_ = State::kComment;
    comments_ = 1;
    at_ += 2;
    return false;
  }
  if (c == ';' && parentheses_ == 0 && blocks_ == 0) return true;
  if (!IsSpace(c)) begun_ = begun_ || c != ';';
  if (two == "E'" || two == "e'") {
    state_ = State::kEscaped;
    at_ += 2;
    return false;
  }
  if (IsWordStart(c)) {
    StepWord();
    return false;
  }
  if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
    while (at_ < text_.size() && IsWordPart(text_[at_])) ++at_;
    return false;
  }
  if (c == '$') return StepDollar();
  if (c == '\'') state_ = State::kQuoted;
  if (c == '"') state_ = State::kName;
  if (c == '(') ++parentheses_;
  if (c == ')') parentheses_ = std::max(0, parentheses_ - 1);
  ++at_;
  return false;
}

void StatementReader::StepWord() {
  const size_t begin = at_;
  while (at_ < text_.size() && IsWordPart(text_[at_])) ++at_;
  const std::string word = LowerCase(std::string_view(text_).substr(begin, at_ - begin));
  if (first_word_) creates_ = word == "create";
  first_word_ = false;
  if (creates_ && (word == "function" || word == "procedure" || word == "trigger")) {
    has_body_ = true;
  }
  if (!has_body_) return;
  if (word == "begin" || (word == "case" && blocks_ > 0)) ++blocks_;
  if (word == "end" && blocks_ > 0) --blocks_;
}

bool StatementReader::StepDollar() {
  const std::string_view tag = DollarTag(rest());
  if (tag.empty()) {
    ++at_;
  } else {
    tag_ = tag;
    at_ += tag.size();
    state_ = State::kDollar;
  }
  return false;
}

}  // namespace dbsidecar::server::cli
