/* Views in another layout than their values have. What is made lies in the engine's scratch. */
#ifndef XAI_EXEC_CONVERT_H
#define XAI_EXEC_CONVERT_H
#include "op/blocked.h"

/* v with blocked as given (0: plain), its numbers copied unless they are the same; absent data stay so. */
int xai__convert(xai__engine *e, const xai__view *v, int blocked, xai__view *out, xai_error *err);
/* Room for a view of v's shape in that layout; v itself where it has it. */
int xai__convert_room(xai__engine *e, const xai__view *v, int blocked, xai__view *out, xai_error *err);
/* to (+)= what was put into the room made for it; nothing where that is `to` itself. */
int xai__convert_back(xai__engine *e, const xai__view *room, const xai__view *to, bool add,
                      xai_error *err);

#endif
