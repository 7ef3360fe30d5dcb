// The twin for every machine: plain C and compiler vectors (NEON on aarch64).
#include "vector16.h"

#define CK_NAME(x) x##_generic
#define CK_ISA CK_GENERIC
#define CK_FLOAT_TILE 2
#define CK_ATTENTION_ROWS 4
#define CK_LATENT_POSITIONS 1

#include "matmul_generic.h"
#include "twins.h"
