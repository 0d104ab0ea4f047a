/* Sized structs. */
#include "api/load.h"

#include <string.h>

int xai__load_struct(void *to, size_t size, const void *from, const char *what, xai_error *err) {
  memset(to, 0, size);
  if (!from) return XAI_OK;
  size_t given;
  memcpy(&given, from, sizeof given);
  if (given < sizeof given)
    return xai__fail(err, XAI_E_ARGUMENT, what, "%s.struct_size is %zu: set it to sizeof(%s)", what,
                     given, what);
  for (size_t i = size; i < given; i++)
    if (((const char *)from)[i])
      return xai__fail(err, XAI_E_ARGUMENT, what, "%s uses fields that this library (%s) does not know",
                       what, XAI_VERSION_STRING);
  given -= given % sizeof(void *); /* half a pointer is none */
  memcpy(to, from, given < size ? given : size);
  return XAI_OK;
}

int xai__load_options(xai_options *to, const xai_options *from, xai_error *err) {
  XAI__TRY(xai__load_struct(to, sizeof *to, from, "xai_options", err));
  if (to->threads < 0 || to->threads > 256)
    return xai__fail(err, XAI_E_ARGUMENT, "threads", "threads is %d, not 0 to 256", (int)to->threads);
  if (to->max_isa < 0 || to->max_isa > 3)
    return xai__fail(err, XAI_E_ARGUMENT, "max_isa", "max_isa is %d, not 0 to 3", (int)to->max_isa);
  if (to->max_memory < 0 || to->max_nodes < 0 || to->max_tensor < 0)
    return xai__fail(err, XAI_E_ARGUMENT, "xai_options", "a limit is negative");
  if (!to->max_memory) to->max_memory = (int64_t)64 << 30;
  if (!to->max_nodes) to->max_nodes = 1000000;
  if (!to->max_tensor) to->max_tensor = (int64_t)1 << 31;
  return XAI_OK;
}

/* Arrays of a request that are counted and not there. */
static int check_arrays(const xai_request *r, xai_error *err) {
  const struct {
    const char *name;
    const void *array;
    size_t n;
  } arrays[] = {{"params", r->params, r->n_params}, {"inputs", r->inputs, r->n_inputs},
                {"at", r->at, r->n_at},             {"rows", r->rows, r->n_rows},
                {"terms", r->terms, r->n_terms}};
  const char *missing = NULL;
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
    if (arrays[i].n && !arrays[i].array) missing = arrays[i].name;
  for (size_t i = 0; r->rows && i < r->n_rows; i++)
    if (r->rows[i].n_params && !r->rows[i].params) missing = "rows";
  if (!missing) return XAI_OK;
  return xai__fail(err, XAI_E_ARGUMENT, missing, "%s: elements are counted, but the array is NULL",
                   missing);
}

int xai__load_request(xai_request *to, const xai_request *from, xai_error *err) {
  XAI__TRY(xai__load_struct(to, sizeof *to, from, "xai_request", err));
  return check_arrays(to, err);
}
