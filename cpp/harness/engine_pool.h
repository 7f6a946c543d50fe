// The engines of one process, served from one queue.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gptj/engine.h"
#include "gptj/error.h"

namespace gptj {

class EnginePool {
 public:
  void add(std::unique_ptr<Engine> engine) { engines_.push_back(std::move(engine)); }

  const std::vector<std::unique_ptr<Engine>>& engines() const { return engines_; }

  // Throws when there is none, or when one was left in the middle of its work by a run that failed or was
  // stopped.
  void check_usable() const {
    if (engines_.empty()) throw Error(ErrorKind::kInvalidArgument, "no engine was added to the pool");
    if (abandoned_) {
      throw Error(ErrorKind::kInvalidArgument,
                  "the engines were left in the middle of a run that failed or was stopped; create new ones");
    }
  }

  void mark_abandoned() { abandoned_ = true; }

 private:
  std::vector<std::unique_ptr<Engine>> engines_;
  bool abandoned_ = false;
};

}  // namespace gptj
