/* A contact sheet: rows of pictures with captions, column titles and row captions, on white. */
#ifndef XAI_TOOL_SHEET_H
#define XAI_TOOL_SHEET_H
#include "image.h"

struct sheet_cell {
  const struct image *image; /* borrowed; NULL leaves the cell empty */
  const char *caption;       /* under the picture; '\n' starts another line; NULL is none */
};

struct sheet {
  const char *title;                /* over everything; NULL is none */
  const char *footer;               /* one line under everything; NULL is none */
  int columns, rows;
  const struct sheet_cell *cells;   /* rows * columns, row-major */
  const char *const *column_titles; /* columns texts, or NULL; single ones may be NULL */
  const char *const *row_captions;  /* rows texts, or NULL; '\n' starts another line */
  int cell_width, cell_height;      /* box a picture is scaled into; 0: chosen from the pictures */
  int smooth;                       /* enlarge bilinearly; 0: by nearest neighbour, whole times */
  int text_scale;                   /* dots a font dot; 0: 2 */
  int legend;                       /* 1 + enum heatmap_palette: a scale of its colours; 0: none */
};

/* Pictures keep their aspect; shrinking is always antialiased. Texts wrap at spaces, up to three
 * lines; what is left over ends in "..". */
int sheet_render(const struct sheet *s, struct image *out, char err[256]);
#endif
