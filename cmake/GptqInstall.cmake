# cmake --install, and find_package(gptq CONFIG [COMPONENTS runtime io gptq]) afterwards.
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/gptq)

set(installed gptq_runtime)
if(NOT GPTQ_RUNTIME_ONLY)
  list(APPEND installed gptq_io gptq_gptq)
endif()
install(DIRECTORY include/gptq DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS ${installed} EXPORT gptq)
install(EXPORT gptq NAMESPACE gptq:: FILE gptqTargets.cmake DESTINATION ${package_folder})
configure_package_config_file(cmake/gptqConfig.cmake.in ${PROJECT_BINARY_DIR}/gptqConfig.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/gptqConfigVersion.cmake COMPATIBILITY SameMinorVersion
                                 ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/gptqConfig.cmake ${PROJECT_BINARY_DIR}/gptqConfigVersion.cmake
        DESTINATION ${package_folder})
