# Sourced by quickstart and run-tests: makes a fresh Debian or Ubuntu ready to build, and says elsewhere what is missing.

# What the build needs, as Debian names it.
debian_packages=(g++ cmake ninja-build pkg-config ccache
                 libxtensor-dev libxtensor-blas-dev libopenblas-dev nlohmann-json3-dev
                 libcli11-dev libpcre2-dev zlib1g-dev catch2 libsimde-dev)

setup_dependencies() {
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        local tool absent=()
        for tool in c++ cmake ninja pkg-config; do command -v "$tool" >/dev/null || absent+=("$tool"); done
        if ((${#absent[@]})); then
            echo "missing: ${absent[*]}" >&2
            echo "Install these, a C++20 compiler (g++ 12 or clang 16), OpenBLAS with LAPACK, and PCRE2 with your package" >&2
            echo "manager; xtensor, xtensor-blas, nlohmann-json, CLI11 and Catch2 are fetched where they are not installed." >&2
            return 1
        fi
        return 0
    fi
    apt_install "${debian_packages[@]}"
}

# apt_install PACKAGE…: those that are missing.
apt_install() {
    local package missing=()
    for package; do
        [[ $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) == "install ok installed" ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    echo "installing ${missing[*]}"
    local as_root=()
    if [[ $(id -u) -ne 0 ]]; then
        if ! command -v sudo >/dev/null; then
            echo "neither root nor sudo: ask an administrator to run" >&2
            echo "    apt-get install ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# configure_preset NAME [options…]: once; later the build system notices by itself what has changed.
configure_preset() {
    local preset=$1
    shift
    [[ -f build/$preset/build.ninja ]] || cmake --preset "$preset" "$@"
}
