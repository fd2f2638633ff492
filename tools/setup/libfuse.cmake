# Finds a static libfuse of at least 3.18 and offers it as ufs::fuse3.
#
# Looked for in UFS_DEPS_PREFIX (a cache variable, else the environment), then
# where tools/setup/build puts it by default, then among what is installed.
# Static, because the libfuse of the host stays as it is.

set(UFS_LIBFUSE_VERSION 3.18)
set(UFS_DEPS_PREFIX "$ENV{UFS_DEPS_PREFIX}" CACHE PATH "Where tools/setup/build put libraries")
# Of others that are built for us, too.
set(UFS_DEPS_PREFIXES "${UFS_DEPS_PREFIX}" "${CMAKE_BINARY_DIR}/deps" "${CMAKE_SOURCE_DIR}/build/deps")

find_package(PkgConfig REQUIRED)

# Sets OUT to the version of the static libfuse that pkg-config sees, or empty.
# FLAGS holds its compiler or linker flags afterwards.
function(ufs_probe_libfuse out_version)
  foreach(query modversion "variable=includedir" "variable=libdir")
    execute_process(COMMAND ${PKG_CONFIG_EXECUTABLE} --${query} fuse3 OUTPUT_VARIABLE value
                    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    string(REGEX REPLACE "variable=" "" key ${query})
    set(${key} "${value}")
  endforeach()
  if(NOT EXISTS "${libdir}/libfuse3.a")
    set(modversion "")
  endif()
  set(${out_version} "${modversion}" PARENT_SCOPE)
  set(UFS_LIBFUSE_INCLUDE_DIR "${includedir}/fuse3" PARENT_SCOPE)
  set(UFS_LIBFUSE_LIBRARY "${libdir}/libfuse3.a" PARENT_SCOPE)
endfunction()

function(ufs_find_libfuse)
  set(saved "$ENV{PKG_CONFIG_PATH}")
  set(installed "")
  foreach(prefix IN LISTS UFS_DEPS_PREFIXES ITEMS "")
    if(prefix AND NOT EXISTS "${prefix}/lib/pkgconfig/fuse3.pc")
      continue()
    endif()
    set(ENV{PKG_CONFIG_PATH} "${saved}")
    if(prefix)
      set(ENV{PKG_CONFIG_PATH} "${prefix}/lib/pkgconfig:${saved}")
    endif()
    ufs_probe_libfuse(version)
    if(version AND version VERSION_GREATER_EQUAL UFS_LIBFUSE_VERSION)
      break()
    endif()
    set(installed "${version}")
    set(version "")
  endforeach()
  set(ENV{PKG_CONFIG_PATH} "${saved}")

  if(NOT version)
    if(installed)
      set(installed " (found ${installed}, too old)")
    endif()
    message(FATAL_ERROR "ufs needs a static libfuse >= ${UFS_LIBFUSE_VERSION}${installed}. Build one with\n"
      "  tools/setup/libfuse ${CMAKE_BINARY_DIR}/deps\n"
      "or name the place of one that exists with -DUFS_DEPS_PREFIX=DIR.")
  endif()
  message(STATUS "libfuse ${version}: ${UFS_LIBFUSE_LIBRARY}")

  find_package(Threads REQUIRED)
  # Not libnuma: fs/transport.cc has what libfuse wants of it.
  pkg_check_modules(UFS_URING QUIET IMPORTED_TARGET liburing)
  add_library(ufs::fuse3 STATIC IMPORTED GLOBAL)
  set_target_properties(ufs::fuse3 PROPERTIES
    IMPORTED_LOCATION "${UFS_LIBFUSE_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${UFS_LIBFUSE_INCLUDE_DIR}")
  target_link_libraries(ufs::fuse3 INTERFACE
    $<$<BOOL:${UFS_URING_FOUND}>:PkgConfig::UFS_URING>
    Threads::Threads ${CMAKE_DL_LIBS} rt)
  if(UFS_URING_FOUND)
    set_target_properties(PkgConfig::UFS_URING PROPERTIES IMPORTED_GLOBAL TRUE)
  endif()
  set(UFS_LIBFUSE_FOUND_VERSION "${version}" PARENT_SCOPE)
endfunction()

ufs_find_libfuse()
