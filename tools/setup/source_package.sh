# What the scripts share that put a static library under PREFIX which Debian 12
# has not, or not new enough. To be sourced, with `name` set to the library's.
#
# It is built of a source package of Debian's, found on the mirror that apt
# already uses and checked by apt's own chain of trust (signed Release file, hash
# of the index, hash of each source file). The suite is known to a private apt
# configuration only: the host's sources, lists and packages stay as they are.

say() { printf '%s\n' "$name: $*"; }
die() { printf '%s\n' "$name: $*" >&2; exit 1; }

# require TOOL...
require() {
  local tool
  for tool in apt-get dpkg-source "$@"; do
    command -v "$tool" >/dev/null || die "$tool is missing: install what tools/setup/packages lists first"
  done
}

# begin PREFIX: sets `prefix`, `work` (removed at the end) and `log`.
begin() {
  [[ $# == 1 && $1 != -* ]] || {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
    exit 2
  }
  mkdir -p "$1" || die "cannot create $1: choose a directory that you may write"
  prefix=$(cd "$1" && pwd)
  work=$(mktemp -d)
  log=$prefix/$name.log
  readonly prefix work log
  trap 'rm -rf "$work"' EXIT
}

# One builder per PREFIX; the others wait, and may find the work done.
lock() {
  exec 9>"$prefix/.lock"
  flock 9
  : >"$log"
}

# run WHAT COMMAND...: says WHAT, runs the command into the log, shows the log if it fails.
run() {
  say "$1"
  if ! "${@:2}" >>"$log" 2>&1 9>&-; then
    tail -n 30 "$log" >&2
    die "failed: $1 (whole log: $log)"
  fi
}

# The main Debian archive among the configured sources: the one that serves
# this release's own suite, not its security updates.
mirror() {
  local codename
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk -v name="$codename" '($1 == name || $1 == "stable" || $1 == "oldstable") && !/security/ { print $2; exit }'
}

private_apt() { apt-get -c "$work/apt.conf" "$@"; }

# The clears keep the host's hooks (caches to refresh, messages to send) out of this.
configure_apt() {
  local uri=$1 suite=$2
  rm -rf "$work/apt"
  mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/src"
  chmod 755 "$work" "$work/apt"
  printf 'deb-src [signed-by=%s] %s %s main\n' \
    /usr/share/keyrings/debian-archive-keyring.gpg "$uri" "$suite" >"$work/apt/sources.list"
  cat >"$work/apt.conf" <<CONF
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::Etc::sourcelist "$work/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$work/apt/lists";
Dir::Cache "$work/apt/cache";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
CONF
}

# fetch PACKAGE VERSIONS SUITE...: goes into the unpacked source of the first
# suite that has the package in a version that the pattern matches.
fetch() {
  local package=$1 versions=$2 uri suite
  shift 2
  uri=$(mirror)
  [[ $uri ]] || die "no Debian archive is configured in apt (apt-get indextargets): add one, for example
  deb http://deb.debian.org/debian bookworm main"
  for suite in "$@"; do
    configure_apt "$uri" "$suite"
    run "reading the source index of $suite from $uri" private_apt update
    private_apt -qq --print-uris --download-only source "$package" >"$work/uris" 2>>"$log" || continue
    grep -Eq "${package}_($versions)[^ ]*\.dsc" "$work/uris" || continue
    # apt fetches as the user _apt; the directory must be open to it.
    [[ $EUID != 0 ]] || chown _apt "$work/src" 2>/dev/null || true
    cd "$work/src"
    run "fetching and checking the source package" private_apt source "$package"
    cd "$package"-*/
    return
  done
  die "no suite of $* on $uri has $package in a version that serves: the mirror may be too old"
}
