/* The platform (POSIX). */
#define _POSIX_C_SOURCE 200809L
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

static int io_error(xai_error *err, const char *path, const char *what, int number) {
  char cause[128] = "";
  if (strerror_r(number, cause, sizeof cause)) cause[0] = 0;
  return xai__fail(err, XAI_E_IO, path, "cannot %s: %s", what, cause);
}

int xai__file_map(const char *path, xai__file *f, xai_error *err) {
  memset(f, 0, sizeof *f);
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return io_error(err, path, "open", errno);
  struct stat st;
  int status = XAI_OK;
  if (fstat(fd, &st)) {
    status = io_error(err, path, "read", errno);
  } else if (!S_ISREG(st.st_mode)) {
    status = xai__fail(err, XAI_E_IO, path, "not a regular file");
  } else if (st.st_size == 0) {
    status = xai__fail(err, XAI_E_MODEL, path, "the file is empty");
  } else {
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) {
      status = io_error(err, path, "map", errno);
    } else {
      f->data = p;
      f->size = (size_t)st.st_size;
      f->mapped = true;
    }
  }
  close(fd);
  return status;
}

void xai__file_unmap(xai__file *f) {
  if (f->mapped) munmap((void *)(uintptr_t)f->data, f->size);
  memset(f, 0, sizeof *f);
}

int xai__processors(void) {
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n < 1 ? 1 : n > 256 ? 256 : (int)n;
}

double xai__seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
