#!/usr/bin/env bash
# Builds the CUDA library, the host library and the laboratory with nvcc and g++ alone.
#   lab/build.sh OUT [sm_90a|all]     all: every architecture of the shipped library
set -euo pipefail
out=$(realpath -m "${1:?usage: lab/build.sh OUT [sm_90a|all]}")
cd "$(dirname "$0")/.."
what=${2:-sm_90a}
hopper=(-gencode arch=compute_90a,code=sm_90a)
every=("${hopper[@]}" -gencode arch=compute_80,code=sm_80 -gencode arch=compute_89,code=sm_89
       -gencode arch=compute_80,code=compute_80)
[ "$what" = all ] || every=("${hopper[@]}")
flags=(-std=c++20 -O3 -Iinclude --expt-relaxed-constexpr -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra -Xptxas -v)
jobs=${JOBS:-$(nproc)}
mkdir -p "$out"

compile() {
  local source=$1 object=$out/$(basename "$1" .cu).o
  shift
  [ "$object" -nt "$source" ] && [ -z "$(find src/cuda src/common include -name '*.*h' -newer "$object")" ] && return
  nvcc "$@" -c "$source" -o "$object" >"$object.log" 2>&1 || { cat "$object.log"; rm -f "$object"; return 1; }
}
running=0
for source in src/cuda/*.cu; do
  case $source in
    *_wgmma.cu) targets=("${hopper[@]}") ;;
    *) targets=("${every[@]}") ;;
  esac
  compile "$source" "${flags[@]}" "${targets[@]}" &
  running=$((running + 1))
  if [ "$running" -ge "$jobs" ]; then wait -n; running=$((running - 1)); fi
done
while [ "$running" -gt 0 ]; do wait -n; running=$((running - 1)); done
grep -h -B3 -E "[1-9][0-9]* bytes spill" "$out"/*.log || true
grep -h -E "warning" "$out"/*.log || true
objects=(); for source in src/cuda/*.cu; do objects+=("$out/$(basename "$source" .cu).o"); done
nvcc -shared -cudart static "${objects[@]}" -o "$out/libsvg_kernels_cuda.so" \
  -Xlinker --version-script=src/exports.map
# The laboratory looks at SVG2's plan as well, which the library does not export.
nvcc -std=c++20 -O2 -Iinclude --expt-relaxed-constexpr -Xcompiler -fopenmp -cudart static -gencode arch=compute_90a,code=sm_90a \
  -gencode arch=compute_80,code=sm_80 -Ilab lab/*.cu lab/*.cpp "$out"/{attention_plan,launch,library}.o -o "$out/lab" -ldl
if [ -d src/host ]; then
  g++ -std=c++20 -O3 -fopenmp -fPIC -shared -fvisibility=hidden -Wno-psabi -Iinclude src/host/*.cpp \
    -o "$out/libsvg_kernels_host.so" -Wl,--version-script=src/exports.map
fi
