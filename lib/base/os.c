/* The platform (POSIX). */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE /* madvise */
#define _DEFAULT_SOURCE
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#ifdef SYS_openat2
#include <linux/openat2.h>
#endif
#endif

#include "base/error.h"

static int io_error(xai_error *err, const char *path, const char *what, int number) {
  char cause[128] = "";
  if (strerror_r(number, cause, sizeof cause)) cause[0] = 0;
  return xai__fail(err, XAI_E_IO, path, "cannot %s: %s", what, cause);
}

/* Maps an open file, and closes it. */
static int map(int fd, const char *path, xai__file *f, xai_error *err) {
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

int xai__file_map(const char *path, xai__file *f, xai_error *err) {
  memset(f, 0, sizeof *f);
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  return fd < 0 ? io_error(err, path, "open", errno) : map(fd, path, f, err);
}

/* A file below the open folder, one name of the path after the other; links are not followed. */
static int open_by_steps(int folder, const char *path) {
  char name[256];
  int at = dup(folder);
  errno = EXDEV;
  if (path[0] == '/') path = "..";
  while (at >= 0) {
    size_t n = strcspn(path, "/");
    bool last = !path[n];
    if (n >= sizeof name || (n == 2 && !memcmp(path, "..", 2))) {
      close(at);
      errno = n == 2 ? EXDEV : ENAMETOOLONG;
      return -1;
    }
    memcpy(name, n ? path : ".", n ? n : 1);
    name[n ? n : 1] = 0;
    int next = openat(at, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | (last ? 0 : O_DIRECTORY));
    int number = errno;
    struct stat st;
    bool is_link = next < 0 && !fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISLNK(st.st_mode);
    if (is_link) number = EXDEV;
    close(at);
    if (last || next < 0) {
      errno = number;
      return next;
    }
    at = next;
    path += n + 1;
  }
  return -1;
}

static int open_beneath(int folder, const char *path) {
#if defined SYS_openat2 && !defined XAI_NO_OPENAT2
  struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                         .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
  long fd = syscall(SYS_openat2, folder, path, &how, sizeof how);
  if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return (int)fd; /* old kernel, or not allowed */
#endif
  return open_by_steps(folder, path);
}

int xai__file_map_beneath(const char *folder, const char *path, xai__file *f, xai_error *err) {
  memset(f, 0, sizeof *f);
  int at = open(folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
  if (at < 0) return io_error(err, folder, "open", errno);
  int fd = open_beneath(at, path), number = errno;
  close(at);
  if (fd < 0 && (number == EXDEV || number == ELOOP))
    return xai__fail(err, XAI_E_MODEL, path, "'%s' leads out of folder '%s'", path, folder);
  return fd < 0 ? io_error(err, path, "open", number) : map(fd, path, f, err);
}

size_t xai__folder_length(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? (size_t)(slash - path) + 1 : 0;
}

void xai__file_unmap(xai__file *f) {
  if (f->mapped) munmap((void *)(uintptr_t)f->data, f->size);
  memset(f, 0, sizeof *f);
}

void xai__file_forget(const xai__file *f, const void *p, size_t n) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  const uintptr_t begin = (uintptr_t)f->data, at = (uintptr_t)p;
  if (!f->mapped || at < begin || n > f->size || at - begin > f->size - n) return;
  const uintptr_t first = (at + page - 1) / page * page, end = (at + n) / page * page;
  if (first < end) (void)madvise((void *)first, end - first, MADV_DONTNEED);
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
