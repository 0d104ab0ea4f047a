/* One row of an operator case table (op_cases_*.inc), and what the suite
 * does with it: import and check the attributes, infer, run forward (outputs as inferred, finite,
 * equal to `want`), compare vjp with central differences, and for linear layers the product with
 * forward and its adjoint; then feed broken variants of the row to infer and forward.
 *
 *   {"Conv", 11, "pads=1,1,1,1;strides=2,2", "f:2x3x5x5 c:4x3x3x3 c:4"},
 *   {"Pad", 13, "", "f:2x2 i:=0,1,0,1", .want = "f:2x4=..."},
 *   {"Gemm", 11, "", "f:2x3 c:4x5", .status = XAI_E_MODEL},
 *
 * attrs: "name=value;name=value"; the operator's fields give the types. A tensor attribute is
 * written as an operand.
 * in: operands separated by blanks, KIND ":" SHAPE ["=" VALUES], "-" for an absent one.
 *   f  float, depends on the input (unknown to infer; vjp is checked)
 *   p  the same, all values in [0.5, 1.5]
 *   k  the same as f, but at a kink or not finite: vjp is not compared
 *   c  float constant (static, known to infer)         q  the same, all values in [0.5, 1.5]
 *   i  int64 (or bool) constant (static, known)        j  int64, depends on the input (unknown)
 * SHAPE: "2x3", "s" for a scalar, or nothing: a vector as long as VALUES. Without VALUES: a
 * shuffled grid in (-1, 1) (i, j: 0), so that values are distinct and none is 0: no kinks of relu,
 * abs or max are near. */
#ifndef XAI_TESTS_OP_HARNESS_H
#define XAI_TESTS_OP_HARNESS_H
#include "op/op.h"

typedef struct op_case {
  const char *type;
  int opset;
  const char *attrs, *in;
  int n_out;        /* 0: 1 */
  int status;       /* import, check, infer or forward must fail with it; 0: must not fail */
  const char *want; /* output 0, as an operand */
  const char *want_1; /* output 1 */
} op_case;

#endif
