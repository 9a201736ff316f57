# cmake --install; find_package(gptq CONFIG [COMPONENTS runtime io full]) and pkg-config afterwards. All of it is text that
# suits every processor, hence share/ and not lib/; and it can be moved, since every path in it starts from itself.
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_DATADIR}/cmake/gptq)

install(DIRECTORY include/gptq DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/gptq)
# A file of targets for each component, so that one without its needs is no target either.
foreach(component IN LISTS gptq_components)
  install(TARGETS gptq_${component} EXPORT gptq-${component})
  install(EXPORT gptq-${component} NAMESPACE gptq:: DESTINATION ${package_folder})
endforeach()
configure_package_config_file(cmake/gptqConfig.cmake.in ${PROJECT_BINARY_DIR}/gptqConfig.cmake
                              INSTALL_DESTINATION ${package_folder} NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change the API.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/gptqConfigVersion.cmake COMPATIBILITY SameMinorVersion
                                 ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/gptqConfig.cmake ${PROJECT_BINARY_DIR}/gptqConfigVersion.cmake cmake/GptqNeeds.cmake
        DESTINATION ${package_folder})

# gptq_pkg_config(FILE DESCRIPTION REQUIRES [LIBS]). The standard is left to the user: -std=c++20 or a later one.
file(RELATIVE_PATH to_headers ${CMAKE_INSTALL_FULL_DATADIR}/pkgconfig ${CMAKE_INSTALL_FULL_INCLUDEDIR})
function(gptq_pkg_config name description requires)
  set(libs ${ARGN})
  configure_file(cmake/gptq.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig)
endfunction()
set(pthread "")
if(GPTQ_PTHREAD)
  set(pthread -pthread)
endif()
gptq_pkg_config(gptq-runtime "Quantized weights, and kernels that run them on a CPU" "" ${pthread})
if(NOT GPTQ_RUNTIME_ONLY)
  set(GPTQ_PKG_CONFIG_BLAS openblas CACHE STRING "What gptq.pc requires, for a BLAS with CBLAS and LAPACK")
  set(xtensor "xtl, xtensor >= 0.24")
  find_package(PkgConfig QUIET)
  if(PKG_CONFIG_FOUND)  # some packages of xtensor-blas lack a .pc file; its headers lie beside xtensor's then
    pkg_check_modules(xtensor_blas QUIET xtensor-blas)
  endif()
  if(xtensor_blas_FOUND)
    string(APPEND xtensor ", xtensor-blas >= 0.20")
  endif()
  gptq_pkg_config(gptq-io "Checkpoints of quantized weights" "gptq-runtime = ${PROJECT_VERSION}, nlohmann_json >= 3.9")
  gptq_pkg_config(gptq "${PROJECT_DESCRIPTION}" "gptq-io = ${PROJECT_VERSION}, ${xtensor}, ${GPTQ_PKG_CONFIG_BLAS}")
endif()
