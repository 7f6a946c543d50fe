// What LoadGen calls, and what calls LoadGen back.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <system_under_test.h>
#include "harness/completion_thread.h"
#include "harness/pipeline.h"

namespace gptj {

// Completes samples in LoadGen: tokens as 32-bit little-endian integers, as many as were generated.
class LoadGenSink final : public AnswerSink {
 public:
  void answer(std::span<const Answer> answers) override;
};

class SystemUnderTest final : public mlperf::SystemUnderTest {
 public:
  SystemUnderTest(std::string name, Pipeline& pipeline);

  const std::string& Name() override { return name_; }

  // Queues and returns. LoadGen has no `catch`, so nothing leaves here.
  void IssueQuery(const std::vector<mlperf::QuerySample>& samples) override;

  // Nothing is held back for a fuller batch, so there is nothing to flush.
  void FlushQueries() override {}

 private:
  std::string name_;
  Pipeline& pipeline_;
};

}  // namespace gptj
