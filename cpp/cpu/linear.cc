#include "cpu/linear.h"

#include <bit>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/vector_math.h"
#include "gptj/error.h"

namespace gptj::cpu {
namespace {

using dnnl::memory;

// One engine and one stream serve the process: oneDNN's CPU stream runs each primitive on the calling
// thread's team.
const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

memory::data_type type_of(ComputeType compute) {
  return compute == ComputeType::kBf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

// The size that weights are packed for; oneDNN takes the packed form for other numbers of rows too.
constexpr std::int32_t kTypicalRows = 256;

}  // namespace

std::int32_t padded_rows(std::int32_t rows) {
  const auto value = static_cast<std::uint32_t>(rows);
  const std::uint32_t step = value <= 32 ? 4 : std::bit_floor(value - 1) / 8;
  return static_cast<std::int32_t>((value + step - 1) / step * step);
}

struct Linear::Impl {
  LinearShape shape;
  memory weight;
  memory bias;
  dnnl::stream stream{cpu()};
  struct Prepared {
    dnnl::matmul primitive;
    memory::desc x;
    memory::desc y;
  };
  std::unordered_map<std::int32_t, Prepared> prepared;  // by number of rows

  memory::desc x_desc(std::int32_t rows) const {
    return {{rows, shape.in}, type_of(shape.compute), memory::format_tag::ab};
  }
  memory::desc y_desc(std::int32_t rows) const {
    const auto type = shape.f32_output ? memory::data_type::f32 : type_of(shape.compute);
    return {{rows, shape.out}, type, memory::format_tag::ab};
  }

  dnnl::matmul::primitive_desc describe(std::int32_t rows, const memory::desc& weight_desc) const {
    dnnl::post_ops after;
    if (shape.after == After::kGelu) after.append_eltwise(dnnl::algorithm::eltwise_gelu_tanh, 0.0F, 0.0F);
    if (shape.after == After::kAdd) after.append_sum(1.0F);
    dnnl::primitive_attr attributes;
    attributes.set_post_ops(after);
    if (bias) return {cpu(), x_desc(rows), weight_desc, bias.get_desc(), y_desc(rows), attributes};
    return {cpu(), x_desc(rows), weight_desc, y_desc(rows), attributes};
  }

  Prepared& prepare(std::int32_t rows) {
    const auto known = prepared.find(rows);
    if (known != prepared.end()) return known->second;
    const auto description = describe(rows, weight.get_desc());
    return prepared.try_emplace(rows, Prepared{dnnl::matmul(description), x_desc(rows), y_desc(rows)})
        .first->second;
  }
};

Linear::Linear(const LinearShape& shape, std::span<const float> weight, std::span<const float> bias)
    : impl_(std::make_unique<Impl>()) {
  const auto expected = static_cast<std::size_t>(shape.in) * static_cast<std::size_t>(shape.out);
  if (weight.size() != expected || (!bias.empty() && bias.size() != static_cast<std::size_t>(shape.out))) {
    throw Error(ErrorKind::kInternal, "a linear layer of " + std::to_string(shape.out) + " x " +
                                          std::to_string(shape.in) + " got " + std::to_string(weight.size()) +
                                          " weights and " + std::to_string(bias.size()) + " biases");
  }
  impl_->shape = shape;
  try {
    if (!bias.empty()) {
      impl_->bias = memory({{1, shape.out}, memory::data_type::f32, memory::format_tag::ab}, cpu());
      std::copy(bias.begin(), bias.end(), static_cast<float*>(impl_->bias.get_data_handle()));
    }
    const memory::desc any({shape.in, shape.out}, type_of(shape.compute), memory::format_tag::any);
    const auto description = impl_->describe(kTypicalRows, any);
    // [out, in] row-major is [in, out] column-major, which the product wants. The packing converts to
    // bfloat16.
    memory plain({{shape.in, shape.out}, memory::data_type::f32, memory::format_tag::ba}, cpu(),
                 const_cast<float*>(weight.data()));
    impl_->weight = memory(description.weights_desc(), cpu());
    dnnl::reorder(plain, impl_->weight).execute(impl_->stream, plain, impl_->weight);
    impl_->stream.wait();
  } catch (const dnnl::error& error) {
    throw Error(ErrorKind::kUnsupported, "oneDNN cannot prepare a product of " + std::to_string(shape.in) +
                                             " by " + std::to_string(shape.out) + ": " + error.what());
  }
}

Linear::Linear(Linear&&) noexcept = default;
Linear& Linear::operator=(Linear&&) noexcept = default;
Linear::~Linear() = default;

void Linear::run(const void* x, void* y, std::int32_t rows) {
  try {
    auto& prepared = impl_->prepare(padded_rows(rows));
    memory in(prepared.x, cpu(), const_cast<void*>(x));
    memory out(prepared.y, cpu(), y);
    std::unordered_map<int, memory> arguments{
        {DNNL_ARG_SRC, in}, {DNNL_ARG_WEIGHTS, impl_->weight}, {DNNL_ARG_DST, out}};
    if (impl_->bias) arguments.emplace(DNNL_ARG_BIAS, impl_->bias);
    prepared.primitive.execute(impl_->stream, arguments);
    impl_->stream.wait();
  } catch (const dnnl::error& error) {
    throw Error(ErrorKind::kInternal, "oneDNN failed in a product of " + std::to_string(rows) + " rows, " +
                                          std::to_string(impl_->shape.in) + " by " +
                                          std::to_string(impl_->shape.out) + ": " + error.what());
  }
}

}  // namespace gptj::cpu
