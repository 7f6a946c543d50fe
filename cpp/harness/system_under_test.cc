#include "harness/system_under_test.h"

#include <bit>
#include <exception>
#include <utility>

#include <loadgen.h>
#include <query_sample.h>

namespace gptj {

static_assert(std::endian::native == std::endian::little, "the accuracy log holds little-endian tokens");
static_assert(sizeof(TokenId) == 4, "accuracy scripts read 32-bit tokens");

void LoadGenSink::answer(std::span<const Answer> answers) {
  std::vector<mlperf::QuerySampleResponse> responses;
  responses.reserve(answers.size());
  for (const Answer& answer : answers) {
    responses.emplace_back(answer.response, reinterpret_cast<std::uintptr_t>(answer.tokens.data()),
                           answer.tokens.size() * sizeof(TokenId),
                           static_cast<std::int64_t>(answer.tokens.size()));
  }
  mlperf::QuerySamplesComplete(responses.data(), responses.size());
}

SystemUnderTest::SystemUnderTest(std::string name, Pipeline& pipeline)
    : name_(std::move(name)), pipeline_(pipeline) {}

void SystemUnderTest::IssueQuery(const std::vector<mlperf::QuerySample>& samples) {
  std::vector<Query> queries;
  try {
    queries.reserve(samples.size());
  } catch (...) {
    pipeline_.fail(std::current_exception());
    for (const mlperf::QuerySample& sample : samples) {
      mlperf::QuerySampleResponse response(sample.id, 0, 0, 0);
      mlperf::QuerySamplesComplete(&response, 1);
    }
    return;
  }
  for (const mlperf::QuerySample& sample : samples) {
    queries.push_back(Query{.response = sample.id, .sample = sample.index});
  }
  pipeline_.submit(queries);
}

}  // namespace gptj
