# The CUDA toolkit: nvcc in CUDA_ROOT/bin, headers and libraries below it. A toolkit as NVIDIA installs it has its
# libraries in lib64; one put together from pip's packages has them in lib, and cuBLASLt without an unversioned name.
set(CUDA_ROOT "" CACHE PATH "Installation of the CUDA toolkit")
set(CMAKE_CUDA_COMPILER "${CUDA_ROOT}/bin/nvcc")
find_library(CUDART_STATIC NAMES cudart_static PATHS "${CUDA_ROOT}/lib64" "${CUDA_ROOT}/lib" NO_DEFAULT_PATH)
find_library(CUBLASLT NAMES cublasLt libcublasLt.so.13 libcublasLt.so.12 PATHS "${CUDA_ROOT}/lib64" "${CUDA_ROOT}/lib"
             NO_DEFAULT_PATH)
if(NOT CUDART_STATIC OR NOT CUBLASLT OR NOT EXISTS "${CMAKE_CUDA_COMPILER}")
  message(FATAL_ERROR "CUDA is incomplete: looked for bin/nvcc, libcudart_static.a and libcublasLt.so in "
                      "${CUDA_ROOT}, its lib64 and lib. Set CUDA_HOME to a complete toolkit, or GPTJ_WITH_CUDA=0.")
endif()
get_filename_component(cudart_folder "${CUDART_STATIC}" DIRECTORY)
# The test program that CMake links with nvcc must find the runtime too.
set(CMAKE_CUDA_FLAGS_INIT "-L${cudart_folder}")
# Hopper's own instructions need the 90a form. The others run in fp16, and in fp8 from 8.9 on.
set(CMAKE_CUDA_ARCHITECTURES "80;89;90a" CACHE STRING "GPU architectures to compile for")
enable_language(CUDA)
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)

add_library(gptj_cuda_toolkit INTERFACE)
target_include_directories(gptj_cuda_toolkit SYSTEM INTERFACE "${CUDA_ROOT}/include")
target_link_libraries(gptj_cuda_toolkit INTERFACE "${CUDART_STATIC}" "${CUBLASLT}" Threads::Threads ${CMAKE_DL_LIBS} rt)
