/* The library inside a program of its own: limits, the program's allocator, the bill before the
 * call, progress, and another thread that cancels. usage: embedding MODEL (one float input) */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xai/xai.h>

/* ---- memory: size 0 frees, p NULL allocates; from any thread ---- */

static atomic_llong held;

static void *counted(void *user, void *p, size_t old_size, size_t size, size_t align) {
  atomic_llong *bytes = user;
  void *q = NULL;
  if (size && !(q = aligned_alloc(align, (size + align - 1) / align * align))) return NULL;
  if (p && size) memcpy(q, p, old_size < size ? old_size : size);
  free(p);
  atomic_fetch_add(bytes, (long long)size - (long long)old_size);
  return q;
}

/* ---- progress, on the thread of the call; another one cancels after half of the work ---- */

typedef struct watch {
  xai_cancel *cancel;
  atomic_int half_done, over;
} watch;

static int progress(void *user, const char *stage, double done, double seconds_left) {
  watch *w = user;
  (void)stage, (void)seconds_left;
  if (done < 0.5) return 0;
  atomic_store(&w->half_done, 1);
  return 0; /* anything else would cancel, too */
}

static void *canceller(void *user) {
  watch *w = user;
  while (!atomic_load(&w->half_done) && !atomic_load(&w->over)) {
  }
  xai_cancel_set(w->cancel); /* sticky; a signal handler may do this */
  return NULL;
}

/* ---- the calls ---- */

static xai_error err;

/* A tensor of zeros of the first input's shape, its unknown dimensions taken as 1. */
static int make_input(const xai_graph *graph, xai_param *input, xai_result **about) {
  const xai_tensor *t;
  const char *name;
  int64_t shape[8] = {0};
  if (xai_graph_describe(graph, NULL, about, &err)) return err.status;
  for (size_t i = 0; !xai_result_get(*about, i, &name, &t, NULL) && strncmp(name, "input/", 6);) i++;
  const int64_t *rank, *declared = xai_tensor_data(t);
  xai_tensor_shape(t, &rank);
  for (int i = 0; i < rank[0]; i++) shape[i] = declared[i] < 0 ? 1 : declared[i];
  xai_tensor *zeros;
  int status = xai_tensor_create(XAI_F32, (int)rank[0], shape, NULL, &zeros, &err);
  *input = (xai_param){.name = name + 6, .tensor = zeros};
  return status;
}

static int explain(xai_session *session, const xai_param *input) {
  xai_result *why;
  watch w = {NULL};
  int64_t bytes;
  pthread_t thread;
  xai_request request = {.struct_size = sizeof request, .method = "gradient-x-input",
                         .inputs = input, .n_inputs = 1};
  if (xai_memory(session, &request, &bytes, &err)) return err.status;
  printf("an explanation needs at most %lld bytes\n", (long long)bytes);
  if (xai_explain(session, &request, &why, &err)) return err.status;
  xai_result_free(why);

  request.method = "smoothgrad"; /* long enough to be stopped */
  request.params = &(xai_param){.name = "samples", .number = 5000};
  request.n_params = 1;
  request.progress = progress;
  request.progress_user = &w;
  if (xai_cancel_create(&w.cancel)) return XAI_E_MEMORY;
  request.cancel = w.cancel;
  if (pthread_create(&thread, NULL, canceller, &w)) return XAI_E_MEMORY;
  int status = xai_explain(session, &request, &why, &err);
  atomic_store(&w.over, 1);
  pthread_join(thread, NULL);
  xai_cancel_free(w.cancel);
  printf("stopped: %s\n", xai_status_text(status));
  xai_result_free(why); /* NULL here */
  return status == XAI_E_CANCELLED ? XAI_OK : status;
}

int main(int argc, char **argv) {
  xai_options o = {.struct_size = sizeof o, .threads = 2, .max_memory = (int64_t)1 << 30,
                   .realloc = counted, .realloc_user = &held};
  xai_graph *graph = NULL;
  xai_session *session = NULL;
  xai_result *about = NULL;
  xai_param input = {NULL};
  int failed = argc != 2 || xai_graph_load(argv[1], &o, &graph, &err) ||
               xai_session_create(graph, &o, &session, &err) || make_input(graph, &input, &about) ||
               explain(session, &input);
  if (failed) fprintf(stderr, "%s\n", argc == 2 ? err.text : "usage: embedding MODEL");
  xai_tensor_free((xai_tensor *)input.tensor);
  xai_result_free(about), xai_session_free(session), xai_graph_free(graph);
  printf("held at the end: %lld bytes\n", (long long)atomic_load(&held));
  return failed || atomic_load(&held) != 0;
}
