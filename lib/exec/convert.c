#include "exec/convert.h"

static bool is_same(const xai__view *v, int blocked) {
  if (v->blocked == blocked || !v->data || v->dtype != XAI_F32) return true;
  return v->blocked <= 1 && blocked <= 1 && xai__blocked_is_plain(v);
}

int xai__convert_room(xai__engine *e, const xai__view *v, int blocked, xai__view *out, xai_error *err) {
  const bool same = is_same(v, blocked);
  *out = *v;
  out->blocked = blocked;
  if (same) return XAI_OK;
  out->data = xai__scratch(e, (size_t)xai__stored(out), sizeof(float), err);
  return out->data ? XAI_OK : err->status;
}

/* Between two that differ. */
static int copy(xai__engine *e, const xai__view *from, const xai__view *to, xai_error *err) {
  xai__blocked a = xai__blocked_of(from), b = xai__blocked_of(to);
  if (!from->blocked) {
    xai__blocked_from_plain(e, xai__f(from), &b);
  } else if (!to->blocked) {
    xai__blocked_to_plain(e, &a, xai__f(to), false);
  } else { /* to another border */
    size_t mark = xai__scratch_mark(e);
    float *plain = xai__scratch(e, (size_t)(xai__count(&from->shape) * xai__times(from)), sizeof *plain, err);
    if (!plain) return err->status;
    xai__blocked_to_plain(e, &a, plain, false);
    xai__blocked_from_plain(e, plain, &b);
    xai__scratch_release(e, mark);
  }
  return XAI_OK;
}

int xai__convert(xai__engine *e, const xai__view *v, int blocked, xai__view *out, xai_error *err) {
  const xai__view from = *v; /* out may be v */
  XAI__TRY(xai__convert_room(e, &from, blocked, out, err));
  return out->data == from.data ? XAI_OK : copy(e, &from, out, err);
}

int xai__convert_back(xai__engine *e, const xai__view *room, const xai__view *to, bool add,
                      xai_error *err) {
  if (room->data == to->data) return XAI_OK;
  if (!add) return copy(e, room, to, err);
  if (!to->blocked) {
    xai__blocked a = xai__blocked_of(room);
    xai__blocked_to_plain(e, &a, xai__f(to), true);
    return XAI_OK;
  }
  size_t mark = xai__scratch_mark(e);
  xai__view like;
  XAI__TRY(xai__convert(e, room, to->blocked, &like, err));
  xai__add_scaled(e, xai__f(to), xai__f(&like), xai__stored(to), 1);
  xai__scratch_release(e, mark);
  return XAI_OK;
}
