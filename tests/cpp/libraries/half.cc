// An engine library that tells what plans depend on, and cannot build any.
#include "gptj/engine_options.h"
#include "gptj/plan.h"

extern "C" {

std::uint32_t gptj_engine_abi_version() { return gptj::kEngineAbiVersion; }

void gptj_plan_facts(const gptj::EngineOptions*, gptj::PlanFacts*) {}
}
