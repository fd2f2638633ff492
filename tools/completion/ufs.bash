# bash completion for ufs(1)
_ufs() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  local verb=${COMP_WORDS[1]}
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W 'mount umount stat diff commit squash complete layer store run ps exec logs attach stop kill pause unpause wait rm inspect top stats volume doctor oci help --version --help' -- "$cur")
    return
  fi
  if [[ $verb == mount && $prev == -o ]]; then
    local done='' last=$cur
    [[ $cur == *,* ]] && done=${cur%,*}, last=${cur##*,}
    mapfile -t COMPREPLY < <(compgen -P "$done" -W 'lowerdir= upperdir= workdir= redirect_dir=
      metacopy= partial= index= volatile fsync= writeback=1 userxattr whiteout= noacl uidmapping= gidmapping=
      squash_to_root squash_to_uid= squash_to_gid= transport=auto transport=io_uring
      transport=classic timeout= allow_other auto_unmount subtype= fsname= ro nosuid nodev noexec' -- "$last")
    compopt -o nospace
    return
  fi
  case $verb in
    exec | logs | attach | stop | kill | pause | unpause | wait | rm | inspect | top | stats)
      if [[ $cur != -* ]]; then
        local all=''
        [[ $verb == rm || $verb == logs || $verb == inspect || $verb == wait ]] && all=--all
        mapfile -t COMPREPLY < <(compgen -W "$(ufs ps $all --quiet 2> /dev/null)" -- "$cur")
        return
      fi
      ;;
  esac
  if [[ $verb == volume ]]; then
    local words='create ls inspect rm prune'
    if ((COMP_CWORD > 2)); then
      case ${COMP_WORDS[2]} in
        ls) words='--quiet --json --help' ;;
        prune) words='--force --help' ;;
        *) words=$(ufs volume ls --quiet 2> /dev/null) ;;
      esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    return
  fi
  if [[ $verb == layer || $verb == store ]]; then
    local inner=${COMP_WORDS[2]} words
    if ((COMP_CWORD == 2)); then
      words='df gc check repair'
      [[ $verb == layer ]] && words='import export ls show tree diff tag untag verify rm'
    elif [[ $prev == --store ]]; then
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -d -- "$cur")
      return
    elif [[ $inner == export && $prev == --format ]]; then
      words='tar dir oci oci-archive docker-archive'
    elif [[ $inner == export && $prev == --compress ]]; then
      words='none gzip zstd'
    elif [[ $cur == -* ]]; then
      words='--store --help'
      case $inner in
        import) words+=' --name --image --platform --layer --max-size --max-ratio --no-keep-blob --json' ;;
        export) words+=' --format --compress' ;;
        ls) words+=' --json --quiet' ;;
        rm) words+=' --force --no-gc' ;;
        gc) words+=' --unnamed --all --dry-run --json' ;;
        tag | untag) ;;
        *) words+=' --json' ;;
      esac
    elif [[ $inner == import ]]; then
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      return
    elif [[ $verb == layer ]]; then
      words=$(ufs layer ls 2> /dev/null | awk 'NR > 1 && $1 != "-" { print $1 }')
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    return
  fi
  if [[ $cur == -* ]]; then
    local words=--help
    case $verb in
      mount) words='-o --upper --work --store --ro -f --foreground -d --debug --help' ;;
      umount) words='--lazy --help' ;;
      stat) words='--json --watch --help' ;;
      commit) words='--name --layer --work --store --json --userxattr --help' ;;
      squash) words='--name --store --json --help' ;;
      run) words='-i -t -it -d --name -l --label --rm --keep --upper --store --detach-keys --restart --stop-signal -e --env --env-file
        -w --workdir -u --user --entrypoint --init --ulimit --cap-add --cap-drop --security-opt --sysctl --hostname
        --read-only -v --volume --mount --tmpfs --device --network -p --publish -m --memory --memory-swap --memory-reservation
        --cpus --cpuset-cpus --cpuset-mems --cpu-shares --pids-limit --blkio-weight --help' ;;
      exec) words='-i -t -it -d -e --env --env-file -w --workdir -u --user --help' ;;
      ps) words='--all --filter --quiet --json --help' ;;
      logs) words='--follow --timestamps --tail --help' ;;
      attach) words='--detach-keys --no-stdin --no-sig-proxy --help' ;;
      stop) words='--time --help' ;;
      kill) words='--signal --help' ;;
      rm) words='--force --help' ;;
      top | stats | doctor) words='--json --help' ;;
      oci) words='--root --log --log-format --cgroup-manager --version --help' ;;
      diff) words='--json --userxattr --help' ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    return
  fi
  if [[ $verb == oci && $prev == oci ]]; then
    mapfile -t COMPREPLY < <(compgen -W 'create start run exec state kill delete list ps pause resume
      update events spec features' -- "$cur")
    return
  fi
  compopt -o filenames
  mapfile -t COMPREPLY < <(compgen -d -- "$cur")
}
complete -F _ufs ufs
