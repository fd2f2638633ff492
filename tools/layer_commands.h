// The verbs of `ufs layer` and `ufs store`, each in a file of its own.
#pragma once

namespace ufs {

int RunLayerImport(int argc, char** argv);
int RunLayerExport(int argc, char** argv);
int RunLayerImage(int argc, char** argv);
int RunLayerLs(int argc, char** argv);
int RunLayerShow(int argc, char** argv);
int RunLayerDiff(int argc, char** argv);
int RunLayerTree(int argc, char** argv);
int RunLayerRm(int argc, char** argv);
int RunLayerView(int argc, char** argv);
int RunLayerVerify(int argc, char** argv);
int RunLayerTag(int argc, char** argv);
int RunLayerUntag(int argc, char** argv);

int RunStoreDf(int argc, char** argv);
int RunStoreGc(int argc, char** argv);
int RunStoreCheck(int argc, char** argv);
int RunStoreRepair(int argc, char** argv);

}  // namespace ufs
