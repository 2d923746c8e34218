/* Move the machine's clock by MACHINE_CLOCK_AHEAD seconds, for the processes that preload this library (LD_PRELOAD).

   `make test-dates` builds and uses it; docs/decisions/0068 says why not libfaketime. The environment is read once,
   when the library is loaded. The monotonic clocks stay, and so do the times of files. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static time_t ahead_seconds;

__attribute__((constructor)) static void read_offset(void) {
  const char *text = getenv("MACHINE_CLOCK_AHEAD");
  ahead_seconds = text ? atoll(text) : 0;
}

/* The version matters for pthread_cond_timedwait: the C library also has an older, incompatible one. */
#if defined(__x86_64__)
#define CONDITION_VERSION "GLIBC_2.3.2"
#else
#define CONDITION_VERSION "GLIBC_2.17"
#endif

#define REAL(name)                                                                   \
  ({                                                                                 \
    static __typeof__(name) *real;                                                   \
    if (!real) real = (__typeof__(real))dlvsym(RTLD_NEXT, #name, CONDITION_VERSION); \
    if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, #name);                     \
    real;                                                                            \
  })

static int is_wall_clock(clockid_t id) { return id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE; }

int clock_gettime(clockid_t id, struct timespec *now) {
  int status = REAL(clock_gettime)(id, now);
  if (status == 0 && is_wall_clock(id)) now->tv_sec += ahead_seconds;
  return status;
}

int timespec_get(struct timespec *now, int base) {
  return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  int status = REAL(gettimeofday)(now, zone);
  if (status == 0) now->tv_sec += ahead_seconds;
  return status;
}

time_t time(time_t *copy) {
  time_t now = REAL(time)(NULL) + ahead_seconds;
  if (copy) *copy = now;
  return now;
}

/* The kernel waits by the clock that is not moved. */
static struct timespec unmoved(const struct timespec *deadline) {
  return (struct timespec){deadline->tv_sec - ahead_seconds, deadline->tv_nsec};
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict deadline) {
  struct timespec end = unmoved(deadline);
  /* The condition knows its clock, but does not tell: no machine has run for 30 years, and no wall clock shows 2001. */
  int is_wall = deadline->tv_sec > 1000000000;
  return REAL(pthread_cond_timedwait)(cond, mutex, is_wall ? &end : deadline);
}

int pthread_cond_clockwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, clockid_t id,
                           const struct timespec *restrict deadline) {
  struct timespec end = unmoved(deadline);
  return REAL(pthread_cond_clockwait)(cond, mutex, id, is_wall_clock(id) ? &end : deadline);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict deadline) {
  struct timespec end = unmoved(deadline);
  return REAL(pthread_mutex_timedlock)(mutex, &end);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict deadline) {
  struct timespec end = unmoved(deadline);
  return REAL(sem_timedwait)(semaphore, &end);
}

int sem_clockwait(sem_t *restrict semaphore, clockid_t id, const struct timespec *restrict deadline) {
  struct timespec end = unmoved(deadline);
  return REAL(sem_clockwait)(semaphore, id, is_wall_clock(id) ? &end : deadline);
}

int clock_nanosleep(clockid_t id, int flags, const struct timespec *request, struct timespec *remaining) {
  struct timespec end = unmoved(request);
  int is_moved = is_wall_clock(id) && (flags & TIMER_ABSTIME);
  return REAL(clock_nanosleep)(id, flags, is_moved ? &end : request, remaining);
}
