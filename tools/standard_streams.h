// The descriptors 0, 1 and 2, when who called us has closed one. The next thing
// that is opened would take its number, /dev/fuse say, and whoever prints a
// message or detaches from the terminal would write over it.
#pragma once

namespace ufs {

// Fills each gap with something that can be neither read from nor written to in
// its direction (EBADF), as what is closed. To be called first of all. False
// where there is not even a /dev/null: then it is better to do nothing.
bool FillStandardStreams();

}  // namespace ufs
