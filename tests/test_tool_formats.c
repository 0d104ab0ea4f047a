/* The tool's file formats: NPY, NPZ, IDX, SHA-256, whole files; damaged ones above all. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "file.h"
#include "idx.h"
#include "npy.h"
#include "npz.h"
#include "sha256.h"
#include "utf8.h"

static char err[256];
static char folder[] = "formats-XXXXXX";

#define OK(call) ck_assert_msg((call) == 0, "%s: %s", #call, err)
#define FAILS(call, text)                                                 \
  do {                                                                    \
    err[0] = 0;                                                           \
    ck_assert_int_eq(call, -1);                                           \
    ck_assert_msg(strstr(err, text), "'%s' should say '%s'", err, text);  \
  } while (0)

static uint64_t state = 1;

static uint32_t chance(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33);
}

static const char *path_of(const char *name) {
  static char path[64];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

/* ---- damage: whatever is done to a file, a reader answers 0 or -1 with a text ---- */

typedef int (*reader)(const void *bytes, size_t size);

static void read_exactly(reader read, const unsigned char *bytes, size_t size) {
  unsigned char *copy = malloc(size + (size == 0)); /* so that ASan sees a step too far */
  memcpy(copy, bytes, size);
  err[0] = 0;
  int rc = read(copy, size);
  ck_assert(rc == 0 || (rc == -1 && err[0] && strlen(err) < sizeof err));
  free(copy);
}

static void damage(reader read, const unsigned char *bytes, size_t size, int times) {
  unsigned char *copy = malloc(size);
  for (size_t n = 0; n < size; n += 1 + n / 64) read_exactly(read, bytes, n);
  for (int i = 0; i < times; i++) {
    memcpy(copy, bytes, size);
    for (uint32_t k = 1 + chance() % 3; k > 0; k--) {
      size_t at = chance() % 2 ? chance() % size : chance() % (size < 128 ? size : 128);
      copy[at] ^= (unsigned char)(chance() % 2 ? chance() : 1u << chance() % 8);
    }
    read_exactly(read, copy, size);
  }
  free(copy);
}

static int read_npy(const void *bytes, size_t size) {
  struct npy_array a;
  int rc = npy_parse(bytes, size, "x.npy", &a, err);
  if (rc) ck_assert_ptr_null(a.data);
  npy_free(&a);
  return rc;
}

static int read_npz(const void *bytes, size_t size) {
  struct npz *z;
  struct npy_array a;
  if (npz_parse(bytes, size, "x.npz", &z, err)) return -1;
  int rc = 0;
  for (size_t i = 0; i < npz_count(z); i++) {
    if (npz_get_at(z, i, &a, err)) rc = -1;
    npy_free(&a);
  }
  npz_close(z);
  return rc;
}

static int read_idx(const void *bytes, size_t size) {
  struct npy_array a;
  (void)idx_sniff(bytes, size);
  int rc = idx_parse(bytes, size, "x-idx", &a, err);
  npy_free(&a);
  return rc;
}

/* ---- NPY ---- */

static size_t npy_text(unsigned char *out, int version, const char *header, const void *data,
                       size_t n) {
  size_t h = strlen(header), p = version == 1 ? 10 : 12;
  memcpy(out, "\x93NUMPY", 6);
  out[6] = (unsigned char)version;
  out[7] = 0;
  out[8] = (unsigned char)h;
  out[9] = (unsigned char)(h >> 8);
  if (version > 1) out[10] = out[11] = 0;
  memcpy(out + p, header, h);
  if (n > 0) memcpy(out + p + h, data, n);
  return p + h + n;
}

START_TEST(npy_round_trip) {
  static const int64_t shapes[4][3] = {{2, 3, 4}, {7}, {0, 5}, {1}};
  static const int ranks[4] = {3, 1, 2, 0};
  for (int type = NPY_BOOL; type <= NPY_F64; type++)
    for (int s = 0; s < 4; s++) {
      struct npy_array a, b;
      unsigned char *bytes;
      size_t size;
      OK(npy_alloc((enum npy_type)type, ranks[s], shapes[s], "a", &a, err));
      for (size_t i = 0; i < a.bytes; i++)
        ((unsigned char *)a.data)[i] = (unsigned char)(type == NPY_BOOL ? chance() & 1 : chance());
      OK(npy_format(&a, &bytes, &size, err));
      ck_assert_uint_eq((size - a.bytes) % 64, 0);
      OK(npy_parse(bytes, size, "a", &b, err));
      ck_assert_int_eq(b.type, type);
      ck_assert_int_eq(b.rank, ranks[s]);
      ck_assert_mem_eq(a.shape, b.shape, sizeof a.shape);
      ck_assert_uint_eq(a.bytes, b.bytes);
      ck_assert_mem_eq(a.data, b.data, a.bytes);
      npy_free(&a);
      npy_free(&b);
      free(bytes);
    }
}
END_TEST

START_TEST(npy_orders) {
  unsigned char file[512];
  struct npy_array a;
  static const unsigned char big[12] = {0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0xff, 0xfe};
  static const int16_t straight[6] = {1, 2, 3, 4, 5, -2}, turned[6] = {1, 3, 5, 2, 4, -2};
  for (int version = 1; version <= 3; version++) {
    static const char header[] = "{'descr': '>i2', 'fortran_order': False, 'shape': (2, 3), }   \n";
    size_t n = npy_text(file, version, header, big, 12);
    OK(npy_parse(file, n, "a", &a, err));
    ck_assert_mem_eq(a.data, straight, 12);
    npy_free(&a);
  }
  /* other order of keys, double quotes, no spaces, a long of Python 2 */
  static const char other[] = "{\"shape\":(2L,3),\"fortran_order\":True,\"descr\":\">i2\"}";
  size_t n = npy_text(file, 1, other, big, 12);
  OK(npy_parse(file, n, "a", &a, err));
  ck_assert_mem_eq(a.data, turned, 12);
  npy_free(&a);
}
END_TEST

START_TEST(npy_refusals) {
  static const struct {
    const char *header, *text;
  } cases[] = {
      {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", "type 'c8' are not supported"},
      {"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "type 'O' are not supported"},
      {"{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,)}", "records"},
      {"{'descr': '<U3', 'fortran_order': False, 'shape': (1,)}", "arrays of texts"},
      {"{'descr': '<U99', 'fortran_order': False, 'shape': ()}", "truncated"},
      {"{'descr': '<U9x', 'fortran_order': False, 'shape': ()}", "bad descr"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (9,)}", "truncated"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "truncated"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "bad shape"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "bad shape"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1)}", "bad shape"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': "
       "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)}", "more than 16"},
      {"{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", "bad fortran_order"},
      {"{'descr': '<f4', 'shape': (1,)}", "an entry is missing"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}", "unknown key 'more'"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)", "no closing"},
      {"[]", "no dictionary"},
      {"", "no dictionary"}};
  unsigned char file[512], data[16] = {0};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    size_t n = npy_text(file, 1, cases[i].header, data, sizeof data);
    FAILS(read_npy(file, n), cases[i].text);
    ck_assert_ptr_nonnull(strstr(err, "x.npy: "));
  }
  FAILS(read_npy("PK\3\4hello world", 15), "not an NPY file: bad signature");
  FAILS(read_npy("\x93NUMPY\4\0\0\0\0\0", 12), "version 4.0");
  struct npy_array a;
  FAILS(npy_read("no/such.npy", &a, err), "no/such.npy: ");
  FAILS(npy_read(folder, &a, err), "is a folder");
}
END_TEST

START_TEST(npy_conversions) {
  double doubles[3] = {1.5, -2, 1e30};
  int64_t shape = 3, whole[3];
  float out[3];
  struct npy_array a = npy_view(NPY_F64, 1, &shape, doubles);
  OK(npy_to_float(&a, out));
  ck_assert(out[0] == 1.5f && out[1] == -2.0f && out[2] == 1e30f);
  ck_assert_int_eq(npy_to_int64(&a, whole), -1);
  doubles[0] = 7, doubles[2] = -9e15;
  OK(npy_to_int64(&a, whole));
  ck_assert(whole[0] == 7 && whole[1] == -2 && whole[2] == -9000000000000000);
  uint64_t large[3] = {1, UINT64_MAX, 3};
  a = npy_view(NPY_U64, 1, &shape, large);
  ck_assert_int_eq(npy_to_int64(&a, whole), -1);
  a = npy_view_text("no number");
  ck_assert_int_eq(npy_to_float(&a, out), -1);
  for (uint32_t h = 0; h < 65536; h++) {
    float value = npy_half_to_float((uint16_t)h);
    if ((h & 0x7c00) == 0x7c00 && (h & 0x3ff))
      ck_assert(isnan(value));
    else
      ck_assert_uint_eq(npy_float_to_half(value), h);
  }
  ck_assert_uint_eq(npy_float_to_half(65519.9f), 0x7bff);
  ck_assert_uint_eq(npy_float_to_half(65520.0f), 0x7c00);
  ck_assert_uint_eq(npy_float_to_half(1.0f + 1.0f / 2048), 0x3c00); /* a tie, to even */
  ck_assert_uint_eq(npy_float_to_half(1.0f + 3.0f / 2048), 0x3c02);
  ck_assert_uint_eq(npy_float_to_half(ldexpf(1, -25)), 0);
  ck_assert_uint_eq(npy_float_to_half(ldexpf(1.001f, -25)), 1);
  ck_assert_uint_eq(npy_float_to_half(-INFINITY), 0xfc00);
}
END_TEST

START_TEST(npy_damage) {
  unsigned char file[512], data[48] = {1};
  size_t n = npy_text(file, 1, "{'descr': '>f4', 'fortran_order': True, 'shape': (3, 4), }\n", data,
                      48);
  damage(read_npy, file, n, 4000);
  n = npy_text(file, 2, "{'descr': '<U4', 'fortran_order': False, 'shape': (), }\n", data, 16);
  damage(read_npy, file, n, 2000);
}
END_TEST

/* ---- NPZ ---- */

static const char text[] = "{\"sum\": 1.25, \"label\": \"caf\xc3\xa9 \xf0\x9f\x98\x80\"}";

static void write_npz(const char *path, int deflate) {
  struct npz_writer *w;
  float x[600];
  int64_t labels[3] = {7, 8, 9}, shapes[2] = {20, 30}, n = 3;
  for (int i = 0; i < 600; i++) x[i] = (float)(i / 50);
  struct npy_array a = npy_view(NPY_F32, 2, shapes, x), b = npy_view(NPY_I64, 1, &n, labels);
  OK(npz_create(path, deflate, &w, err));
  OK(npz_add(w, "relevance", &a, err));
  OK(npz_add(w, "labels", &b, err));
  OK(npz_add_text(w, "provenance", text, err));
  OK(npz_add_text(w, "empty", "", err));
  FAILS(npz_add(w, "labels", &b, err), "already there");
  ck_assert_int_eq(access(path, F_OK), -1); /* nothing stands there before the end */
  OK(npz_finish(w, err));
}

START_TEST(npz_round_trip) {
  for (int deflate = 0; deflate < 2; deflate++) {
    const char *path = path_of("a.npz");
    struct npz *z;
    struct npy_array a;
    struct stat st;
    write_npz(path, deflate);
    ck_assert(stat(path, &st) == 0 && (deflate ? st.st_size < 2000 : st.st_size > 2400));
    OK(npz_open(path, &z, err));
    ck_assert_uint_eq(npz_count(z), 4);
    ck_assert_str_eq(npz_name(z, 0), "relevance");
    ck_assert_int_eq(npz_find(z, "provenance"), 2);
    ck_assert_int_eq(npz_find(z, "nothing"), -1);
    OK(npz_get(z, "relevance", &a, err));
    ck_assert(a.type == NPY_F32 && a.rank == 2 && a.shape[1] == 30);
    ck_assert(((float *)a.data)[599] == 11.0f);
    npy_free(&a);
    OK(npz_get(z, "provenance", &a, err));
    ck_assert_int_eq(a.type, NPY_TEXT);
    ck_assert_str_eq(a.data, text);
    ck_assert_uint_eq(a.bytes, strlen(text));
    npy_free(&a);
    OK(npz_get(z, "empty", &a, err));
    ck_assert_str_eq(a.data, "");
    npy_free(&a);
    FAILS(npz_get(z, "nothing", &a, err), "a.npz: no array 'nothing'");
    npz_close(z);
    remove(path);
  }
}
END_TEST

static void put(unsigned char *p, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) p[i] = (unsigned char)(value >> 8 * i);
}

/* One stored member whose sizes and offset, and the directory's, stand in zip64 records only. */
static size_t zip64(unsigned char *out, const unsigned char *member, size_t n) {
  memset(out, 0, 1024);
  uint32_t crc = (uint32_t)crc32(0, member, (uInt)n);
  unsigned char *p = out;
  put(p, 0x04034b50, 4);
  put(p + 26, 5, 2);
  memcpy(p + 30, "a.npy", 5);
  memcpy(p + 35, member, n);
  size_t directory = 35 + n;
  p = out + directory;
  put(p, 0x02014b50, 4);
  put(p + 16, crc, 4);
  put(p + 20, 0xffffffff, 4);
  put(p + 24, 0xffffffff, 4);
  put(p + 28, 5, 2);
  put(p + 30, 28, 2);
  put(p + 42, 0xffffffff, 4);
  memcpy(p + 46, "a.npy", 5);
  put(p + 51, 1, 2);
  put(p + 53, 24, 2);
  put(p + 55, n, 8);
  put(p + 63, n, 8);
  p += 79;
  put(p, 0x06064b50, 4);
  put(p + 4, 44, 8);
  put(p + 32, 1, 8);
  put(p + 40, 79, 8);
  put(p + 48, directory, 8);
  put(p + 56, 0x07064b50, 4);
  put(p + 64, directory + 79, 8);
  p += 76;
  put(p, 0x06054b50, 4);
  put(p + 10, 0xffff, 2);
  put(p + 12, 0xffffffff, 4);
  put(p + 16, 0xffffffff, 4);
  return (size_t)(p + 22 - out);
}

START_TEST(npz_zip64) {
  unsigned char file[1024], *member;
  float x[2] = {3, 4};
  int64_t two = 2;
  size_t n;
  struct npy_array a = npy_view(NPY_F32, 1, &two, x);
  OK(npy_format(&a, &member, &n, err));
  size_t size = zip64(file, member, n);
  struct npz *z;
  OK(npz_parse(file, size, "x.npz", &z, err));
  OK(npz_get(z, "a", &a, err));
  ck_assert(a.count == 2 && ((float *)a.data)[1] == 4.0f);
  npy_free(&a);
  npz_close(z);
  damage(read_npz, file, size, 3000);
  free(member);
}
END_TEST

START_TEST(npz_damage) {
  const char *path = path_of("b.npz");
  for (int deflate = 0; deflate < 2; deflate++) {
    unsigned char *bytes;
    size_t size;
    write_npz(path, deflate);
    OK(file_read(path, 0, &bytes, &size, err));
    damage(read_npz, bytes, size, 1500);
    bytes[60] ^= 1;
    FAILS(read_npz(bytes, size), deflate ? "damaged" : "wrong checksum");
    FAILS(read_npz(bytes, size - 300), "truncated: the NPZ directory is missing");
    free(bytes);
    remove(path);
  }
  FAILS(read_npz("hello", 5), "not an NPZ file");
}
END_TEST

START_TEST(npz_writing_fails) {
  struct npz_writer *w;
  FAILS(npz_create("no/such/folder.npz", 1, &w, err), "no/such/folder.npz: ");
  OK(npz_create(path_of("c.npz"), 1, &w, err));
  OK(npz_add_text(w, "t", "x", err));
  npz_abandon(w);
  ck_assert_int_eq(access(path_of("c.npz"), F_OK), -1);
  ck_assert_int_eq(access(path_of("c.npz.part"), F_OK), -1);
  if (access("/dev/full", W_OK) == 0) {
    OK(npz_create("/dev/full", 1, &w, err));
    OK(npz_add_text(w, "t", "x", err));
    FAILS(npz_finish(w, err), "/dev/full: cannot be written: ");
    ck_assert_int_eq(access("/dev/full", F_OK), 0);
  }
}
END_TEST

/* ---- IDX ---- */

static size_t gzipped(const unsigned char *in, size_t n, unsigned char *out, size_t capacity) {
  z_stream z;
  unsigned char *copy = malloc(n);
  memcpy(copy, in, n);
  memset(&z, 0, sizeof z);
  ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, 0), Z_OK);
  z.next_in = copy;
  z.avail_in = (uInt)n;
  z.next_out = out;
  z.avail_out = (uInt)capacity;
  ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
  deflateEnd(&z);
  free(copy);
  return z.total_out;
}

START_TEST(idx_plain_and_gzipped) {
  unsigned char file[44] = {0, 0, 0x0b, 2, 0, 0, 0, 4, 0, 0, 0, 4}, packed[256];
  for (int i = 0; i < 16; i++) file[12 + 2 * i] = 0xff, file[13 + 2 * i] = (unsigned char)i;
  size_t n = gzipped(file, sizeof file, packed, sizeof packed);
  for (int gz = 0; gz < 2; gz++) {
    const unsigned char *bytes = gz ? packed : file;
    size_t size = gz ? n : sizeof file;
    struct npy_array a;
    ck_assert_int_eq(idx_sniff(bytes, size), 1);
    OK(idx_parse(bytes, size, "x", &a, err));
    ck_assert(a.type == NPY_I16 && a.rank == 2 && a.shape[0] == 4 && a.shape[1] == 4);
    for (int i = 0; i < 16; i++) ck_assert_int_eq(((int16_t *)a.data)[i], i - 256);
    npy_free(&a);
    FAILS(read_idx(bytes, size - 1), gz ? "damaged" : "truncated");
    damage(read_idx, bytes, size, 3000);
  }
  file[4] = 0x7f;
  n = gzipped(file, sizeof file, packed, sizeof packed);
  FAILS(read_idx(packed, n), "truncated: fewer elements than the IDX header says");
  FAILS(read_idx(file, sizeof file), "truncated: fewer elements");
  FAILS(read_idx("\0\0\x07\1", 4), "not an IDX file");
  ck_assert_int_eq(idx_sniff("\0", 1), 0);
  ck_assert_int_eq(idx_sniff("\x1f\x8b", 2), 0);
  static const unsigned char none[8] = {0, 0, 8, 1};
  OK(read_idx(none, 8));
}
END_TEST

/* ---- SHA-256, text, files ---- */

START_TEST(sha256_vectors) { /* FIPS 180-4 examples */
  char hex[65], again[65];
  sha256_hex("", 0, hex);
  ck_assert_str_eq(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  sha256_hex("abc", 3, hex);
  ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, hex);
  ck_assert_str_eq(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  char *a = malloc(1000000);
  memset(a, 'a', 1000000);
  sha256_hex(a, 1000000, hex);
  ck_assert_str_eq(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  OK(file_write(path_of("a"), a, 1000000, err));
  OK(sha256_file(path_of("a"), again, err));
  ck_assert_str_eq(hex, again);
  struct sha256 s;
  unsigned char digest[32];
  sha256_init(&s);
  for (size_t at = 0, n; at < 1000000; at += n) {
    n = chance() % 200;
    if (n > 1000000 - at) n = 1000000 - at;
    sha256_update(&s, a + at, n);
  }
  sha256_final(&s, digest);
  ck_assert(digest[0] == 0xcd && digest[31] == 0xd0);
  free(a);
  FAILS(sha256_file("no/such", hex, err), "no/such: ");
}
END_TEST

START_TEST(utf8_steps) {
  static const struct {
    const char *text;
    size_t step;
    uint32_t code;
  } cases[] = {{"a", 1, 'a'}, {"", 0, 0}, {"\xc3\xa9", 2, 0xe9}, {"\xe2\x82\xac", 3, 0x20ac},
               {"\xf0\x9f\x98\x80", 4, 0x1f600}, {"\xc3", 1, 0xfffd}, {"\xff", 1, 0xfffd},
               {"\xe2\x82", 2, 0xfffd}, {"\xc0\x80", 2, 0xfffd}, {"\xed\xa0\x80", 3, 0xfffd},
               {"\xf4\x90\x80\x80", 4, 0xfffd}, {"\x80", 1, 0xfffd}, {"\xe2" "a", 1, 0xfffd}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    uint32_t code = 1;
    ck_assert_uint_eq(utf8_next(cases[i].text, &code), cases[i].step);
    ck_assert_uint_eq(code, cases[i].code);
    char out[5] = {0};
    if (code != 0xfffd && code != 0) {
      ck_assert_uint_eq(utf8_put(code, out), cases[i].step);
      ck_assert_str_eq(out, cases[i].text);
    }
  }
}
END_TEST

START_TEST(files) {
  unsigned char *bytes;
  size_t size;
  OK(file_write(path_of("f"), "first", 5, err));
  OK(file_write(path_of("f"), "second", 6, err));
  ck_assert_int_eq(access(path_of("f.part"), F_OK), -1);
  OK(file_read(path_of("f"), 6, &bytes, &size, err));
  ck_assert(size == 6 && memcmp(bytes, "second", 6) == 0);
  free(bytes);
  FAILS(file_read(path_of("f"), 5, &bytes, &size, err), "larger than 5 bytes");
  OK(file_write(path_of("f"), "", 0, err));
  OK(file_read(path_of("f"), 0, &bytes, &size, err));
  ck_assert(size == 0 && bytes != NULL);
  free(bytes);
  struct file_out f;
  OK(file_write(path_of("g"), "kept", 4, err));
  OK(file_out_open(&f, path_of("g"), err));
  OK(file_out_put(&f, "lost", 4, err));
  file_out_abandon(&f);
  OK(file_read(path_of("g"), 0, &bytes, &size, err));
  ck_assert(size == 4 && memcmp(bytes, "kept", 4) == 0);
  free(bytes);
  ck_assert_int_eq(err_set(err, "two\nlines %0300d", 1), -1);
  ck_assert(strlen(err) == 255 && !strchr(err, '\n'));
}
END_TEST

static void make_folder(void) {
  ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void clear_folder(void) {
  static const char *const names[] = {"a", "f", "g", "a.npz", "b.npz"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) remove(path_of(names[i]));
  remove(folder);
}

int main(void) {
  Suite *suite = suite_create("tool formats");
  TCase *t = tcase_create("all");
  tcase_add_unchecked_fixture(t, make_folder, clear_folder);
  tcase_add_test(t, npy_round_trip);
  tcase_add_test(t, npy_orders);
  tcase_add_test(t, npy_refusals);
  tcase_add_test(t, npy_conversions);
  tcase_add_test(t, npy_damage);
  tcase_add_test(t, npz_round_trip);
  tcase_add_test(t, npz_zip64);
  tcase_add_test(t, npz_damage);
  tcase_add_test(t, npz_writing_fails);
  tcase_add_test(t, idx_plain_and_gzipped);
  tcase_add_test(t, sha256_vectors);
  tcase_add_test(t, utf8_steps);
  tcase_add_test(t, files);
  suite_add_tcase(suite, t);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
