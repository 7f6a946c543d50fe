// The vocabulary that every part of the C++ side shares: identifiers, model shape, generation settings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace gptj {

using TokenId = std::int32_t;

// Identifies one request inside one engine. The harness hands them out; an engine only compares them.
using RequestId = std::uint64_t;

enum class DType : std::uint8_t { kF32, kF16, kBF16, kF8E4M3, kI8 };

// Bytes of one element.
constexpr std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return 4;
    case DType::kF16:
    case DType::kBF16:
      return 2;
    case DType::kF8E4M3:
    case DType::kI8:
      return 1;
  }
  return 0;
}

// The shape of a GPT-J, with the names of its config.json.
struct ModelConfig {
  std::int32_t vocab_size = 0;
  std::int32_t n_layer = 0;
  std::int32_t n_embd = 0;
  std::int32_t n_head = 0;
  std::int32_t n_inner =
      0;  // width of the MLP; config.json's null is resolved to 4 * n_embd before it gets here
  std::int32_t n_positions = 0;  // prompt and generated tokens together
  std::int32_t rotary_dim = 0;   // leading dimensions of each head that are rotated
  float layer_norm_epsilon = 1e-5F;

  std::int32_t head_dim() const { return n_embd / n_head; }
};

// What the length in a hypothesis' score, sum of log-probabilities / length^length_penalty, counts. Hugging
// Face transformers changed it in 4.36; the published ROUGE reference was made before.
enum class BeamLength : std::uint8_t { kPromptAndGenerated, kGenerated };

struct GenerationConfig {
  std::int32_t beam_width = 4;
  std::int32_t min_new_tokens = 30;
  std::int32_t max_new_tokens = 128;
  float length_penalty = 1.0F;
  BeamLength beam_length = BeamLength::kPromptAndGenerated;
  TokenId eos_token = 50256;
};

}  // namespace gptj
