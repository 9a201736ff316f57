# For CMAKE_PROJECT_TOP_LEVEL_INCLUDES: a project that has this may look for gptq, and for nothing else.
macro(refuse_others method name)
  if(NOT "${name}" STREQUAL "gptq")
    message(FATAL_ERROR "${name} is looked for (${method})")
  endif()
endmacro()
cmake_language(SET_DEPENDENCY_PROVIDER refuse_others
               SUPPORTED_METHODS FIND_PACKAGE FETCHCONTENT_MAKEAVAILABLE_SERIAL)
