/* --sheet: a contact sheet of several methods on the same inputs. */
#ifndef XAI_TOOL_CONTACT_H
#define XAI_TOOL_CONTACT_H
#include "explaining.h"

/* A row an input (the picture with its predicted class and score), a column a method. reports: one
 * a method, with their tensors. */
int contact_write(const struct report *reports, const struct method *methods, size_t n,
                  const char *path);
#endif
