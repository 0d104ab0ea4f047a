/* What an engine holds. */
#ifndef XAI_ENGINE_STATE_H
#define XAI_ENGINE_STATE_H
#include "engine/engine.h"
#include "engine/kernels.h"
#include "engine/pool.h"

#define XAI__SCRATCH_BLOCKS 40

struct xai__engine {
  xai__memory *memory;
  xai__pool *pool;
  int isa;
  xai__kernels k;
  xai__block_kernels block_kernels;
  /* The scratch stack: blocks are addressed as if they lay behind each other. */
  struct {
    char *data;
    size_t size;
  } block[XAI__SCRATCH_BLOCKS];
  int blocks;
  size_t top;
};

/* The status of a failed allocation, which err knows. */
static inline int xai__no_memory(const xai_error *err) {
  return err && err->status ? err->status : XAI_E_MEMORY;
}

#endif
