// The kernels' source, included once by each kernels_<set>.cc, which defines GPTJ_KERNELS as the name of the
// table. Everything but the table has internal linkage: code compiled for different instruction sets must not
// be merged.
#include <cmath>
#include <limits>

#include "cpu/kernels.h"
#include "engine/vector_math.h"

namespace gptj::cpu {
namespace {

GPTJ_INLINE void put(float* to, Float16 value) { store(to, value); }

GPTJ_INLINE void put(std::uint16_t* to, Float16 value) {
  for (int lane = 0; lane < kLanes; ++lane) to[lane] = to_bf16(value[lane]);
}

// scores[q][row] += scale * query q . key row. Each query's sum runs over the dimensions in order, so it does
// not depend on which other queries share the task.
template <int Queries, typename Element>
void score_tiles(const AttentionTask<Element>& task) {
  const auto stride = task.tile_count * kRowsPerTile;
  for (std::ptrdiff_t tile = 0; tile < task.tile_count; ++tile) {
    const Element* keys = task.tiles[tile].keys;
    Float16 sums[Queries] = {};
    for (int d = 0; d < task.head_dim; ++d) {
      const Float16 key = load(keys + static_cast<std::ptrdiff_t>(d) * kRowsPerTile);
      for (int q = 0; q < Queries; ++q) sums[q] += key * task.query[q][d];
    }
    for (int q = 0; q < Queries; ++q) {
      float* at = task.scores + q * stride + tile * kRowsPerTile;
      store(at, load(at) + sums[q] * task.scale);
    }
  }
}

// Softmax of each query's scores in place. Rows that are not seen have probability 0, so they change no sum.
template <typename Element>
void softmax_rows(const AttentionTask<Element>& task) {
  const auto stride = task.tile_count * kRowsPerTile;
  for (int q = 0; q < task.queries; ++q) {
    float* row = task.scores + q * stride;
    Float16 lanes = load(row);
    for (std::ptrdiff_t i = kLanes; i < stride; i += kLanes) lanes = max(lanes, load(row + i));
    const float largest = max(lanes);
    Float16 total{};
    for (std::ptrdiff_t i = 0; i < stride; i += kLanes) {
      const Float16 weight = exp_nonpositive(load(row + i) - largest);
      total += weight;
      store(row + i, weight);
    }
    const float inverse = 1.0F / sum(total);
    for (std::ptrdiff_t i = 0; i < stride; i += kLanes) store(row + i, load(row + i) * inverse);
  }
}

// out[q] = sum over rows of probability[q][row] * value[row], `Vectors` vectors of the head at a time.
template <int Queries, int Vectors, typename Element>
void weigh_values(const AttentionTask<Element>& task, int first_dimension) {
  const auto stride = task.tile_count * kRowsPerTile;
  Float16 sums[Queries][Vectors] = {};
  for (std::ptrdiff_t tile = 0; tile < task.tile_count; ++tile) {
    const Element* values = task.tiles[tile].values + first_dimension;
    const float* weights = task.scores + tile * kRowsPerTile;
    for (int row = 0; row < kRowsPerTile; ++row) {
      Float16 value[Vectors];
      for (int v = 0; v < Vectors; ++v) {
        value[v] = load(values + static_cast<std::ptrdiff_t>(row) * task.head_dim + v * kLanes);
      }
      for (int q = 0; q < Queries; ++q) {
        const float weight = weights[q * stride + row];
        for (int v = 0; v < Vectors; ++v) sums[q][v] += value[v] * weight;
      }
    }
  }
  for (int q = 0; q < Queries; ++q) {
    for (int v = 0; v < Vectors; ++v) put(task.out[q] + first_dimension + v * kLanes, sums[q][v]);
  }
}

template <int Queries, typename Element>
void attend_queries(const AttentionTask<Element>& task) {
  score_tiles<Queries>(task);
  softmax_rows(task);
  int d = 0;
  for (; d + 2 * kLanes <= task.head_dim; d += 2 * kLanes) weigh_values<Queries, 2>(task, d);
  for (; d < task.head_dim; d += kLanes) weigh_values<Queries, 1>(task, d);
}

template <typename Element>
void attend(const AttentionTask<Element>& task) {
  switch (task.queries) {
    case 1:
      return attend_queries<1>(task);
    case 2:
      return attend_queries<2>(task);
    case 3:
      return attend_queries<3>(task);
    case 4:
      return attend_queries<4>(task);
    case 5:
      return attend_queries<5>(task);
    case 6:
      return attend_queries<6>(task);
    case 7:
      return attend_queries<7>(task);
    default:
      return attend_queries<kQueriesPerTask>(task);
  }
}

template <typename Element>
void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, std::int32_t width,
                Element* out) {
  Float16 lanes{};
  for (std::int32_t i = 0; i < width; i += kLanes) lanes += load(x + i);
  const float mean = sum(lanes) / static_cast<float>(width);
  lanes = Float16{};
  for (std::int32_t i = 0; i < width; i += kLanes) {
    const Float16 centred = load(x + i) - mean;
    lanes += centred * centred;
  }
  const float inverse = 1.0F / std::sqrt(sum(lanes) / static_cast<float>(width) + epsilon);
  for (std::int32_t i = 0; i < width; i += kLanes) {
    put(out + i, (load(x + i) - mean) * inverse * load(weight + i) + load(bias + i));
  }
}

}  // namespace

const Kernels GPTJ_KERNELS = {attend<float>, attend<std::uint16_t>, layer_norm<float>,
                              layer_norm<std::uint16_t>, GPTJ_KERNELS_NAME};

}  // namespace gptj::cpu
