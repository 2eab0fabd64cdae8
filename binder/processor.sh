# The image is built on one machine and run on others. Kernels that are compiled for the processor of the first would be
# compiled again on each of the others, so all of them are told to be the same: x86-64 with AVX2, of 2013 and later.
if grep -qw avx2 /proc/cpuinfo; then
  export NUMBA_CPU_NAME=x86-64-v3 NUMBA_CPU_FEATURES=""
fi
