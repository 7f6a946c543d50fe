// How exact the CUDA engine is. Derived from the arithmetic: cuda_tolerances_test.cc computes, without a GPU,
// what rounding in the places of the engine does to the logits of models as these suites use them, and fails
// when a figure here is less than that, or several times more.
#pragma once

#include <cstdint>

#include "arithmetic.h"

namespace gptj::testing {

struct Tolerance {
  // The engine rounds as this does.
  Arithmetic arithmetic;
  // Of each sum of a product, relative to the root of its summands' squares: the accumulators. Those of fp16
  // are floats. FP8's have 14 bits behind the leading one; on an H100 they were off by up to 3e-5 times the
  // root of the number of summands, of which no product here has more than 1536.
  double noise = 0.0;
  // Of the logits to those in double precision, in units of the logits' standard deviation: root of the mean
  // square over one row, and the largest. For models of up to three layers.
  double exact_rms = 0.0;
  double exact_max = 0.0;
  // The same to a reference that rounds in the same places, for models of one layer. With more of them this
  // is of no use in FP8: what the order of a sum makes of one element moves others over their thresholds too,
  // until little is left of rounding in the same place.
  double same_rms = 0.0;
  double same_max = 0.0;
  // Of one log-probability to that of the reference that rounds in the same places, for models of two layers:
  // see near_ties.h. Four standard deviations at least.
  double slack = 0.0;
  // Tokens of an answer over which near ties can be followed: with each of them the ways that the slack
  // leaves open multiply.
  std::int32_t longest_answer = 0;
};

inline const Tolerance kFp16{.arithmetic = Arithmetic::fp16(),
                             .noise = 1e-6,
                             .exact_rms = 5e-3,
                             .exact_max = 2e-2,
                             .same_rms = 1e-3,
                             .same_max = 4e-3,
                             .slack = 0.005,
                             .longest_answer = 128};

inline const Tolerance kFp8{.arithmetic = Arithmetic::fp8(),
                            .noise = 1e-3,
                            .exact_rms = 0.35,
                            .exact_max = 1.3,
                            .same_rms = 0.04,
                            .same_max = 0.15,
                            .slack = 0.2,
                            .longest_answer = 6};

}  // namespace gptj::testing
