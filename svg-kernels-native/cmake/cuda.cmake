# The CUDA library, libsvg_kernels_cuda.so: one fat binary for sm_80, sm_89, sm_90a and compute_80 PTX (later devices).
# Include after `enable_language(CUDA)`; CMAKE_CURRENT_SOURCE_DIR is svg-kernels-native.
#
# Files named *_wgmma.cu hold kernels that exist on sm_90a only and are launched there only. SVG_CUDA_MMA=sync in the
# environment of a process makes the library take the mma.sync path on Hopper as well.
file(GLOB svg_cuda_sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/src/cuda/*.cu")
set(svg_cuda_wgmma_sources ${svg_cuda_sources})
list(FILTER svg_cuda_wgmma_sources INCLUDE REGEX "_wgmma\\.cu$")
list(FILTER svg_cuda_sources EXCLUDE REGEX "_wgmma\\.cu$")

function(svg_cuda_objects target architectures)
  add_library(${target} OBJECT ${ARGN})
  target_include_directories(${target} PRIVATE include)
  target_compile_features(${target} PRIVATE cuda_std_20)
  target_compile_options(${target} PRIVATE --expt-relaxed-constexpr -Xcompiler=-Wall,-Wextra)
  set_target_properties(${target} PROPERTIES
    CUDA_ARCHITECTURES "${architectures}"
    CUDA_RUNTIME_LIBRARY Static
    CUDA_VISIBILITY_PRESET hidden
    POSITION_INDEPENDENT_CODE ON)
endfunction()
svg_cuda_objects(svg_cuda_common "80;89-real;90a-real" ${svg_cuda_sources})
svg_cuda_objects(svg_cuda_hopper "90a-real" ${svg_cuda_wgmma_sources})

add_library(svg_kernels_cuda SHARED $<TARGET_OBJECTS:svg_cuda_common> $<TARGET_OBJECTS:svg_cuda_hopper>)
target_link_options(svg_kernels_cuda PRIVATE
  "-Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/src/exports.map")
set_target_properties(svg_kernels_cuda PROPERTIES LINKER_LANGUAGE CUDA CUDA_RUNTIME_LIBRARY Static)
