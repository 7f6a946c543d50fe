# The commands people know. Everything that decides something is in the program or in a script; this file names them.
#
#     make run RUN_ARGS="--benchmarks=gptj --scenarios=offline,server"
#     make test

RUN_ARGS ?=
CARGO ?= cargo
# How many compilers and tests run at once.
JOBS ?= $(shell nproc)
export JOBS

# What the v3.1 Makefile took as variables, the program takes as settings.
ifdef LOG_DIR
  export GPTJ_LOG_DIR ?= $(LOG_DIR)
endif
ifdef DATA_DIR
  export GPTJ_DATA_DIR ?= $(DATA_DIR)
endif
ifdef PREPROCESSED_DATA_DIR
  export GPTJ_PREPROCESSED_DATA_DIR ?= $(PREPROCESSED_DATA_DIR)
endif
ifdef BENCHMARKS
  export GPTJ_BENCHMARKS ?= $(BENCHMARKS)
endif
ifeq ($(origin MODEL_DIR),command line)
  $(error MODEL_DIR cannot be used: name the folder of a model with --model_path, that of all models with MLPERF_SCRATCH_PATH)
endif

harness := $(or $(CARGO_TARGET_DIR),target)/release/run_harness
cpp_files = $(shell git ls-files 'cpp/*.cc' 'cpp/*.h' 'cpp/*.cu' 'cpp/*.cuh' 'tests/cpp/*.c' 'tests/cpp/*.cc' 'tests/cpp/*.cu' 'tests/cpp/*.h' 'benches/*.cc' 'benches/*.cu' 'benches/*.h')

.DEFAULT_GOAL := help
.PHONY: help tools run build prebuild generate_engines calibrate run_harness link_dirs doctor download_help \
        import_model preprocess_data tune_server report clean test test_rust test_cpp test_asan test_tsan test_cuda test_gpu \
        test_cuda_sanitizer lint check_format format bench

help: ## Show this list
	@awk -F ':.* ## ' '/^[a-z_]+:.* ## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Engines that are to be built anew have been by then: the run takes what is there.
run: generate_engines ## Build, generate engines where one needs it, run the tests that RUN_ARGS asks for
	@$(harness) $(filter-out --force_build_engines% --force-build-engines%,$(RUN_ARGS))

tools:
	@command -v $(CARGO) >/dev/null || \
	  { echo "error: there is no $(CARGO)" >&2; echo "hint: install Rust with rustup" >&2; exit 1; }
	@command -v $${CXX:-c++} >/dev/null || \
	  { echo "error: there is no $${CXX:-C++ compiler}" >&2; echo "hint: apt-get install g++" >&2; exit 1; }
	@command -v python3 >/dev/null || \
	  { echo "error: there is no python3" >&2; echo "hint: apt-get install python3 python3-pip" >&2; exit 1; }

build: tools ## Build target/release/run_harness with all that it needs
	@$(CARGO) build --release --jobs $(JOBS)

prebuild: ## Start a shell in a container with all that the build needs; never needed (DRY_RUN=1 prints the commands)
	@docker/prebuild

generate_engines: build ## Build the plans that an engine runs from (TensorRT's; the others need none)
	@$(harness) generate-engines $(RUN_ARGS)

calibrate: build ## Measure the ranges of activations that fp8 needs
	@$(harness) calibrate $(RUN_ARGS)

run_harness: build ## Run the tests that RUN_ARGS asks for
	@$(harness) $(RUN_ARGS)

link_dirs: build ## Link the scratch space (MLPERF_SCRATCH_PATH) into build/
	@$(harness) link-dirs

doctor: build ## Show what this machine has, and what would stop a run that RUN_ARGS asks for
	@$(harness) doctor $(RUN_ARGS)

download_help: build ## Say where model and data sets come from, which are here, and what to run next
	@$(harness) download-help

import_model: build ## Write a downloaded checkpoint as safetensors (RUN_ARGS="--from=...")
	@$(harness) import-model $(RUN_ARGS)

preprocess_data: build ## Tokenise the data set and keep it as npy files
	@$(harness) preprocess-data $(RUN_ARGS)

report: build ## Write one HTML page about the newest run, or those that RUN_ARGS names
	@$(harness) report $(RUN_ARGS)

clean: ## Remove what was built; data, models, logs and fetched packages stay
	@$(CARGO) clean

tune_server: build ## Find the highest valid rate of the Server scenario and keep it in configs/user.toml
	@$(harness) tune-server $(RUN_ARGS)

# Quick checks first: a slip of the pen is told within a minute.
test: check_format lint test_rust test_cpp test_asan test_tsan test_cuda ## Everything that can be tested without a GPU
	@echo "all tests passed"

test_rust: tools ## Unit and integration tests of the Rust side
	@$(CARGO) test --release --jobs $(JOBS)

test_cpp: tools ## The C++ suites
	@tests/cpp/run plain

test_asan: tools ## The C++ suites under AddressSanitizer and UndefinedBehaviorSanitizer
	@tests/cpp/run asan

test_tsan: tools ## The harness's C++ suites under ThreadSanitizer
	@tests/cpp/run tsan

test_cuda: tools ## Compile everything for GPUs, and run its suites where there is one
	@tests/cpp/run cuda

test_gpu: tools ## The CUDA engine's suites and gptj-mini on this machine's GPU
	@tests/cpp/run_on_gpu build suites mini

test_cuda_sanitizer: tools ## Every CUDA kernel under compute-sanitizer, on this machine's GPU
	@tests/cpp/run_on_gpu build memcheck racecheck synccheck

lint: tools ## Clippy, warnings are errors
	@$(CARGO) clippy --version >/dev/null 2>&1 || \
	  { echo "error: cargo has no clippy" >&2; echo "hint: rustup component add clippy" >&2; exit 1; }
	@$(CARGO) clippy --release --all-targets --jobs $(JOBS) -- -D warnings

check_format: tools ## Is everything formatted?
	@$(CARGO) fmt --version >/dev/null 2>&1 || \
	  { echo "error: cargo has no rustfmt" >&2; echo "hint: rustup component add rustfmt" >&2; exit 1; }
	@$(CARGO) fmt --check || { echo "hint: make format" >&2; exit 1; }
	@format=$$(third_party/fetch clang-format | cut -f 2)/clang_format/data/bin/clang-format; \
	  "$$format" --dry-run -Werror $(cpp_files) || { echo "hint: make format" >&2; exit 1; }

format: ## Format everything
	@$(CARGO) fmt
	@format=$$(third_party/fetch clang-format | cut -f 2)/clang_format/data/bin/clang-format; \
	  "$$format" -i $(cpp_files)

bench: ## The benchmarks
	@$(CARGO) bench --jobs $(JOBS)
