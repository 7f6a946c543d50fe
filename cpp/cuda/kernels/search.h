// Beam search on the GPU: the same tokens as gptj::BeamSearch (include/gptj/beam_search.h) from the same
// logits.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/kernels/types.h"

namespace gptj::cuda {

// A request's slot is taken (its state reset) in the step that brings its first chunk.
struct AdmitItem {
  std::int32_t slot = 0;
  std::int32_t prompt_tokens = 0;
  std::int32_t min_new_tokens = 0;
  std::int32_t max_new_tokens = 0;  // at most SearchState::max_new_tokens
};

// Whose logits rows first_row .. first_row + rows - 1 of a step's logits are: 1 row behind a prompt's end,
// beam_width rows for a decoding request.
struct LogitItem {
  std::int32_t slot = 0;
  std::int32_t first_row = 0;
  std::int32_t rows = 0;
};

// What a request's step ended with; the host reads it behind the step.
struct StepResult {
  std::int32_t slot = 0;
  // 1: in this step; 2: the request was over before it, or has an error_row and is over now; 0: goes on
  std::int32_t finished = 0;
  std::int32_t error_row =
      -1;  // the beam row that has NaN, +infinity, or nothing but -infinity among its logits; else -1
  std::int32_t length = 0;  // tokens of the best hypothesis, the end token included when it ended by itself
};

// State of all slots, one allocation, laid out by search_state_bytes() / search_state_view().
struct SearchState {
  int slots = 0;
  int beam_width = 0;
  int max_new_tokens = 0;
  std::int32_t eos_token = 0;
  float length_penalty = 1.0F;
  bool length_counts_prompt = false;  // BeamLength::kPromptAndGenerated

  std::int32_t* prompt_tokens = nullptr;      // [slots]
  std::int32_t* min_new = nullptr;            // [slots]
  std::int32_t* max_new = nullptr;            // [slots]
  std::int32_t* generated = nullptr;          // [slots] tokens of each beam so far
  std::int32_t* finished = nullptr;           // [slots]
  float* scores = nullptr;                    // [slots, kMaxBeams] sums of log-probabilities
  std::int32_t* next_tokens = nullptr;        // [slots, kMaxBeams] what each beam row feeds next
  std::int32_t* tokens = nullptr;             // [slots, kMaxBeams, max_new_tokens]
  std::uint8_t* beam_table = nullptr;         // [slots, max_new_tokens, kMaxBeams], see DecodeAttention
  std::int32_t* hypotheses = nullptr;         // [slots] how many are kept
  double* hypothesis_score = nullptr;         // [slots, kMaxBeams + 1], oldest first
  std::int32_t* hypothesis_length = nullptr;  // [slots, kMaxBeams + 1] without the end token
  std::int32_t* hypothesis_ended = nullptr;   // [slots, kMaxBeams + 1]
  std::int32_t* hypothesis_tokens = nullptr;  // [slots, kMaxBeams + 1, max_new_tokens]
};

std::size_t search_state_bytes(const SearchState& shape);
// Sets the pointers of `state`, whose counts are set, into `memory` (256-byte aligned).
void search_state_view(SearchState& state, void* memory);

void admit(const SearchState& state, const AdmitItem* items, int item_count, cudaStream_t stream);

struct SearchStep {
  SearchState state;
  const float* logits = nullptr;  // [rows, logit_stride], 16-byte aligned
  std::int64_t logit_stride = 0;  // at least vocab, a multiple of 4; what lies behind vocab does not matter
  int vocab = 0;                  // more than 2 * beam_width
  const LogitItem* items = nullptr;  // [item_count], on the GPU
  int item_count = 0;
  int rows = 0;                   // logits rows of all items
  void* workspace = nullptr;      // search_workspace_bytes(rows)
  StepResult* results = nullptr;  // [item_count]
  std::int32_t* result_tokens =
      nullptr;  // [item_count, max_new_tokens]; row i is valid when results[i].finished == 1
};
std::size_t search_workspace_bytes(int rows, int vocab);
void search_step(const SearchStep& work, cudaStream_t stream);

}  // namespace gptj::cuda
