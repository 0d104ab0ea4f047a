/* The ONNX reader, below the public API: the wire, tensors of every type and spelling, attributes,
 * ports and opsets. What must fail is in test_malformed.c. */
#include <check.h>
#include <stdio.h>

#include "model_text.h"
#include "onnx/onnx.h"
#include "onnx/wire.h"

static xai_error err;

static xai__wire wire(const pb *b) {
  const unsigned char *p = b->n ? b->p : (const unsigned char *)"";
  return (xai__wire){p, p, p + b->n, "Test"};
}

/* ---- wire ---- */

START_TEST(wire_fields) {
  pb b = {0};
  double d = 2.5;
  pb_int(&b, 1, -1);
  pb_float(&b, 2, 1.5f);
  pb_fixed(&b, 3, &d, 8);
  pb_text(&b, 536870911, "text"); /* the largest number */
  xai__wire w = wire(&b);
  xai__wire_field f;
  ck_assert_int_eq(xai__wire_next(&w, &f, &err), 1);
  ck_assert(f.number == 1 && f.type == XAI__WIRE_VARINT && f.bits == UINT64_MAX);
  ck_assert_int_eq(xai__wire_next(&w, &f, &err), 1);
  ck_assert(f.number == 2 && f.type == XAI__WIRE_32 && f.bits == 0x3FC00000);
  ck_assert_int_eq(xai__wire_next(&w, &f, &err), 1);
  ck_assert(f.number == 3 && f.type == XAI__WIRE_64 && f.bits == 0x4004000000000000);
  ck_assert_int_eq(xai__wire_next(&w, &f, &err), 1);
  ck_assert(f.number == 536870911 && !memcmp(f.bytes.p, "text", 4));
  ck_assert_int_eq(xai__wire_next(&w, &f, &err), 0);
  pb_free(&b);
}
END_TEST

typedef struct message {
  int64_t i;
  float f;
  const char *text;
  xai__wire inner;
  xai__wire_list ints, floats, texts;
} message;
static const xai__wire_rule rules[] = {
    {1, XAI__WIRE_INT, offsetof(message, i), NULL},
    {2, XAI__WIRE_FLOAT, offsetof(message, f), NULL},
    {3, XAI__WIRE_TEXT, offsetof(message, text), NULL},
    {4, XAI__WIRE_MESSAGE, offsetof(message, inner), "Inner"},
    {5, XAI__WIRE_INTS, offsetof(message, ints), NULL},
    {6, XAI__WIRE_FLOATS, offsetof(message, floats), NULL},
    {7, XAI__WIRE_TEXTS, offsetof(message, texts), NULL},
    {0, 0, 0, NULL}};

static int read_message(pb *b, message *m, xai__arena *a) {
  *m = (message){.i = 7, .text = ""};
  return xai__wire_read(wire(b), rules, a, m, &err);
}

START_TEST(wire_messages) {
  pb b = {0}, packed = {0};
  message m;
  xai__arena a = {0};
  ck_assert_int_eq(read_message(&b, &m, &a), 0);
  ck_assert(m.i == 7 && m.f == 0 && !m.text[0] && !m.inner.p && !m.ints.n);
  for (int i = 0; i < 3; i++) { /* packed, then one by one, the last scalar wins */
    pb_int(&b, 1, 10 + i);
    pb_varint(&packed, (uint64_t)-i);
    pb_float(&b, 6, (float)i);
    pb_text(&b, 7, i == 1 ? "" : "gr\xC3\xBC\xC3\x9F");
    pb_int(&b, 99, 5);
  }
  pb_bytes(&b, 5, packed.p, packed.n);
  pb_int(&b, 5, 77);
  pb_bytes(&b, 6, "\0\0\x80\x3F\0\0\0\x40", 8);
  pb_bytes(&b, 4, "", 0);
  ck_assert_int_eq(read_message(&b, &m, &a), 0);
  const int64_t *ints = m.ints.v;
  const float *floats = m.floats.v;
  const char *const *texts = m.texts.v;
  ck_assert(m.i == 12 && m.inner.p && m.inner.p == m.inner.end);
  ck_assert(m.ints.n == 4 && ints[0] == 0 && ints[2] == -2 && ints[3] == 77);
  ck_assert(m.floats.n == 5 && floats[2] == 2 && floats[3] == 1 && floats[4] == 2);
  ck_assert(m.texts.n == 3 && !texts[1][0] && strlen(texts[2]) == 6);
  xai__arena_free(&a);
  pb_free(&b);
  pb_free(&packed);
}
END_TEST

static const struct {
  const char *bytes;
  size_t n;
  const char *text;
} wrong_wire[] = {
    {"\x0A\x05" "abc", 5, "truncated at byte 2 in Test: field 1 has 5 bytes, 3 are left"},
    {"\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11, "18446744073709551615 bytes, 0 are left"},
    {"\x08\x80\x80", 3, "truncated at byte 3"},
    {"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12, "more than 10 bytes at byte 1"},
    {"\x15\0\0\0", 4, "truncated at byte 1"},
    {"\x0B\x0C", 2, "no field can start at byte 0 in Test (tag 11)"}, /* a group */
    {"\x07", 1, "no field can start"},
    {"\x02\x00", 2, "no field can start"}, /* field 0 */
    {"\x82\x80\x80\x80\x80\x01\x00", 7, "no field can start"},
    {"\x0D\0\0\0\0", 5, "field 1 before byte 5 in Test has wire type 5"},
    {"\x18\x01", 2, "field 3 before byte 2 in Test has wire type 0"},
    {"\x2D\0\0\0\0", 5, "field 5 before byte 5 in Test has wire type 5"},
    {"\x38\x01", 2, "field 7 before byte 2 in Test has wire type 0"},
    {"\x32\x03\0\0\0", 5, "truncated at byte 2"}, /* 3 bytes of packed floats */
    {"\x2A\x01\x80", 3, "truncated at byte 3"},
    {"\x1A\x01\0", 3, "text at byte 2 in Test is not UTF-8"},
    {"\x1A\x02\xC0\x80", 4, "not UTF-8"},
    {"\x1A\x03\xE0\x80\x80", 5, "not UTF-8"},
    {"\x1A\x03\xED\xA0\x80", 5, "not UTF-8"},
    {"\x1A\x04\xF0\x80\x80\x80", 6, "not UTF-8"},
    {"\x1A\x04\xF4\x90\x80\x80", 6, "not UTF-8"},
    {"\x1A\x02\xE2\x82", 4, "not UTF-8"},
    {"\x3A\x01\xFF", 3, "not UTF-8"}};

START_TEST(wire_wrong) {
  pb b = {0};
  message m;
  xai__arena a = {0};
  pb_raw(&b, wrong_wire[_i].bytes, wrong_wire[_i].n);
  ck_assert_int_eq(read_message(&b, &m, &a), XAI_E_MODEL);
  ck_assert_msg(strstr(err.text, wrong_wire[_i].text), "'%s' lacks '%s'", err.text,
                wrong_wire[_i].text);
  xai__arena_free(&a);
  pb_free(&b);
}
END_TEST

/* ---- tensors ---- */

/* Two elements, -1 (true, 255) and 2 (false, 2), raw and in the field of their type. */
static const struct {
  int dtype;
  const char *raw;
  size_t size;
  unsigned field;
  double want[2];
} types[] = {
    {XAI_F32, "\0\0\x80\xBF\0\0\0\x40", 4, 4, {-1, 2}},
    {XAI_F64, "\0\0\0\0\0\0\xF0\xBF\0\0\0\0\0\0\0\x40", 8, 10, {-1, 2}},
    {XAI_F16, "\0\xBC\0\x40", 2, 5, {-1, 2}},
    {XAI_BF16, "\x80\xBF\0\x40", 2, 5, {-1, 2}},
    {XAI_I64, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\2\0\0\0\0\0\0\0", 8, 7, {-1, 2}},
    {XAI_I32, "\xFF\xFF\xFF\xFF\2\0\0\0", 4, 5, {-1, 2}},
    {XAI_I8, "\xFF\2", 1, 5, {-1, 2}},
    {XAI_U8, "\xFF\2", 1, 5, {255, 2}},
    {XAI_BOOL, "\1\0", 1, 5, {1, 0}}};

enum { RAW, PACKED, UNPACKED, SPELLINGS };

/* The same elements in any spelling. */
static pb spell(int type, int spelling) {
  static const int64_t dims[] = {2, 1};
  size_t size = types[type].size;
  const char *raw = types[type].raw;
  if (spelling == RAW) return pb_tensor("t", types[type].dtype, 2, dims, raw, 2 * size);
  pb t = {0}, packed = {0};
  int fixed = types[type].field == 4 || types[type].field == 10;
  for (int i = 0; i < 2; i++) {
    int64_t v = 0; /* sign-extended where the type has a sign, as protobuf does */
    int negative = i == 0 && types[type].want[0] < 0 && types[type].field != 4 && !fixed &&
                   types[type].dtype != XAI_F16 && types[type].dtype != XAI_BF16;
    if (negative) v = -1;
    memcpy(&v, raw + (size_t)i * size, size);
    if (spelling == PACKED && fixed) pb_raw(&packed, &v, size);
    else if (spelling == PACKED) pb_varint(&packed, (uint64_t)v);
    else if (fixed) pb_fixed(&t, types[type].field, &v, size);
    else pb_int(&t, types[type].field, v);
  }
  if (spelling == PACKED) pb_bytes(&t, types[type].field, packed.p, packed.n);
  pb_free(&packed);
  pb_int(&t, 2, types[type].dtype);
  pb_text(&t, 8, "t");
  pb_dims(&t, 2, dims);
  return t;
}

START_TEST(tensor_handles) {
  for (int spelling = 0; spelling < SPELLINGS; spelling++) {
    pb b = spell(_i, spelling);
    xai_tensor *t = NULL;
    ck_assert_msg(!xai__onnx_tensor(b.p, b.n, NULL, &t, &err), "%s", err.text);
    ck_assert_int_eq(t->dtype, types[_i].dtype);
    ck_assert(t->shape.rank == 2 && t->shape.d[0] == 2 && t->shape.d[1] == 1);
    ck_assert_mem_eq(t->data, types[_i].raw, 2 * types[_i].size);
    xai_tensor_free(t);
    pb_free(&b);
  }
}
END_TEST

/* ---- graphs ---- */

static xai_graph *read_graph(const pb *model, bool copy, int status) {
  xai_options o = {.struct_size = sizeof o,
                   .max_memory = 1 << 24,
                   .max_nodes = 100,
                   .max_tensor = 1000};
  xai_graph *g = NULL;
  ck_assert_int_eq(xai__graph_create(&o, &g, &err), 0);
  ck_assert_msg(xai__onnx_read(g, model->p, model->n, copy, &err) == status, "%s", err.text);
  return g;
}

static const xai__graph_value *value(const xai_graph *g, const char *name) {
  int v = xai__graph_find(g, name);
  ck_assert_msg(v >= 0, "%s", name);
  return &g->values[v];
}

START_TEST(initializers) {
  for (int k = 0; k < 2 * SPELLINGS; k++) {
    pb graph = {0}, t = spell(_i, k / 2), out = pb_value("t", types[_i].dtype, -1, NULL);
    pb_message(&graph, 5, &t);
    pb_message(&graph, 12, &out);
    pb model = pb_model(&graph, 13);
    xai_graph *g = read_graph(&model, k % 2, 0);
    const xai__graph_value *v = value(g, "t");
    ck_assert_int_eq(v->dtype, types[_i].dtype);
    ck_assert_int_eq(v->constant.dtype, xai__dtype_storage(types[_i].dtype));
    for (int i = 0; i < 2; i++)
      ck_assert(types[_i].want[i] == (v->constant.dtype == XAI_F32
                                          ? (double)xai__f(&v->constant)[i]
                                          : (double)xai__i(&v->constant)[i]));
    xai__graph_release(g);
    pb_free(&model);
  }
}
END_TEST

/* Aligned data of storage type stay where they are unless a copy is asked for. */
START_TEST(in_place) {
  int where[2] = {0};
  for (int shift = 0; shift < 4; shift++)
    for (int copy = 0; copy < 2; copy++) {
      pb graph = {0}, t = spell(0, RAW), out = pb_value("t", 1, -1, NULL);
      pb_bytes(&graph, 10, "doc", (size_t)shift);
      pb_message(&graph, 5, &t);
      pb_message(&graph, 12, &out);
      pb model = pb_model(&graph, 13);
      xai_graph *g = read_graph(&model, copy, 0);
      const unsigned char *data = value(g, "t")->constant.data;
      ck_assert((uintptr_t)data % 4 == 0);
      where[copy] += data > model.p && data < model.p + model.n;
      xai__graph_release(g);
      pb_free(&model);
    }
  ck_assert_int_eq(where[0], 1);
  ck_assert_int_eq(where[1], 0);
}
END_TEST

START_TEST(ports_and_texts) {
  pb model = model_text("opset 13; opset com.example 3; input x f16 N,3,224; const w 1 = 2;"
                        "input w 1; y = Mul(x, w); output y f16 -1,3,224; z = Relu(x); output z");
  pb entry = {0};
  pb_text(&entry, 1, "key");
  pb_text(&entry, 2, "text");
  pb_message(&model, 14, &entry);
  pb_text(&model, 2, "producer");
  xai_graph *g = read_graph(&model, true, 0);
  ck_assert(g->n_inputs == 1 && g->n_outputs == 2 && g->n_nodes == 2); /* w has a default */
  const xai__graph_value *x = value(g, "x"), *z = value(g, "z");
  ck_assert(x->dtype == XAI_F16 && x->shape.rank == 3 && x->shape.d[0] == -1 &&
            x->shape.d[2] == 224);
  ck_assert(z->shape.rank == -1);
  ck_assert_str_eq(g->producer, "producer");
  ck_assert(g->n_metadata == 1 && !strcmp(g->metadata[0].text, "text"));
  ck_assert(g->n_opsets == 2 && !strcmp(g->opsets[0].key, "ai.onnx") &&
            !strcmp(g->opsets[1].key, "com.example") && !strcmp(g->opsets[1].text, "3"));
  ck_assert_int_eq(g->nodes[0].opset, 13);
  ck_assert_str_eq(g->nodes[0].name, "n_a");
  xai__graph_release(g);
  pb_free(&model);
}
END_TEST

/* Graph before opset, the other spelling of the domain, two halves of a graph: all legal. */
START_TEST(odd_orders) {
  pb model = model_text("input x 2; y = ai.onnx.Relu(x)"), more = model_text("output y");
  pb_raw(&model, more.p, more.n);
  pb opset = model_text("opset ai.onnx 13");
  pb_raw(&model, opset.p, opset.n);
  xai_graph *g = read_graph(&model, true, 0);
  ck_assert(g->n_nodes == 1 && g->nodes[0].opset == 13);
  xai__graph_release(g);
  pb_free(&model);
  pb_free(&more);
  pb_free(&opset);
}
END_TEST

static Suite *suite(void) {
  Suite *s = suite_create("onnx");
  TCase *c = tcase_create("wire");
  tcase_add_test(c, wire_fields);
  tcase_add_test(c, wire_messages);
  tcase_add_loop_test(c, wire_wrong, 0, sizeof wrong_wire / sizeof *wrong_wire);
  suite_add_tcase(s, c);
  c = tcase_create("models");
  tcase_add_loop_test(c, tensor_handles, 0, sizeof types / sizeof *types);
  tcase_add_loop_test(c, initializers, 0, sizeof types / sizeof *types);
  tcase_add_test(c, in_place);
  tcase_add_test(c, ports_and_texts);
  tcase_add_test(c, odd_orders);
  suite_add_tcase(s, c);
  return s;
}

int main(void) {
  SRunner *r = srunner_create(suite());
  srunner_run_all(r, CK_NORMAL);
  int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
