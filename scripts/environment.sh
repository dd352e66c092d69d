# What has to be on the machine, and how it is built. Sourced by ./dev.

readonly BUILD_PACKAGES=(
  build-essential cmake ninja-build ccache pkg-config protobuf-compiler protobuf-compiler-grpc
  libgrpc++-dev libprotobuf-dev libabsl-dev libpqxx-dev libpq-dev libsqlite3-dev libspdlog-dev
  libfmt-dev libcli11-dev libyaml-cpp-dev nlohmann-json3-dev libpg-query-dev libgtest-dev
  libgmock-dev libbenchmark-dev libboost-dev libcpp-httplib-dev libedit-dev libncurses-dev)
readonly TEST_PACKAGES=(postgresql-15 chromium)
readonly FUZZ_PACKAGES=(clang-14 libclang-rt-14-dev)
readonly CHECK_PACKAGES=(clang-format clang-tidy prometheus)

fail() {
  echo "dev: $*" >&2
  exit 1
}

as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  else
    command -v sudo >/dev/null || fail "needs root or sudo to run: $*"
    sudo "$@"
  fi
}

is_installed() {
  [[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]
}

# install_packages PACKAGE...: calls apt only when one is missing.
install_packages() {
  local package missing=()
  for package in "$@"; do
    if ! is_installed "$package"; then missing+=("$package"); fi
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  command -v apt-get >/dev/null ||
    fail "these Debian 12 packages are missing, and there is no apt-get to install them: ${missing[*]}"
  echo "dev: installing ${missing[*]}" >&2
  as_root apt-get update -q
  if [[ " ${missing[*]} " == *" postgresql-"* ]]; then
    without_a_server_of_its_own apt_install "${missing[@]}"
  else
    apt_install "${missing[@]}"
  fi
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

# Debian's PostgreSQL package makes a server and starts it. The tests start their own, and on many
# machines nothing can be started; so it is told not to, for this installation only.
without_a_server_of_its_own() {
  local setting=/etc/postgresql-common/createcluster.conf put_back=no
  is_installed postgresql-common || apt_install postgresql-common
  if [[ -f "$setting" ]] && ! grep -q '^create_main_cluster' "$setting"; then
    echo "create_main_cluster = false  # for ./dev setup" | as_root tee -a "$setting" >/dev/null
    put_back=yes
  fi
  local status=0
  "$@" || status=$?
  [[ "$put_back" == no ]] || as_root sed -i '/# for .\/dev setup$/d' "$setting"
  return "$status"
}

# install_program PROGRAM PACKAGE: for programs that do not always come as Debian packages.
install_program() {
  command -v "$1" >/dev/null || install_packages "$2"
}

# build_targets PRESET [TARGET...]: all by default.
build_targets() {
  local preset="$1"
  shift
  [[ -f "build/$preset/build.ninja" ]] || cmake --preset "$preset"
  ninja -C "build/$preset" -j "$(nproc)" "$@"
}

# The programs that users of gRPC have at hand, for the integration tests.
build_grpc_tools() {
  local status=0
  tests/integration/grpc_tools.sh || status=$?
  case $status in
    0) ;;
    3) skipped "grpcurl and grpc_health_probe" "go is not installed" ;;
    *) fail "grpcurl and grpc_health_probe cannot be built" ;;
  esac
}

serve_for_trying_out() {
  local address="${DBSIDECAR_LISTEN:-127.0.0.1:50051}" status=0
  export DBSIDECAR_ADDR="${address%%,*}"
  mkdir -p build/run
  export DATABASE_URL="${DATABASE_URL:-sqlite:$ROOT/build/run/dbsidecar.db}"
  build/release/dbsidecar health >/dev/null 2>&1 || status=$?
  [[ $status -gt 1 ]] || fail "a sidecar answers at $DBSIDECAR_ADDR already; stop it, or set DBSIDECAR_LISTEN"
  (say_what_to_try_once_ready $$ &)
  exec build/release/dbsidecar serve --profile development
}

# say_what_to_try_once_ready PID: silent if that process ends first.
say_what_to_try_once_ready() {
  until build/release/dbsidecar wait --timeout 1s >/dev/null 2>&1; do
    kill -0 "$1" 2>/dev/null || return 0
  done
  kill -0 "$1" 2>/dev/null || return 0
  cat <<TEXT

dbsidecar is ready at $DBSIDECAR_ADDR. In another terminal:

  build/release/dbsidecar query 'select 1 as one'
  build/release/dbsidecar health

  grpcurl -plaintext $DBSIDECAR_ADDR list
  grpcurl -plaintext -d '{"sql": "select \$1 + \$2 as sum",
      "params": [{"int_value": "1"}, {"int_value": "2"}],
      "format": "RESULT_FORMAT_ROWS"}' $DBSIDECAR_ADDR dbsidecar.v1.Sidecar/Query

Ctrl-C stops it.

TEXT
}
