/* ROW(operator, operands, attributes, infer, value, slope, further members of its xai__op), the
 * value and the slope as expressions in x, p and, for the slope, y, compiled in simd_body.h;
 * LOOP(name, value, slope): a second form of a row. */
ROW(Relu, 1, NONE, infer, x < 0 ? 0 : x, (float)(y > 0), .relu = true, BY_RESULT)
ROW(LeakyRelu, 1, LEAKY, infer, x < 0 ? p->alpha * x : x, x > 0 ? 1 : p->alpha, PLAIN)
ROW(ThresholdedRelu, 1, ALPHA_1, infer, x > p->alpha ? x : 0, (float)(x > p->alpha), PLAIN)
ROW(Clip, 3, BOUNDS, infer_clip, clamp(x, p->alpha, p->beta),
    (float)(y > p->alpha && y < p->beta), .relu = true, .relu_at = clip_is_relu, BY_RESULT)
ROW(Shrink, 1, SHRINK, infer, shrink(x, p), (float)(fabsf(x) > p->alpha), PLAIN)

ROW(Elu, 1, ALPHA_1, infer, x > 0 ? x : p->alpha * xai__expm1(x), x > 0 ? 1 : y + p->alpha, PLAIN)
ROW(Celu, 1, ALPHA_1, infer, x > 0 ? x : p->alpha * xai__expm1(x / p->alpha),
    x > 0 ? 1 : xai__exp(x / p->alpha), PLAIN)
ROW(Selu, 1, SELU, infer, p->beta * (x > 0 ? x : p->alpha * xai__expm1(x)),
    x > 0 ? p->beta : y + p->beta * p->alpha, PLAIN)
ROW(Softplus, 1, NONE, infer, xai__softplus(x), xai__sigmoid(x), PLAIN)
ROW(Softsign, 1, NONE, infer, x / (1 + fabsf(x)), 1 / ((1 + fabsf(x)) * (1 + fabsf(x))), PLAIN)
ROW(Gelu, 1, APPROXIMATE, infer, xai__gelu(x), gelu_slope(x), .check = check_gelu)
LOOP(GeluByTanh, xai__gelu_by_tanh(x), gelu_by_tanh_slope(x))
ROW(Mish, 1, NONE, infer, x * xai__tanh(xai__softplus(x)), mish_slope(x), PLAIN)
ROW(HardSwish, 1, NONE, infer, x * clamp(x / 6 + 0.5f, 0, 1), hard_swish_slope(x), PLAIN)
ROW(Swish, 1, ALPHA_1, infer, xai__swish(x, p->alpha), swish_slope(x, p->alpha), PLAIN)

ROW(Sigmoid, 1, NONE, infer, xai__sigmoid(x), y * (1 - y), .gate = XAI__GATE_SIGMOID, BY_RESULT)
ROW(HardSigmoid, 1, HARD, infer, clamp(p->alpha * x + p->beta, 0, 1), y > 0 && y < 1 ? p->alpha : 0,
    .gate = XAI__GATE_SIGMOID, BY_RESULT)
ROW(Tanh, 1, NONE, infer, xai__tanh(x), 1 - y * y, .gate = XAI__GATE_TANH, BY_RESULT)

ROW(Neg, 1, NONE, infer, -x, -1, WITHOUT)
ROW(Abs, 1, NONE, infer, fabsf(x), sign(x), PLAIN)
ROW(Sign, 1, NONE, infer, sign(x), 0, WITHOUT)
ROW(Floor, 1, NONE, infer, floorf(x), 0, WITHOUT)
ROW(Ceil, 1, NONE, infer, ceilf(x), 0, WITHOUT)
ROW(Round, 1, NONE, infer, nearbyintf(x), 0, WITHOUT)
ROW(Reciprocal, 1, NONE, infer, 1 / x, -y * y, BY_RESULT)
ROW(Sqrt, 1, NONE, infer, sqrtf(x), 0.5f / y, BY_RESULT)
ROW(Exp, 1, NONE, infer, xai__exp(x), y, BY_RESULT)
ROW(Log, 1, NONE, infer, xai__log(x), 1 / x, PLAIN)
ROW(Erf, 1, NONE, infer, xai__erf(x), TWO_SQRT_PI * xai__exp(-x * x), PLAIN)

ROW(Sin, 1, NONE, infer, sinf(x), cosf(x), PLAIN)
ROW(Cos, 1, NONE, infer, cosf(x), -sinf(x), PLAIN)
ROW(Tan, 1, NONE, infer, tanf(x), 1 + y * y, PLAIN)
ROW(Asin, 1, NONE, infer, asinf(x), 1 / sqrtf(1 - x * x), PLAIN)
ROW(Acos, 1, NONE, infer, acosf(x), -1 / sqrtf(1 - x * x), PLAIN)
ROW(Atan, 1, NONE, infer, atanf(x), 1 / (1 + x * x), PLAIN)
ROW(Sinh, 1, NONE, infer, sinhf(x), coshf(x), PLAIN)
ROW(Cosh, 1, NONE, infer, coshf(x), sinhf(x), PLAIN)
ROW(Asinh, 1, NONE, infer, asinhf(x), 1 / sqrtf(x * x + 1), PLAIN)
ROW(Acosh, 1, NONE, infer, acoshf(x), 1 / sqrtf(x * x - 1), PLAIN)
ROW(Atanh, 1, NONE, infer, atanhf(x), 1 / (1 - x * x), PLAIN)
