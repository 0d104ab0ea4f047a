/* The tool's texts: escapes, base64, tokens on the terminal. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "tokens.h"

static void expect(struct text *t, const char *want) {
  char *s = text_finish(t);
  ck_assert_str_eq(s, want);
  free(s);
}

START_TEST(base64) { /* RFC 4648, section 10 */
  static const char *const rows[][2] = {{"", ""},           {"f", "Zg=="},         {"fo", "Zm8="},
                                        {"foo", "Zm9v"},    {"foob", "Zm9vYg=="},  {"fooba", "Zm9vYmE="},
                                        {"foobar", "Zm9vYmFy"}, {"\xff\xfe\xfd", "//79"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct text t = {0};
    text_base64(&t, (const unsigned char *)rows[i][0], strlen(rows[i][0]));
    expect(&t, rows[i][1]);
  }
}
END_TEST

START_TEST(escapes) {
  struct text t = {0};
  text_html(&t, "a<b>&'\"\n\x1b[1m\xc3\xa9\xff");
  expect(&t, "a&lt;b&gt;&amp;&#39;&quot;  [1m\xc3\xa9\xef\xbf\xbd");
  text_plain(&t, "a<b>\t\x1b\xc2\x9b\xc3\xa9");
  expect(&t, "a<b>   \xc3\xa9");
  text_add(&t, "%s", "x");
  for (int i = 0; i < 5000; i++) text_put(&t, "yz", 2);
  char *s = text_finish(&t);
  ck_assert(strlen(s) == 10001 && !strncmp(s, "xyzyz", 5) && !strcmp(s + 9999, "yz"));
  free(s);
}
END_TEST

START_TEST(tokens_on_a_terminal) {
  char *labels[] = {(char[]){"good"}, (char[]){"not"}, (char[]){"\x1b[2J"}};
  double R[] = {0, 0, 0, 1, -2, 0};
  struct tokens t = {3, labels, R};
  ck_assert(tokens_scale(&t, 0) == 0 && tokens_scale(&t, 1) == 2);
  char *s = tokens_terminal(&t, 1, HEATMAP_RED_BLUE, 80, false);
  ck_assert_str_eq(s, "good(+1) not(-2)  [2J(+0)\n");
  free(s);
  s = tokens_terminal(&t, 1, HEATMAP_RED_BLUE, 16, false); /* as wide as the first two */
  ck_assert_str_eq(s, "good(+1) not(-2)\n [2J(+0)\n");
  free(s);
  s = tokens_terminal(&t, 1, HEATMAP_RED_BLUE, 3, false); /* a word is never cut */
  ck_assert_str_eq(s, "good(+1)\nnot(-2)\n [2J(+0)\n");
  free(s);
  s = tokens_terminal(&t, 1, HEATMAP_RED_BLUE, 80, true);
  ck_assert_str_eq(s, "\x1b[38;2;0;0;0;48;2;246;134;106mgood\x1b[0m "
                      "\x1b[38;2;255;255;255;48;2;12;48;125mnot\x1b[0m "
                      "\x1b[38;2;0;0;0;48;2;255;255;255m [2J\x1b[0m\n");
  free(s);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("tool texts");
  TCase *t = tcase_create("all");
  tcase_add_test(t, base64);
  tcase_add_test(t, escapes);
  tcase_add_test(t, tokens_on_a_terminal);
  suite_add_tcase(suite, t);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed != 0;
}
