#include "tests/semantics/overlay_faults.h"

namespace ufs::test {

const std::map<std::string, std::string>& OverlayFaults() {
  static const auto* const faults = new std::map<std::string, std::string>{
      {"Attr.FstatOfAnUnlinkedFileSaysNoLinks",
       "a lower file that was unlinked while open still shows its lower nlink"},
      {"Remove.IsAChangeOfWhoeverHasItOpen",
       "a descriptor of a lower file shows the layer's attributes"},
      {"Unlinked.RenameOverAnOpenFileKeepsTheOldOneAlive",
       "a lower file that was replaced while open still shows its lower nlink"},
      {"Remove.ADirectoryInUseKeepsItsTimes",
       "the whiteouts in a directory are removed before it is, and move its "
       "times"},
      {"Unlinked.AttributesCanStillBeSet",
       "an unlinked lower file cannot be copied up any more"},
      {"Unlinked.AttributesOfADirectoryCanStillBeSet",
       "a removed lower directory cannot be copied up any more"},
      {"Time.BirthTimeIsToldAndStays",
       "the birth time is that of whichever copy is in use"},
      {"Seek.AWriteKeepsTheHoles",
       "copy-up fills holes that are smaller than one of its chunks (1 MiB)"},
      {"Mmap.AReadOnlySharedMappingOfALowerFileSeesLaterWrites",
       "documented non-standard behaviour (b): a MAP_SHARED mapping of a lower "
       "file does not see later writes"},
      {"Acl.OneThatIsNotThereIsRemovedAlready",
       "removing an ACL that a lower file does not have is ENODATA"},
      {"RenameDir.LongPathsAreNoLimit",
       "redirects are limited by redirect_max (256), beyond that is EXDEV"},
      {"EveryForm/Whiteout.InTheUpperHidesToo/TrustedXattr",
       "xattr whiteouts are read in lower layers only (\"whiteouts and opaque "
       "directories\" in the kernel's documentation)"},
      {"EveryForm/Whiteout.LeavesADirectoryThatCanBeRemoved/TrustedXattr",
       "the check for an empty directory does not know xattr whiteouts"},
      {"EveryForm/Whiteout.InTheBottomLayerIsInvisible/CharDevice",
       "a directory of a single layer is listed as it is, whiteouts included"},
  };
  return *faults;
}

}  // namespace ufs::test
