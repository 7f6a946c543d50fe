// Linked into suites that run on fake_cuda.h instead of a GPU: it computes.
#include "fake_cuda.h"

namespace gptj::testing {
namespace {

[[maybe_unused]] const bool kComputes = fake_cuda().computes = true;

}  // namespace
}  // namespace gptj::testing
