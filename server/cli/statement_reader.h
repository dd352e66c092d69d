// Cuts what is typed or read line by line into statements.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dbsidecar::server::cli {

// A statement ends at a `;` outside quotes, comments, parentheses, and the bodies of functions and
// triggers (BEGIN ... END), by the rules that PostgreSQL and SQLite have in common; PostgreSQL's
// dollar quotes and E'\'' count as well.
class StatementReader {
 public:
  // `line` without its end.
  void Add(std::string_view line);
  // The next complete statement, without its semicolon. Empty statements are left out.
  std::optional<std::string> Next();
  // What is left at the end of the input, if it is more than space and comments.
  std::optional<std::string> Rest();
  void Clear();

  // Nothing but space and comments is waiting.
  bool empty() const { return !begun_ && state_ == State::kPlain; }
  // What the next line goes on with, for a prompt: '-' a statement, '\'' '"' '$' a quote, '*' a
  // comment, '(' a parenthesis, '=' nothing.
  char expects() const;

 private:
  enum class State { kPlain, kQuoted, kEscaped, kName, kDollar, kLineComment, kComment };

  bool Step();
  bool StepPlain();
  void StepWord();
  bool StepDollar();
  std::string_view rest() const { return std::string_view(text_).substr(at_); }

  std::string text_;    // From where the statement at hand begins.
  size_t at_ = 0;       // How far it has been looked at.
  bool begun_ = false;  // There was more than space and comments.
  State state_ = State::kPlain;
  std::string tag_;   // Of kDollar, with its dollars.
  int comments_ = 0;  // How deep they nest.
  int parentheses_ = 0;
  bool first_word_ = true;
  bool creates_ = false;   // It begins with CREATE.
  bool has_body_ = false;  // And makes a function, a procedure or a trigger.
  int blocks_ = 0;         // BEGIN and CASE without their END, in a body.
};

}  // namespace dbsidecar::server::cli
