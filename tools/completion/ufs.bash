# bash completion for ufs(1)

# What --help lists, so that none is missing here.
_ufs_options() {
  ufs "$@" --help 2> /dev/null | sed -nE 's/^  (-[^ ]+).*/\1/p' | tr , '\n'
}
_ufs_mount_options() {
  ufs mount --help 2> /dev/null | sed -nE '/^Mount options/,/^$/s/^  ([a-z_]+\+?(=[^ ]*)?)( .*|$)/\1/p' |
    sed -E 's/=.*[A-Z].*/=/' | awk -F '[=|]' 'NF < 2 || $2 == "" { print; next }
      { for (i = 2; i <= NF; ++i) print $1 "=" $i }'
  printf '%s\n' nosuid nodev noexec
}
_ufs() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  local verb=${COMP_WORDS[1]}
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W 'mount umount stat diff commit squash trace complete layer store run ps exec logs attach stop restart kill pause unpause update wait port rm rename inspect top stats volume doctor oci help --version --help' -- "$cur")
    return
  fi
  if [[ $verb == mount && $prev == -o ]]; then
    local done='' last=$cur
    [[ $cur == *,* ]] && done=${cur%,*}, last=${cur##*,}
    mapfile -t COMPREPLY < <(compgen -P "$done" -W "$(_ufs_mount_options)" -- "$last")
    compopt -o nospace
    return
  fi
  case $verb in
    exec | logs | attach | stop | restart | kill | pause | unpause | update | wait | port | rm | rename | inspect | top | stats)
      if [[ $cur != -* ]]; then
        local all=''
        [[ $verb == rm || $verb == rename || $verb == logs || $verb == inspect || $verb == wait ]] && all=--all
        mapfile -t COMPREPLY < <(compgen -W "$(ufs ps $all --quiet 2> /dev/null)" -- "$cur")
        return
      fi
      ;;
    commit | diff | stat)
      if [[ $cur != -* && $prev != --@(layer|work|name|store|interval) ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -W "$(ufs ps --all --quiet 2> /dev/null)" -- "$cur"; compgen -d -- "$cur")
        return
      fi
      ;;
  esac
  if [[ $verb == volume ]]; then
    local words='create ls inspect rm prune'
    if ((COMP_CWORD > 2)); then
      words=$(ufs volume ls --quiet 2> /dev/null)
      [[ $cur == -* ]] && words=$(_ufs_options volume "${COMP_WORDS[2]}")
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    return
  fi
  if [[ $verb == trace ]]; then
    local words='record replay'
    if ((COMP_CWORD > 2)) && [[ $cur == -* ]]; then
      words=$(_ufs_options trace "${COMP_WORDS[2]}")
    elif ((COMP_CWORD > 2)); then
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      return
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    return
  fi
  if [[ $verb == layer || $verb == store ]]; then
    local inner=${COMP_WORDS[2]} words
    if ((COMP_CWORD == 2)); then
      words='df gc check repair'
      [[ $verb == layer ]] && words='import export image ls show tree diff tag untag view verify rm'
    elif [[ $prev == --store ]]; then
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -d -- "$cur")
      return
    elif [[ $inner == export && $prev == --format ]]; then
      words='tar dir oci oci-archive docker-archive'
    elif [[ $inner == export && $prev == --compress ]]; then
      words='none gzip zstd'
    elif [[ $cur == -* ]]; then
      words=$(_ufs_options "$verb" "$inner")
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
    mapfile -t COMPREPLY < <(compgen -W "$(_ufs_options "$verb")" -- "$cur")
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
