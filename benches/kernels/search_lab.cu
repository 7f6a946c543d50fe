// Checks the beam search kernels against the host's gptj::BeamSearch over whole searches, then times them.
//
// Three comparisons are made in every step, from the strictest to the loosest:
// - the candidates of each row against a sort of all its scores on the host, computed with the row's own
// maximum and
//   logarithm of the sum: bit for bit;
// - the state behind the step against BeamSearch::step() on the GPU's candidates: bit for bit;
// - the finished request's tokens against a BeamSearch that sees the logits only. The logarithms of the sums
// may differ
//   in their last bits, so that near ties may fall the other way; where sums are exact, they must be the
//   same.
#include <cstdlib>
#include <memory>

#include "cuda/check.h"
#include "cuda/kernels/row_candidates.cuh"
#include "cuda/kernels/search.h"
#include "engine/candidates.h"
#include "gptj/beam_search.h"
#include "kernels/lab.h"

namespace {

using namespace gptj::cuda;
using namespace gptj::lab;
using gptj::BeamCandidate;
using gptj::BeamLength;
using gptj::BeamSearch;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

enum class Logits { kNormal, kQuarters, kHalfPrecision, kMostlyExcluded, kExactSums };

const char* name_of(Logits kind) {
  switch (kind) {
    case Logits::kNormal:
      return "normal";
    case Logits::kQuarters:
      return "multiples of 1/4";
    case Logits::kHalfPrecision:
      return "fp16";
    case Logits::kMostlyExcluded:
      return "mostly -infinity";
    case Logits::kExactSums:
      return "exact sums";
  }
  return "";
}

// One row of logits. With kExactSums only zeros count in the sum, which is then exact in any order: e^-200 is
// 0.
void draw_row(Random& random, Logits kind, int vocab, int eos, float* row) {
  const bool likely_end = random.chance(0.3);
  const int zeros = random.integer(1, 12);
  float largest = -kInfinity;
  if (kind == Logits::kNormal || kind == Logits::kHalfPrecision) {
    const auto values = random.normal(vocab, -2.0F, 3.0F);
    for (int i = 0; i < vocab; ++i)
      row[i] = kind == Logits::kNormal ? values[i] : to_float(to_half(values[i]));
  }
  for (int i = 0; i < vocab; ++i) {
    if (kind == Logits::kQuarters) row[i] = 0.25F * static_cast<float>(random.integer(-40, 12));
    if (kind == Logits::kMostlyExcluded)
      row[i] = random.chance(4.0 / vocab) ? random.uniform(-3.0F, 3.0F) : -kInfinity;
    if (kind == Logits::kExactSums) row[i] = -200.0F - 0.25F * static_cast<float>(random.integer(0, 30));
    largest = std::max(largest, row[i]);
  }
  if (kind == Logits::kMostlyExcluded && largest == -kInfinity)
    row[random.integer(0, vocab - 1)] = largest = 0.0F;
  if (kind == Logits::kExactSums)
    for (int i = 0; i < zeros; ++i) row[random.integer(0, vocab - 1)] = 0.0F;
  if (!likely_end) return;
  if (kind == Logits::kExactSums)
    row[eos] = 0.0F;
  else if (kind == Logits::kQuarters)
    row[eos] = largest - 0.25F * static_cast<float>(random.integer(-2, 6));
  else
    row[eos] = largest + random.uniform(-2.0F, 1.0F);
}

struct Setting {
  int vocab = 0;
  int width = 0;
  BeamLength beam_length = BeamLength::kPromptAndGenerated;
  float penalty = 1.0F;
  Logits logits = Logits::kNormal;
  int slots = 0;
  int requests = 0;
  int longest = 0;
};

// A request as the host follows it.
struct Request {
  gptj::GenerationConfig config;
  int prompt_tokens = 0;
  std::unique_ptr<BeamSearch> from_candidates;  // sees the GPU's candidates
  std::unique_ptr<BeamSearch> from_logits;      // sees the logits
  std::vector<std::vector<std::int32_t>> tokens;
  std::vector<std::vector<std::uint8_t>> table;  // [generated][beam]
  std::vector<float> scores;
  bool over = false;
};

struct Tally {
  int requests = 0;
  int same = 0;  // as the search from logits
  int steps = 0;
  int ended_early = 0;
  double worst_log_sum = 0.0;  // in units of the last place of the reference in double
};

class Simulation {
 public:
  Simulation(const Setting& setting, Random& random, Checks& checks, Tally& tally)
      : setting_(setting), random_(random), checks_(checks), tally_(tally) {
    device_.slots = setting.slots;
    device_.beam_width = setting.width;
    device_.max_new_tokens = setting.longest;
    device_.eos_token = random.integer(0, setting.vocab - 1);
    device_.length_penalty = setting.penalty;
    device_.length_counts_prompt = setting.beam_length == BeamLength::kPromptAndGenerated;
    host_ = device_;
    memory_ = DeviceBuffer<std::uint8_t>(search_state_bytes(device_));
    search_state_view(device_, memory_.data());
    stride_ = (setting.vocab + 7) / 8 * 8 + 8 * random.integer(0, 1);
    requests_.resize(setting.slots);
  }

  void run() {
    int left = setting_.requests;
    std::vector<AdmitItem> admitted;
    for (bool any = true; any;) {
      admitted.clear();
      any = left > 0;
      for (int slot = 0; slot < setting_.slots; ++slot) {
        // A request that is over stays for another step now and then: its items must change nothing.
        auto& request = requests_[slot];
        if (left > 0 && (request == nullptr || (request->over && random_.chance(0.6)))) {
          admitted.push_back(begin(slot));
          --left;
        }
        any = any || (requests_[slot] != nullptr && !requests_[slot]->over);
      }
      if (!admitted.empty()) {
        const DeviceBuffer<AdmitItem> items(admitted);
        admit(device_, items.data(), static_cast<int>(admitted.size()), nullptr);
        check_launch("admit");
        LAB_CHECK_KERNEL();
      }
      if (any) step();
    }
  }

 private:
  AdmitItem begin(int slot) {
    auto request = std::make_unique<Request>();
    request->config.beam_width = setting_.width;
    request->config.max_new_tokens = random_.integer(1, setting_.longest);
    request->config.min_new_tokens = random_.chance(0.3) ? request->config.max_new_tokens
                                                         : random_.integer(0, request->config.max_new_tokens);
    request->config.length_penalty = setting_.penalty;
    request->config.beam_length = setting_.beam_length;
    request->config.eos_token = device_.eos_token;
    request->prompt_tokens = random_.integer(1, 1900);
    request->from_candidates = std::make_unique<BeamSearch>(request->config, request->prompt_tokens);
    request->from_logits = std::make_unique<BeamSearch>(request->config, request->prompt_tokens);
    request->tokens.resize(setting_.width);
    request->scores.assign(setting_.width, 0.0F);
    requests_[slot] = std::move(request);
    ++tally_.requests;
    return {slot, requests_[slot]->prompt_tokens, requests_[slot]->config.min_new_tokens,
            requests_[slot]->config.max_new_tokens};
  }

  void step() {
    std::vector<LogitItem> items;
    for (int slot = 0; slot < setting_.slots; ++slot)
      if (requests_[slot] != nullptr) items.push_back({slot, 0, 0});
    random_.shuffle(items);
    int rows = 0;
    for (LogitItem& item : items) {
      item.first_row = rows;
      item.rows = requests_[item.slot]->from_candidates->generated_tokens() == 0 ? 1 : setting_.width;
      rows += item.rows;
    }
    // What lies between the vocabulary and the stride is NaN, and must not matter.
    std::vector<float> logits(static_cast<std::size_t>(rows) * stride_, std::nanf(""));
    for (int row = 0; row < rows; ++row)
      draw_row(random_, setting_.logits, setting_.vocab, device_.eos_token, logits.data() + row * stride_);

    const DeviceBuffer<float> logits_gpu(logits);
    const DeviceBuffer<LogitItem> items_gpu(items);
    const DeviceBuffer<std::uint8_t> workspace(search_workspace_bytes(rows, setting_.vocab));
    const DeviceBuffer<StepResult> results_gpu(items.size());
    const DeviceBuffer<std::int32_t> tokens_gpu(items.size() * setting_.longest);
    const auto before = memory_.download();
    SearchStep work;
    work.state = device_;
    work.logits = logits_gpu.data();
    work.logit_stride = stride_;
    work.vocab = setting_.vocab;
    work.items = items_gpu.data();
    work.item_count = static_cast<int>(items.size());
    work.rows = rows;
    work.workspace = workspace.data();
    work.results = results_gpu.data();
    work.result_tokens = tokens_gpu.data();
    search_step(work, nullptr);
    check_launch("search_step");
    LAB_CHECK_KERNEL();

    memory_after_ = memory_.download();
    search_state_view(host_, memory_after_.data());
    const auto bytes = workspace.download();
    std::vector<RowCandidates> lists(rows);
    std::memcpy(lists.data(), bytes.data(), bytes.size());
    const auto results = results_gpu.download();
    const auto tokens = tokens_gpu.download();
    ++tally_.steps;
    for (std::size_t i = 0; i < items.size(); ++i) {
      const LogitItem& item = items[i];
      const float* first = logits.data() + item.first_row * stride_;
      if (requests_[item.slot]->over) {
        checks_.that("an item whose request is over says so",
                     results[i].slot == item.slot && results[i].finished == 2 && results[i].error_row == -1);
        continue;
      }
      check_item(item, first, lists.data() + item.first_row, results[i],
                 tokens.data() + i * setting_.longest);
    }
    check_others_untouched(before);
  }

  // All finished slots' state is as before the step.
  void check_others_untouched(const std::vector<std::uint8_t>& before) {
    std::vector<std::uint8_t> copy = before;
    SearchState old = host_;
    search_state_view(old, copy.data());
    bool same = true;
    for (int slot = 0; slot < setting_.slots; ++slot) {
      if (old.finished[slot] == 0 || requests_[slot] == nullptr) continue;
      const auto equal = [&](const auto* a, const auto* b, std::size_t each) {
        return std::memcmp(a + slot * each, b + slot * each, each * sizeof *a) == 0;
      };
      const auto longest = static_cast<std::size_t>(setting_.longest);
      same = same && equal(old.generated, host_.generated, 1) && equal(old.scores, host_.scores, kMaxBeams) &&
             equal(old.tokens, host_.tokens, kMaxBeams * longest) &&
             equal(old.next_tokens, host_.next_tokens, kMaxBeams) &&
             equal(old.beam_table, host_.beam_table, kMaxBeams * longest) &&
             equal(old.hypotheses, host_.hypotheses, 1) &&
             equal(old.hypothesis_tokens, host_.hypothesis_tokens, (kMaxBeams + 1) * longest);
    }
    checks_.that("slots that are over are left alone", same);
  }

  void check_item(const LogitItem& item, const float* logits, const RowCandidates* lists,
                  const StepResult& result, const std::int32_t* result_tokens) {
    Request& request = *requests_[item.slot];
    const int generated = request.from_candidates->generated_tokens();
    const int banned = generated < request.config.min_new_tokens ? device_.eos_token : -1;
    std::vector<BeamCandidate> merged;
    for (int beam = 0; beam < item.rows; ++beam) {
      check_row(logits + beam * stride_, request.scores[beam], banned, lists[beam]);
      for (int i = 0; i < 2 * setting_.width; ++i)
        merged.push_back({beam, lists[beam].token[i], lists[beam].score[i]});
    }
    // Rows and, in them, equal candidates stand in the order of their tokens.
    std::stable_sort(merged.begin(), merged.end(),
                     [](const auto& a, const auto& b) { return a.score > b.score; });
    merged.resize(2 * setting_.width);

    const gptj::BeamStep& expected = request.from_candidates->step(merged);
    follow(request, merged, expected, generated);
    checks_.that(format("vocabulary %d, width %d: state behind the step", setting_.vocab, setting_.width),
                 state_matches(item.slot, request, expected, generated));
    checks_.that("result of the step", result.slot == item.slot && result.error_row == -1 &&
                                           result.finished == (expected.finished ? 1 : 0));

    if (!request.from_logits->finished()) {
      packed_.clear();
      for (int beam = 0; beam < item.rows; ++beam)
        packed_.insert(packed_.end(), logits + beam * stride_, logits + beam * stride_ + setting_.vocab);
      request.from_logits->step(packed_, setting_.vocab);
    }
    if (!expected.finished) return;
    request.over = true;
    const auto best = request.from_candidates->best();
    const std::vector<std::int32_t> got(result_tokens,
                                        result_tokens + std::clamp(result.length, 0, setting_.longest));
    checks_.that("tokens of the best hypothesis", got == best);
    if (generated + 1 < request.config.max_new_tokens) ++tally_.ended_early;
    if (request.from_logits->finished() && request.from_logits->best() == best) ++tally_.same;
  }

  // The row's list is the best of all scores, by score and then by token, bit for bit; and the log-sum is
  // right.
  void check_row(const float* row, float beam_score, int banned, const RowCandidates& list) {
    float largest = -kInfinity;
    for (int i = 0; i < setting_.vocab; ++i) largest = std::max(largest, row[i]);
    double sum = 0.0;
    for (int i = 0; i < setting_.vocab; ++i) sum += std::exp(static_cast<double>(row[i]) - largest);
    const double log_sum = std::log(sum);
    const double unit = std::max(static_cast<double>(std::nextafter(static_cast<float>(log_sum), kInfinity)) -
                                     static_cast<double>(static_cast<float>(log_sum)),
                                 6e-8);
    const double error = std::fabs(static_cast<double>(list.log_sum) - log_sum);
    tally_.worst_log_sum = std::max(tally_.worst_log_sum, error / unit);
    checks_.within("log-sum", error, 2e-6 + 2e-7 * log_sum);
    checks_.that("maximum", list.maximum == largest && list.error == 0);

    order_.clear();
    for (int i = 0; i < setting_.vocab; ++i)
      if (i != banned) order_.push_back({0, i, ((row[i] - largest) - list.log_sum) + beam_score});
    const auto better = [](const BeamCandidate& a, const BeamCandidate& b) {
      return a.score > b.score || (a.score == b.score && a.token < b.token);
    };
    std::partial_sort(order_.begin(), order_.begin() + 2 * setting_.width, order_.end(), better);
    bool equal = true;
    for (int i = 0; i < 2 * setting_.width; ++i)
      equal = equal && list.token[i] == order_[i].token && list.score[i] == order_[i].score;
    checks_.that(format("vocabulary %d, width %d, %s: candidates of a row", setting_.vocab, setting_.width,
                        name_of(setting_.logits)),
                 equal);
  }

  // The host's copy of what BeamSearch does not show: histories, scores, the beam table.
  void follow(Request& request, const std::vector<BeamCandidate>& candidates, const gptj::BeamStep& taken,
              int generated) const {
    std::vector<std::vector<std::int32_t>> histories;
    std::vector<float> scores;
    for (const BeamCandidate& candidate : candidates)
      if (candidate.token != device_.eos_token && static_cast<int>(scores.size()) < setting_.width)
        scores.push_back(candidate.score);
    for (auto& owners : request.table) {
      const auto old = owners;
      for (int beam = 0; beam < setting_.width; ++beam) owners[beam] = old[taken.parents[beam]];
    }
    request.table.push_back({});
    for (int beam = 0; beam < setting_.width; ++beam) {
      histories.push_back(request.tokens[taken.parents[beam]]);
      histories.back().push_back(taken.tokens[beam]);
      request.table[generated].push_back(static_cast<std::uint8_t>(beam));
    }
    request.tokens = std::move(histories);
    request.scores = std::move(scores);
  }

  bool state_matches(int slot, const Request& request, const gptj::BeamStep& expected, int generated) const {
    bool same = host_.generated[slot] == generated + 1 && (host_.finished[slot] != 0) == expected.finished;
    for (int beam = 0; beam < setting_.width; ++beam) {
      same = same && host_.scores[slot * kMaxBeams + beam] == request.scores[beam];
      same = same && host_.next_tokens[slot * kMaxBeams + beam] == expected.tokens[beam];
      const auto* tokens = host_.tokens + (slot * kMaxBeams + beam) * setting_.longest;
      same = same && std::equal(request.tokens[beam].begin(), request.tokens[beam].end(), tokens);
      for (int at = 0; at <= generated; ++at)
        same = same &&
               host_.beam_table[(slot * setting_.longest + at) * kMaxBeams + beam] == request.table[at][beam];
    }
    if (!expected.finished) return same;
    // The best score, in the state's own order of ties, is among the kept ones.
    double best = -static_cast<double>(kInfinity);
    for (int i = 0; i < host_.hypotheses[slot]; ++i)
      best = std::max(best, host_.hypothesis_score[slot * (kMaxBeams + 1) + i]);
    const double reference = request.from_candidates->best_score();
    // Powers other than 1 and 0 may differ in the last bit.
    const bool exact = setting_.penalty == 1.0F || setting_.penalty == 0.0F;
    return same &&
           (best == reference || (!exact && std::fabs(best - reference) <= 2e-7 * std::fabs(reference)));
  }

  Setting setting_;
  Random& random_;
  Checks& checks_;
  Tally& tally_;
  SearchState device_;
  SearchState host_;  // views memory_after_
  DeviceBuffer<std::uint8_t> memory_;
  std::vector<std::uint8_t> memory_after_;
  std::int64_t stride_ = 0;
  std::vector<std::unique_ptr<Request>> requests_;  // [slots]
  std::vector<float> packed_;
  std::vector<BeamCandidate> order_;
};

// Under compute-sanitizer a launch takes some hundred times as long: it sees every kernel, width and kind of
// logits in short searches of few requests.
bool is_small() { return std::getenv("GPTJ_TEST_SMALL") != nullptr; }

void check_searches(const CommandLine& options, Random& random, Checks& checks) {
  Table table(
      {"logits", "requests", "ended before limit", "same as from logits", "log-sum error, last places"});
  for (const Logits kind : {Logits::kNormal, Logits::kQuarters, Logits::kHalfPrecision,
                            Logits::kMostlyExcluded, Logits::kExactSums}) {
    if (!options.wants(name_of(kind))) continue;
    Tally tally;
    for (const int vocab : {9, 11, 33, 258, 1001, 2048, 50401}) {
      for (int width = 1; width <= kMaxBeams; ++width) {
        for (const BeamLength length : {BeamLength::kPromptAndGenerated, BeamLength::kGenerated}) {
          const bool large = vocab > 10000;
          if (large && (width == 2 || width == 3) && kind != Logits::kNormal) continue;
          Setting setting;
          setting.vocab = vocab;
          setting.width = width;
          setting.beam_length = length;
          constexpr float kPenalties[] = {1.0F, 1.0F, 0.0F, 0.6F, 2.0F};
          setting.penalty = kPenalties[random.integer(0, 4)];
          setting.logits = kind;
          setting.slots = large ? 3 : random.integer(5, 12);
          setting.requests = large ? 4 : 20;
          setting.longest = large ? 6 : random.integer(2, 24);
          if (is_small()) {
            setting.slots = setting.requests = 2;
            setting.longest = random.integer(2, 5);
          }
          Simulation(setting, random, checks, tally).run();
        }
      }
    }
    checks.report(name_of(kind));
    if (kind == Logits::kExactSums)
      checks.within("exact sums: share of searches that differ from the host's",
                    1.0 - 1.0 * tally.same / tally.requests, 0.0);
    table.row({name_of(kind), format("%d", tally.requests), format("%d", tally.ended_early),
               format("%d", tally.same), format("%.2f", tally.worst_log_sum)});
  }
  table.print();
}

// Rows with NaN, +infinity, or nothing but -infinity.
void check_errors(Random& random, Checks& checks) {
  const int rounds = is_small() ? 6 : 60;
  for (int round = 0; round < rounds; ++round) {
    const int vocab = round % 3 == 0 ? 50401 : random.integer(9, 3000);
    const int slots = 4;
    SearchState state;
    state.slots = slots;
    state.beam_width = kMaxBeams;
    state.max_new_tokens = 8;
    state.eos_token = vocab - 1;
    state.length_counts_prompt = true;
    const DeviceBuffer<std::uint8_t> memory(search_state_bytes(state));
    search_state_view(state, memory.data());
    std::vector<AdmitItem> admitted;
    std::vector<LogitItem> items;
    for (int slot = 0; slot < slots; ++slot) {
      admitted.push_back({slot, 10, 8, 8});
      items.push_back({slot, slot * kMaxBeams, kMaxBeams});
    }
    const int stride = (vocab + 7) / 8 * 8;
    auto logits = random.normal(static_cast<std::size_t>(slots) * kMaxBeams * stride, 0.0F, 2.0F);
    const int slot = random.integer(0, slots - 1);
    const int beam = random.integer(0, kMaxBeams - 1);
    for (int bad = beam; bad < kMaxBeams; bad += random.integer(1, 3)) {
      float* row = logits.data() + (slot * kMaxBeams + bad) * static_cast<std::size_t>(stride);
      const int kind = random.integer(0, 3);
      if (kind == 0) row[random.integer(0, vocab - 1)] = std::nanf("");
      if (kind == 1) row[random.integer(0, vocab - 1)] = kInfinity;
      if (kind >= 2) std::fill(row, row + vocab, -kInfinity);
      if (kind == 3) row[random.integer(0, vocab - 1)] = std::nanf("");
    }
    const DeviceBuffer<AdmitItem> admitted_gpu(admitted);
    const DeviceBuffer<LogitItem> items_gpu(items);
    const DeviceBuffer<float> logits_gpu(logits);
    const DeviceBuffer<std::uint8_t> workspace(search_workspace_bytes(slots * kMaxBeams, vocab));
    const DeviceBuffer<StepResult> results(slots);
    const DeviceBuffer<std::int32_t> tokens(slots * 8);
    admit(state, admitted_gpu.data(), slots, nullptr);
    SearchStep work;
    work.state = state;
    work.logits = logits_gpu.data();
    work.logit_stride = stride;
    work.vocab = vocab;
    work.items = items_gpu.data();
    work.item_count = slots;
    work.rows = slots * kMaxBeams;
    work.workspace = workspace.data();
    work.results = results.data();
    work.result_tokens = tokens.data();
    search_step(work, nullptr);
    check_launch("search_step");
    LAB_CHECK_KERNEL();
    auto after = memory.download();
    SearchState view = state;
    search_state_view(view, after.data());
    const auto got = results.download();
    bool good = true;
    for (int i = 0; i < slots; ++i) {
      const bool bad = i == slot;
      good = good && got[i].finished == (bad ? 2 : 0) && got[i].error_row == (bad ? beam : -1) &&
             got[i].slot == i;
      good = good && view.finished[i] == (bad ? 1 : 0) && view.generated[i] == (bad ? 0 : 1);
    }
    for (int i = 0; i < kMaxBeams; ++i)
      good = good && view.next_tokens[slot * kMaxBeams + i] == state.eos_token;
    checks.that(format("vocabulary %d: a row that is not finite ends its request only", vocab), good);
  }
  checks.report("rows that are not finite");
}

struct TimedShape {
  int items, vocab;
  const char* logits;
};

void time_all(const CommandLine& options, Random& random) {
  Table table(bandwidth_header());
  for (const TimedShape shape : {TimedShape{200, 50401, "normal"},
                                 {200, 50401, "quarters"},
                                 {200, 50401, "equal"},
                                 {33, 50401, "normal"},
                                 {4, 50401, "normal"},
                                 {200, 2048, "normal"}}) {
    const int rows = shape.items * kMaxBeams;
    const std::int64_t stride = (shape.vocab + 7) / 8 * 8;
    SearchState state;
    state.slots = shape.items;
    state.beam_width = kMaxBeams;
    state.max_new_tokens = 4000;  // more than there are timed steps
    state.eos_token = 50256 % shape.vocab;
    state.length_counts_prompt = true;
    const DeviceBuffer<std::uint8_t> memory(search_state_bytes(state));
    search_state_view(state, memory.data());
    std::vector<AdmitItem> admitted;
    std::vector<LogitItem> items;
    for (int slot = 0; slot < shape.items; ++slot) {
      admitted.push_back({slot, 900, 4000, 4000});
      items.push_back({slot, slot * kMaxBeams, kMaxBeams});
    }
    const DeviceBuffer<AdmitItem> admitted_gpu(admitted);
    const DeviceBuffer<LogitItem> items_gpu(items);
    const double bytes = static_cast<double>(rows) * shape.vocab * 4;
    const int sets = sets_beyond_cache(static_cast<std::size_t>(bytes));
    std::vector<DeviceBuffer<float>> logits;
    for (int set = 0; set < sets; ++set) {
      std::vector<float> values(static_cast<std::size_t>(rows) * stride, 1.0F);
      if (shape.logits[0] == 'n') values = random.normal(values.size(), -5.0F, 2.5F);
      if (shape.logits[0] == 'q')
        for (float& value : values) value = 0.25F * static_cast<float>(random.integer(-40, 12));
      logits.emplace_back(values);
    }
    const DeviceBuffer<std::uint8_t> workspace(search_workspace_bytes(rows, shape.vocab));
    const DeviceBuffer<StepResult> results(shape.items);
    const DeviceBuffer<std::int32_t> tokens(static_cast<std::size_t>(shape.items) * 4000);
    SearchStep work;
    work.state = state;
    work.logit_stride = stride;
    work.vocab = shape.vocab;
    work.items = items_gpu.data();
    work.item_count = shape.items;
    work.rows = rows;
    work.workspace = workspace.data();
    work.results = results.data();
    work.result_tokens = tokens.data();
    admit(state, admitted_gpu.data(), shape.items, nullptr);
    TimingPlan plan;
    plan.repeats = options.repeats;
    plan.sets = sets;
    plan.launches = 4;
    const auto name = format("%d rows x %d, %s", rows, shape.vocab, shape.logits);
    const auto candidates = [&](int set, cudaStream_t stream) {
      work.logits = logits[set].data();
      row_candidates(work, static_cast<RowCandidates*>(work.workspace), stream);
    };
    const auto whole_step = [&](int set, cudaStream_t stream) {
      work.logits = logits[set].data();
      search_step(work, stream);
    };
    table.row(bandwidth_cells("candidates, " + name, time_kernel(plan, candidates), bytes));
    table.row(bandwidth_cells("whole step, " + name, time_kernel(plan, whole_step), bytes));
  }
  table.print();
}

}  // namespace

int main(int argc, char** argv) {
  const CommandLine options(argc, argv);
  print_device();
  Random random(options.seed);
  Checks checks;
  if (options.checks) {
    check_errors(random, checks);
    check_searches(options, random, checks);
    if (!checks.all_good()) return checks.finish();  // a wrong kernel's time is of no interest
  }
  if (options.times) time_all(options, random);
  return options.checks ? checks.finish() : 0;
}
