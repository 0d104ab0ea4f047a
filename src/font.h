/* A small fixed-width bitmap font of our own: ASCII 32..126, 5 x 9 dots in a cell of 6 x 10
 * (7 rows above the base line, 2 below). Anything else in a UTF-8 text draws one empty box. */
#ifndef XAI_TOOL_FONT_H
#define XAI_TOOL_FONT_H
#include <stddef.h>
#include "image.h"

enum { FONT_WIDTH = 6, FONT_HEIGHT = 10, FONT_ASCENT = 7 };

/* The 9 rows of a glyph, bit 4 the leftmost dot. */
extern const unsigned char font_glyphs[96][9]; /* ' '..'~', then the box */

/* Characters (not bytes) of a UTF-8 text. */
size_t font_length(const char *utf8);

/* Draws with the cell's top left corner at x, y; what falls outside the picture is cut. At most
 * `limit` characters; a longer text ends in "..". */
void font_draw(struct image *im, int x, int y, int scale, const unsigned char rgb[3],
               const char *utf8, size_t limit);
#endif
