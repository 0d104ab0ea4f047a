/* Tasks in processes: outcomes in order, crashes of some, and stopping early. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "say.h"
#include "workers.h"

enum { TASKS = 40, CRASHED = 7 };

static void task(void *ctx, size_t i, struct outcome *out) {
  (void)ctx;
  if (i % 10 == 3) raise(SIGKILL);
  if (i % 10 == 6) _exit(5);
  if (i % 4 == 0) nanosleep(&(struct timespec){0, 3000000}, NULL);
  out->value = (int)i;
  snprintf(out->text, sizeof out->text, "task %zu", i);
}

static int collect(void *ctx, size_t i, const struct outcome *out) {
  size_t *n = ctx;
  char text[64];
  ck_assert_uint_eq(i, (*n)++);
  snprintf(text, sizeof text, "task %zu", i);
  if (i % 10 == 3) snprintf(text, sizeof text, "the process ended (signal %d)", SIGKILL);
  if (i % 10 == 6) snprintf(text, sizeof text, "the process ended (exit code 5)");
  ck_assert_str_eq(out->text, text);
  ck_assert_int_eq(out->value, i % 10 == 3 || i % 10 == 6 ? CRASHED : (int)i);
  return 0;
}

START_TEST(outcomes_come_in_order_and_crashes_are_told) {
  size_t n = 0;
  ck_assert_int_eq(workers_run(TASKS, (size_t)_i, CRASHED, task, collect, &n), 0);
  ck_assert_uint_eq(n, TASKS);
}
END_TEST

static int give_up(void *ctx, size_t i, const struct outcome *out) {
  (void)ctx, (void)out;
  return i == 2 ? 9 : 0;
}

START_TEST(the_receiver_may_stop) {
  ck_assert_int_eq(workers_run(TASKS, 3, CRASHED, task, give_up, NULL), 9);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("workers");
  TCase *tc = tcase_create("workers");
  tcase_add_loop_test(tc, outcomes_come_in_order_and_crashes_are_told, 0, 5);
  tcase_add_test(tc, the_receiver_may_stop);
  suite_add_tcase(suite, tc);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? 1 : 0;
}
