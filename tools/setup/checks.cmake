# Tests of the tree itself.

find_package(Python3 REQUIRED COMPONENTS Interpreter)

add_test(NAME layering COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/layering.py ${CMAKE_SOURCE_DIR})
add_test(NAME layering_self_test COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/layering.py --self-test)
set_tests_properties(layering layering_self_test PROPERTIES LABELS unit TIMEOUT 60)
