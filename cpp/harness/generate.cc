#include "harness/generate.h"

#include "gptj/error.h"
#include "harness/pipeline.h"

namespace gptj {
namespace {

// Puts each answer where its sample is; the response of a query is the sample's index.
class Collector final : public AnswerSink {
 public:
  explicit Collector(std::size_t samples) : results_(samples) {}

  void answer(std::span<const Answer> answers) override {
    for (const Answer& answer : answers) results_[answer.response] = answer.tokens;
  }

  std::vector<std::vector<TokenId>> take() { return std::move(results_); }

 private:
  std::vector<std::vector<TokenId>> results_;
};

}  // namespace

std::vector<std::vector<TokenId>> generate(const GenerationConfig& generation, EnginePool& pool,
                                           const Scheduler& scheduler, const SampleSet& samples,
                                           Progress& progress) {
  pool.check_usable();
  Collector collector(samples.size());
  const PipelineConfig config{.scenario = Scenario::kOffline,
                              .generation = generation,
                              .engines = pool.engines(),
                              .scheduler = scheduler,
                              .samples = samples};
  Pipeline pipeline(config, collector, progress);
  std::vector<Query> queries(samples.size());
  for (std::size_t i = 0; i < queries.size(); ++i) queries[i] = Query{.response = i, .sample = i};
  pipeline.submit(queries);
  const PipelineStats stats = pipeline.finish();
  if (stats.abandoned) pool.mark_abandoned();
  pipeline.rethrow_failure();
  if (stats.interrupted) throw Error(ErrorKind::kInterrupted, "generation was stopped before its end");
  return collector.take();
}

}  // namespace gptj
