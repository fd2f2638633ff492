// The program that the model test puts into its trees and runs: it waits until
// its input ends and exits with 42. Small, as it is copied often: it starts
// without the C library, and calls of it only what needs no start-up.
#include <sys/syscall.h>
#include <unistd.h>

extern "C" [[noreturn]] void _start() {
  char byte = 0;
  while (syscall(SYS_read, 0, &byte, 1) > 0) {
  }
  for (;;) syscall(SYS_exit_group, 42);
}
