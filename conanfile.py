"""gptq as a package of Conan 2. Its files are the same whatever is chosen for component and blas, which decide what is
required beside it."""
import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load

required_conan_version = ">=2.0"


class Gptq(ConanFile):
    name = "gptq"
    description = "GPTQ weight quantization, and kernels that run the quantized weights on a CPU"
    license = "Apache-2.0"
    topics = ("quantization", "gptq", "language-models", "simd", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {
        # The largest that is wanted: runtime requires nothing, io nlohmann_json, full also xtensor, xtensor-blas, blas.
        "component": ["runtime", "io", "full"],
        # What full multiplies with: the package openblas, or what CMake finds (which BLA_VENDOR names, if it is set).
        "blas": ["openblas", "system"],
        # Whether programs are linked with -pthread, which std::thread needs with some C libraries.
        "threads": [True, False],
    }
    default_options = {"component": "full", "blas": "openblas", "threads": True}
    exports_sources = "CMakeLists.txt", "LICENSE", "cmake/*", "include/*"
    no_copy_source = True

    def set_version(self):
        header = load(self, os.path.join(self.recipe_folder, "include", "gptq", "core", "version.hpp"))
        numbers = re.findall(r"^#define GPTQ_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header, re.MULTILINE)
        self.version = ".".join(numbers)

    def configure(self):
        if self.options.component == "full" and self.options.blas == "openblas":
            self.options["openblas"].build_lapack = True

    def requirements(self):
        if self.options.component in ("io", "full"):
            self.requires("nlohmann_json/[>=3.9 <4]")
        if self.options.component == "full":
            self.requires("xtensor/[>=0.24 <1]")
            self.requires("xtensor-blas/[>=0.20 <1]")
            if self.options.blas == "openblas":
                self.requires("openblas/[>=0.3.20 <1]")

    def validate(self):
        check_min_cppstd(self, 20)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.user_presets_path = False
        toolchain.cache_variables.update(
            {"GPTQ_BUILD_TESTS": False, "GPTQ_BUILD_EXAMPLES": False, "GPTQ_PTHREAD": bool(self.options.threads)})
        toolchain.generate()

    def build(self):
        CMake(self).configure()

    def package(self):
        CMake(self).install()
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))

    def package_id(self):
        self.info.settings.clear()
        self.info.requires.clear()
        self.info.options.rm_safe("component")
        self.info.options.rm_safe("blas")

    def package_info(self):
        # find_package(gptq) gets the configuration that was installed, which looks for what components need among
        # Conan's packages and the platform's alike. The components are for generators other than CMake's.
        self.cpp_info.set_property("cmake_find_mode", "none")
        runtime = self._component("runtime", "gptq-runtime")
        runtime.builddirs = [os.path.join("share", "cmake", "gptq")]
        if self.options.threads and self.settings.os in ("Linux", "FreeBSD"):
            runtime.system_libs = ["pthread"]
        if self.options.component in ("io", "full"):
            self._component("io", "gptq-io").requires = ["runtime", "nlohmann_json::nlohmann_json"]
        if self.options.component == "full":
            full = self._component("full", "gptq")
            full.requires = ["io", "xtensor::xtensor", "xtensor-blas::xtensor-blas"]
            if self.options.blas == "openblas":
                full.requires.append("openblas::openblas")
            else:
                full.system_libs = ["lapack", "blas"]

    def _component(self, name, pkg_config_name):
        component = self.cpp_info.components[name]
        component.set_property("cmake_target_name", f"gptq::{name}")
        component.set_property("pkg_config_name", pkg_config_name)
        component.libdirs = component.bindirs = []
        return component
