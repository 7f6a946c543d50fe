// The one exception type of the C++ side. Its kind and message are all that crosses to Rust.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace gptj {

enum class ErrorKind : std::uint8_t {
  kInvalidArgument,  // a value that the caller gave is wrong; the message names it and its range
  kModel,            // the checkpoint or its configuration does not describe a GPT-J that the engine can run
  kIo,               // a file or folder; the message names the path
  kUnsupported,      // this build or this machine cannot do it; the message says what can
  kOutOfMemory,      // host or device memory; the message has the arithmetic
  kNumeric,          // NaN or infinity where a number was due
  kLoadGen,          // LoadGen refused or did not run the test
  kInterrupted,      // the user asked to stop
  kInternal,         // a broken invariant: a defect of this program
};

constexpr std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalidArgument:
      return "invalid_argument";
    case ErrorKind::kModel:
      return "model";
    case ErrorKind::kIo:
      return "io";
    case ErrorKind::kUnsupported:
      return "unsupported";
    case ErrorKind::kOutOfMemory:
      return "out_of_memory";
    case ErrorKind::kNumeric:
      return "numeric";
    case ErrorKind::kLoadGen:
      return "loadgen";
    case ErrorKind::kInterrupted:
      return "interrupted";
    case ErrorKind::kInternal:
      return "internal";
  }
  return "internal";
}

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}

  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace gptj
