# How everything is compiled.

include(CheckLinkerFlag)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS ON)  # TRY is a GNU statement expression
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Starting is most of what `ufs umount` or a call of the OCI runtime takes, and
# binding the symbols of shared libraries was two thirds of that.
set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)

# The programs themselves (those with the property UFS_STATIC) have libc in them,
# too: another quarter, and a fork copies less. What libc would load as plug-ins,
# for users, hosts and character sets, they must not ask for. A toolchain without
# a static libc links them as it links the tests.
option(UFS_STATIC "Link the programs statically; needs all libraries as archives" ON)

set(UFS_SANITIZE "" CACHE STRING "Instrument everything: address (with undefined), thread, or empty")
set_property(CACHE UFS_SANITIZE PROPERTY STRINGS "" address thread)
option(UFS_FUZZ "Build the fuzzers (clang only; implies the address sanitizer)" OFF)

# Optimized with symbols unless asked otherwise: a profile or a core dump of
# what people run should be readable. Assertions stay in Debug builds.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Debug, Release, RelWithDebInfo" FORCE)
endif()

add_compile_options(-Wall -Wextra -Werror)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  add_compile_options(-Wthread-safety)
endif()

if(UFS_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "UFS_FUZZ needs clang: configure with -DCMAKE_CXX_COMPILER=clang++")
  endif()
  set(ufs_sanitizers fuzzer-no-link,address,undefined)
elseif(UFS_SANITIZE STREQUAL "address")
  set(ufs_sanitizers address,undefined)
elseif(UFS_SANITIZE STREQUAL "thread")
  set(ufs_sanitizers thread)
elseif(UFS_SANITIZE)
  message(FATAL_ERROR "UFS_SANITIZE is \"${UFS_SANITIZE}\"; it may be address, thread or empty")
endif()

if(ufs_sanitizers)
  # -O1 -g1: half the time to compile, and nobody measures these builds.
  add_compile_options(-fsanitize=${ufs_sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -g1)
  add_compile_definitions(UFS_SANITIZED)  # for tests that measure
  add_link_options(-fsanitize=${ufs_sanitizers})
  if(ufs_sanitizers MATCHES address)
    add_link_options(-no-pie)  # where to is half of what such a program takes to start
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    # Instrumentation hides initializations from gcc's flow analysis, and gcc
    # warns of each fence that the thread sanitizer does not follow.
    add_compile_options(-Wno-maybe-uninitialized -Wno-tsan)
  endif()
else()
  add_compile_options(-fstack-protector-strong)
  add_compile_options($<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
  check_linker_flag(CXX -static-pie ufs_links_static_pie)
  set(ufs_static "$<BOOL:$<TARGET_PROPERTY:UFS_STATIC>>")
  # One or the other: all three make gcc link a static program to a shared libc.
  add_link_options(-Wl,-z,relro,-z,now
    "$<IF:${ufs_static},-static-pie,-pie;-static-libstdc++;-static-libgcc>")
  # What nobody calls need not be relocated at each start. Sections that are
  # known by where they begin (rocksdb_start) stay, which lld is to be told.
  add_link_options(-Wl,--gc-sections -Wl,-z,text)
  check_linker_flag(CXX -Wl,-z,nostart-stop-gc ufs_linker_keeps_named_sections)
  if(ufs_linker_keeps_named_sections)
    add_link_options(-Wl,-z,nostart-stop-gc)
  endif()
  # The linker warns of dlopen in libfuse, by which it would load the modules that
  # a program of its high-level interface was asked for. None of ours is.
  check_linker_flag(CXX -Wl,--no-warnings ufs_linker_keeps_quiet)
  if(ufs_linker_keeps_quiet)
    add_link_options("$<${ufs_static}:-Wl,--no-warnings>")
  endif()
  check_linker_flag(CXX -Wl,-z,pack-relative-relocs ufs_packs_relocations)
  if(ufs_packs_relocations)
    add_link_options(-Wl,-z,pack-relative-relocs)
  endif()
endif()

# ufs_add_fuzzer(NAME SOURCES... LIBRARIES... [CORPUS DIR])
# A libFuzzer program and its test, which runs it for UFS_FUZZ_SECONDS over a
# scratch copy of the corpus. Defines nothing unless UFS_FUZZ is on. CI repeats
# one walk, so that its verdict is of the change; a hunt takes seed 0 and hours.
set(UFS_FUZZ_SECONDS 20 CACHE STRING "How long ctest runs each fuzzer")
set(UFS_FUZZ_SEED 1 CACHE STRING "Where the fuzzers begin; 0 is somewhere else each time")
function(ufs_add_fuzzer name)
  if(NOT UFS_FUZZ)
    return()
  endif()
  cmake_parse_arguments(arg "" "CORPUS" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  set(found ${CMAKE_CURRENT_BINARY_DIR}/${name}.corpus)
  file(MAKE_DIRECTORY ${found})
  math(EXPR limit "${UFS_FUZZ_SECONDS} + 60")
  add_test(NAME ${name} COMMAND ${name} -max_total_time=${UFS_FUZZ_SECONDS} -seed=${UFS_FUZZ_SEED} -timeout=10
           -print_final_stats=1 ${found} ${arg_CORPUS})
  set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT ${limit})
  add_dependencies(fuzzers ${name})
endfunction()
add_custom_target(fuzzers)

# Tests are compiled without the optimizer: they wait for what they test, and
# compiling them is most of the work. `unit_tests` is what CI runs under the
# address sanitizer: what needs no mount, and the semantic tests.
add_custom_target(unit_tests)
function(ufs_finish_tests directory)
  get_property(targets DIRECTORY ${directory} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target ${targets})
    if(NOT target MATCHES "_test$")
      continue()
    endif()
    target_compile_options(${target} PRIVATE -O0 -U_FORTIFY_SOURCE)
    if(NOT target MATCHES "^(model|store)")
      add_dependencies(unit_tests ${target})
    endif()
  endforeach()
  get_property(folders DIRECTORY ${directory} PROPERTY SUBDIRECTORIES)
  foreach(folder ${folders})
    ufs_finish_tests(${folder})
  endforeach()
endfunction()
