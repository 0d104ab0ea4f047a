/* xai sheet: files of xai prototype side by side, a row each. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "commands.h"
#include "gallery.h"
#include "output.h"
#include "say.h"

static bool is_png(const char *path) {
  size_t n = strlen(path);
  return n > 4 && !strcasecmp(path + n - 4, ".png");
}

int cmd_sheet(const struct options *o) {
  struct bundle *b = calloc(o->args.n + 1, sizeof *b);
  int code = b ? EXIT_FINE : say_no_memory();
  if (!code && !o->args.n)
    code = say(EXIT_USAGE, "which FILE.npz? see 'xai sheet --help'");
  if (!code && (o->out.n != 1 || !is_png(o->out.v[0])))
    code = say(EXIT_USAGE, "a sheet is written to one --out FILE.png");
  if (!code)
    code = output_check(o->out.v[0]);
  for (size_t i = 0; i < o->args.n && !code; i++) {
    code = bundle_read(o->args.v[i], &b[i]);
    if (!code)
      code = gallery_check(&b[i], o->args.v[i]);
  }
  if (!code)
    code = gallery_rows(b, o->args.v, o->args.n, o, o->out.v[0]);
  for (size_t i = 0; b && i < o->args.n; i++)
    bundle_free(&b[i]);
  free(b);
  return code;
}
