#include "server/cli/statement_reader.h"

#include <algorithm>

#include "server/text.h"

namespace dbsidecar::server::cli {
namespace {

bool IsWordStart(char c) {
  return IsLetter(c) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

bool IsWordPart(char c) { return IsWordStart(c) || IsDigit(c) || c == '$'; }

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// "$tag$" at the beginning of `text`; empty = none.
std::string_view DollarTag(std::string_view text) {
  size_t size = 1;
  if (size < text.size() && IsWordStart(text[size])) {
    while (size < text.size() && IsWordPart(text[size]) && text[size] != '$') ++size;
  }
  return size < text.size() && text[size] == '$' ? text.substr(0, size + 1) : std::string_view();
}

}  // namespace

void StatementReader::Add(std::string_view line) {
  text_ += line;
  text_ += '\n';
}

std::optional<std::string> StatementReader::Next() {
  while (at_ < text_.size()) {
    if (!Step()) continue;
    const std::string statement(Trim(std::string_view(text_).substr(0, at_)));
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
  std::string statement(Trim(text_));
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
  if (IsDigit(c)) {
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
  const std::string word = ToLower(std::string_view(text_).substr(begin, at_ - begin));
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
