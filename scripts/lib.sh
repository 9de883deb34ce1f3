# What the programs in this folder share: find or install the tools, build when the sources changed. For bash; source it.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
setup=$root/.setup # logs, stamps and locks; nothing else is written outside the target folders

# Each argument is a line.
say() { printf '%s\n' "$@" >&2; }

fail() {
  say "$@"
  exit 1
}

# ---- tools ----------------------------------------------------------------------------------------------------------

# Succeeds for the home of a JDK (not a mere JRE) of version 25 or newer.
is_jdk() {
  local line version=
  [ -x "$1/bin/javac" ] && [ -r "$1/release" ] || return 1
  while IFS= read -r line; do
    case $line in JAVA_VERSION=*) version=${line//[^0-9.]/} ;; esac
  done < "$1/release"
  version=${version%%.*}
  [ -n "$version" ] && [ "$version" -ge 25 ]
}

# Sets JAVA_HOME to the first JDK that will do.
find_jdk() {
  local home compiler
  compiler=$(command -v javac || true)
  [ -z "$compiler" ] || compiler=$(readlink -f "$compiler")
  for home in "${JAVA_HOME:-}" "${compiler%/bin/javac}" /usr/lib/jvm/* "$HOME"/.sdkman/candidates/java/* "$HOME"/.jdks/* /opt/*; do
    if is_jdk "$home"; then
      export JAVA_HOME=$home
      return 0
    fi
  done
  return 1
}

# Debian's or Adoptium's name of a JDK 25, where the configured package sources have one.
jdk_package() {
  local name
  for name in temurin-25-jdk openjdk-25-jdk-headless; do
    if apt-cache show "$name" > /dev/null 2>&1; then
      printf '%s' "$name"
      return
    fi
  done
}

explain_jdk() {
  fail "Sparse VideoGen needs a JDK 25 or newer; none was found in JAVA_HOME, on the PATH, or under /usr/lib/jvm, ~/.sdkman, ~/.jdks and /opt." \
    "To get one, do one of these and try again:" \
    "  - add Adoptium's Debian packages (https://adoptium.net/installation/linux), then: apt-get install temurin-25-jdk" \
    "  - with SDKMAN (https://sdkman.io): sdk install java 25-tem" \
    "  - unpack any JDK 25 and set JAVA_HOME to its folder"
}

has_library() {
  local file
  for file in /lib/*/"$1" /usr/lib/*/"$1" /lib64/"$1" /usr/lib64/"$1"; do
    [ ! -e "$file" ] || return 0
  done
  return 1
}

declare -A package_of=([mvn]=maven [g++]=g++ [cmake]=cmake [make]=make)

# Makes sure of a JDK, the libraries that the natives load, and the named build tools.
require_tools() {
  local tool packages=() command
  if ! find_jdk; then
    command=$(jdk_package)
    [ -n "$command" ] || explain_jdk
    packages+=("$command")
  fi
  has_library libudev.so.1 || packages+=(libudev1) # ffmpeg's natives load it
  for tool in "$@"; do
    command -v "$tool" > /dev/null || packages+=("${package_of[$tool]}")
  done
  [ ${#packages[@]} -eq 0 ] || install_packages "${packages[@]}"
  find_jdk || explain_jdk
}

# Installs Debian packages where this user may, after naming them; says how to where not.
install_packages() {
  local as_root=() log=$setup/install.log apt=(apt-get install -y --no-install-recommends "$@")
  [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  if ! command -v apt-get > /dev/null; then
    fail "Missing: $*. Install these Debian packages, or what your system has in their place, and try again."
  fi
  if ! "${as_root[@]}" true 2> /dev/null; then
    fail "Missing Debian packages: $*. Install them and try again:" "  sudo ${apt[*]}"
  fi
  say "installing missing Debian packages: $*"
  mkdir -p "$setup"
  export DEBIAN_FRONTEND=noninteractive
  if ! { "${as_root[@]}" apt-get update -q && "${as_root[@]}" "${apt[@]}"; } < /dev/null > "$log" 2>&1; then
    tail -n 15 "$log" >&2
    fail "They could not be installed (the whole log: $log). Install them and try again:" "  ${as_root[*]:+sudo }${apt[*]}"
  fi
}

# ---- building -------------------------------------------------------------------------------------------------------

# Maven on the project in folder $1. Without these flags for its own JVM, JDK 25 prints warnings about Maven's libraries.
run_maven() {
  MAVEN_OPTS="${MAVEN_OPTS:-} --sun-misc-unsafe-memory-access=allow --enable-native-access=ALL-UNNAMED" \
    mvn -B -ntp -f "$1" "${@:2}"
}

require_maven() {
  local version
  version=$(mvn --version 2> /dev/null | sed -n 's/.*Apache Maven \([0-9.]*\).*/\1/p')
  case $version in
    3.[89].* | [4-9].*) ;;
    *) fail "Sparse VideoGen builds with Maven 3.8 or newer; $(command -v mvn) is ${version:-of an unknown version}." ;;
  esac
}

project_version() { sed -n 's|^  <version>\(.*\)</version>|\1|p' "$root/pom.xml"; }

# The command's jar; its manifest names what else belongs on the class path.
command_jar() { printf '%s' "$root/svg-cli/target/svg-cli-$(project_version).jar"; }

# Succeeds when no source is newer than the last build. Folders count too: they change when a file is added or deleted.
is_built() {
  [ -e "$(command_jar)" ] && [ -e "$setup/built" ] && [ ! "$root/pom.xml" -nt "$setup/built" ] &&
    [ -z "$(find "$root"/svg-{kernels-native,core,demo-model,models,cli} -mindepth 1 \
      \( -name target -o -path '*/src/test' \) -prune -o -newer "$setup/built" -print -quit)" ]
}

# Runs a command while no other build of this folder runs.
with_build_lock() {
  mkdir -p "$setup"
  exec {lock}> "$setup/lock"
  if ! flock --nonblock "$lock"; then
    say "waiting for another build of $root…"
    flock "$lock"
  fi
  "$@"
  exec {lock}>&-
}

# Builds the command line and all it needs, unless that was done; quiet, into a log.
build() {
  local log=$setup/build.log
  if is_built; then
    return
  fi
  require_tools mvn g++ cmake make
  require_maven
  say "building… (once; $log)"
  touch "$setup/building"
  if ! run_maven "$root" -q -pl svg-cli -am -Dmaven.test.skip=true -Dsvg.cuda=OFF package < /dev/null > "$log" 2>&1 {lock}>&-; then
    grep -F -m 8 '[ERROR] ' "$log" >&2 || tail -n 30 "$log" >&2
    explain_network "$log"
    fail "The build failed; the whole log: $log"
  fi
  mv "$setup/building" "$setup/built" # as old as the start: what changed meanwhile is built next time
}

explain_network() {
  if grep -qE 'Could not transfer|UnknownHostException|Unknown host|Network is unreachable|Connection refused|timed out' "$1"; then
    say "Maven could not reach its repository. The first build downloads about 200 MB: connect to the network, or name a mirror in ~/.m2/settings.xml."
  fi
}
