/* stream_avx2.c - see stream_impl.h */
#if defined(__AVX2__)
#define STREAM dgam_stream_avx2
#include "bench/stream_impl.h"
#else
typedef int dgam_stream_avx2_not_built; /* another architecture */
#endif
