/* stream_avx512.c - see stream_impl.h */
#if defined(__AVX512F__)
#define STREAM dgam_stream_avx512
#include "bench/stream_impl.h"
#else
typedef int dgam_stream_avx512_not_built; /* another architecture */
#endif
