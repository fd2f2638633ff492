#include "fs/background_thread.h"

#include <pthread.h>
#include <sys/resource.h>

namespace ufs {

void BecomeBackgroundThread(const char* name) {
  constexpr int kNicest = 19;
  pthread_setname_np(pthread_self(), name);
  // Of this thread alone. One that cannot give way works all the same.
  (void)setpriority(PRIO_PROCESS, 0, kNicest);
}

}  // namespace ufs
