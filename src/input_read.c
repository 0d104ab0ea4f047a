/* Items to tensors and pictures. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "array.h"
#include "input.h"
#include "input_source.h"
#include "say.h"

/* The item's picture at the network's size. */
static int read_picture(const struct slot *slot, const struct source *from, size_t place,
                        struct image *out) {
  char err[256];
  struct image image;
  bool borrowed = from->kind == SOURCE_PICTURE && from->image.pixels;
  if (borrowed) {
    image = from->image;
  } else if (from->kind == SOURCE_PICTURE) {
    if (image_read(from->path, &image, err))
      return say(EXIT_INPUT, "%s", err);
  } else if (preprocess_pixels(&from->array, place, &image)) {
    return say_no_memory();
  }
  int code = preprocess_fit(&image, &slot->layout, &slot->preprocess, from->path, out);
  if (!borrowed)
    image_free(&image);
  return code;
}

/* One item of a slot: its elements as floats of a picture, or a range of an array. */
struct piece {
  struct npy_array view;
  size_t first, count;
  float *values; /* owned, of a picture */
  int rank;      /* without the batch axis */
  int64_t shape[NPY_MAX_RANK];
};

static int read_piece(const struct slot *slot, size_t item, struct piece *out) {
  size_t place;
  const struct source *from = source_of(slot, item, &place);
  memset(out, 0, sizeof *out);
  if (from->kind == SOURCE_ARRAY) {
    out->view = from->array;
    out->count = from->array.count / from->items;
    out->first = place * out->count;
    out->rank = from->array.rank - slot->batched;
    memcpy(out->shape, from->array.shape + slot->batched, (size_t)out->rank * sizeof *out->shape);
    return EXIT_FINE;
  }
  struct image image;
  int code = read_picture(slot, from, place, &image);
  if (code)
    return code;
  out->values = preprocess_values(&image, &slot->layout, &slot->preprocess);
  int64_t c = image.channels, h = image.height, w = image.width;
  image_free(&image);
  if (!out->values)
    return say_no_memory();
  const int64_t shapes[][3] = {{c, h, w}, {h, w, c}, {h, w, 1}, {c * h * w, 1, 1}};
  static const int ranks[] = {3, 3, 2, 1};
  out->rank = ranks[slot->layout.kind];
  memcpy(out->shape, shapes[slot->layout.kind], sizeof shapes[0]);
  out->count = (size_t)(c * h * w);
  out->view = npy_view(NPY_F32, out->rank, out->shape, out->values);
  return EXIT_FINE;
}

static int convert_failed(const struct slot *slot, const struct source *from,
                          const struct piece *p) {
  if (p->values) {
    return say(EXIT_INPUT, "%s: input '%s' is %s, which needs --preprocess bytes", from->path,
               slot->port->name, slot->port->type);
  }
  return say(EXIT_INPUT, "%s: %s values do not fit input '%s', which is %s", from->path,
             npy_type_name(p->view.type), slot->port->name,
             slot->port->type ? slot->port->type : "unknown");
}

static int slot_tensor(const struct slot *slot, size_t first, size_t n, const xai_tensor **out) {
  int64_t shape[NPY_MAX_RANK + 1];
  int rank = 0, code = EXIT_FINE;
  char *data = NULL;
  size_t size = array_dtype_size(slot->port->dtype), count = 0, place;
  if (!size) {
    return say(EXIT_INPUT, "input '%s' has type %s, which the tool cannot make", slot->port->name,
               slot->port->type ? slot->port->type : "unknown");
  }
  for (size_t i = 0; i < n && !code; i++) {
    struct piece p;
    code = read_piece(slot, first + i, &p);
    if (code)
      break;
    const struct source *from = source_of(slot, first + i, &place);
    if (i == 0) {
      count = p.count;
      rank = p.rank + slot->batched;
      shape[0] = (int64_t)n;
      memcpy(shape + slot->batched, p.shape, (size_t)p.rank * sizeof *shape);
      if (count <= SIZE_MAX / size / n)
        data = malloc(count * size * n + 1);
      if (!data)
        code = say_no_memory();
    } else if (p.count != count) {
      code = say(EXIT_INPUT, "%s: %zu elements, the items before it have %zu", from->path, p.count,
                 count);
    }
    if (!code &&
        array_convert(&p.view, p.first, count, slot->port->dtype, data + i * count * size)) {
      code = convert_failed(slot, from, &p);
    }
    free(p.values);
  }
  xai_error err;
  xai_tensor *t = NULL;
  if (!code && xai_tensor_wrap(slot->port->dtype, rank, shape, data, free, data, &t, &err)) {
    code = say_error(&err, SAY_READING, slot->port->name);
  }
  if (code)
    free(data);
  *out = t;
  return code;
}

int input_tokens(const struct input_set *s, size_t item, int64_t **ids, size_t *n) {
  *ids = NULL;
  *n = 0;
  for (size_t i = 0; i < s->n_slots; i++) {
    struct piece p;
    if (!slot_takes_tokens(&s->slots[i]))
      continue;
    int code = read_piece(&s->slots[i], item, &p);
    if (code || p.rank != 1)
      return code;
    *ids = malloc((p.count + 1) * sizeof **ids);
    if (!*ids)
      return say_no_memory();
    if (array_convert(&p.view, p.first, p.count, XAI_I64, *ids))
      return EXIT_FINE; /* no whole numbers: said when the tensor is made */
    *n = p.count;
    return EXIT_FINE;
  }
  return EXIT_FINE;
}

int input_tensors(struct input_set *s, size_t first, size_t n, xai_param **out) {
  xai_param *params = calloc(s->n_slots + 1, sizeof *params);
  int code = params ? EXIT_FINE : say_no_memory();
  for (size_t i = 0; i < s->n_slots && !code; i++) {
    params[i].name = s->slots[i].port->name;
    code = slot_tensor(&s->slots[i], first, n, &params[i].tensor);
  }
  if (code && params) {
    input_release(s, params);
    params = NULL;
  }
  *out = params;
  return code;
}

void input_release(const struct input_set *s, xai_param *params) {
  for (size_t i = 0; params && i < s->n_slots; i++) {
    xai_tensor_free((xai_tensor *)(size_t)params[i].tensor);
  }
  free(params);
}

/* An array drawn as a picture: its smallest value black, its largest white. */
static int draw_array(const struct slot *slot, const struct piece *p, struct image *out) {
  const struct picture_layout *l = &slot->layout;
  char err[256];
  bool planar = l->kind == LAYOUT_CHW || l->kind == LAYOUT_FLAT;
  int at = l->kind == LAYOUT_CHW ? 1 : 0;
  size_t channels = (size_t)l->channels;
  int height = l->kind == LAYOUT_FLAT ? l->height : (int)p->shape[at];
  int width = l->kind == LAYOUT_FLAT ? l->width : (int)p->shape[at + 1];
  size_t pixels = (size_t)height * (size_t)width;
  if (height < 1 || width < 1 || channels * pixels != p->count)
    return EXIT_FINE;
  if (image_alloc(width, height, l->channels, out, err))
    return say(EXIT_LIMIT, "%s", err);
  double low = INFINITY, high = -INFINITY;
  for (size_t i = 0; i < p->count; i++) {
    double x = array_value(&p->view, p->first + i);
    if (x < low)
      low = x;
    if (x > high)
      high = x;
  }
  double scale = high > low ? 255 / (high - low) : 0;
  for (size_t i = 0; i < pixels; i++) {
    for (size_t c = 0; c < channels; c++) {
      size_t k = p->first + (planar ? c * pixels + i : i * channels + c);
      double x = (array_value(&p->view, k) - low) * scale;
      out->pixels[i * channels + c] = (unsigned char)(x >= 0 && x <= 255 ? x + 0.5 : 0);
    }
  }
  return EXIT_FINE;
}

int input_picture(struct input_set *s, size_t item, struct image *out) {
  memset(out, 0, sizeof *out);
  for (size_t i = 0; i < s->n_slots; i++) {
    const struct slot *slot = &s->slots[i];
    size_t place;
    if (!slot->pictures)
      continue;
    const struct source *from = source_of(slot, item, &place);
    if (from->kind != SOURCE_ARRAY)
      return read_picture(slot, from, place, out);
    struct piece p;
    int code = read_piece(slot, item, &p);
    return code ? code : draw_array(slot, &p, out);
  }
  return EXIT_FINE;
}
