// ufs-oci: the OCI runtime by itself. A program of its own because its callers
// start it several times a container, and what `ufs` is linked with costs more
// than its work does.
#include "tools/command.h"
#include "tools/out_of_memory.h"
#include "tools/standard_streams.h"

int main(int argc, char** argv) {
  ufs::EndWithoutMemory();
  return ufs::FillStandardStreams() ? ufs::RunOci(argc, argv)
                                    : ufs::kExitFailure;
}
