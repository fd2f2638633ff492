// The runtime's messages in the words of `ufs run`: what it calls by its place
// in a config.json was asked for by an option, and nobody has seen that file.
#pragma once

#include "layerdb/base/result.h"

namespace ufs {

Error InOptionWords(const Error& error);

}  // namespace ufs
