# SPDX-License-Identifier: GPL-3.0-or-later
#
# Compiles vm/dsdt.asl with iasl; vm/acpi_dsdt.c carries the result in the program.
find_program(IASL iasl)
if(NOT IASL)
  message(FATAL_ERROR "iasl not found: install the Debian package acpica-tools (it compiles vm/dsdt.asl)")
endif()

set(dsdt_source ${CMAKE_SOURCE_DIR}/vm/dsdt.asl)
set(dsdt_base ${CMAKE_BINARY_DIR}/vm/dsdt)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/vm)
# -we: a warning is an error; -vi, -vr: short messages, no remarks
add_custom_command(
  OUTPUT ${dsdt_base}.aml
  COMMAND ${IASL} -we -vi -vr -vs -p ${dsdt_base} ${dsdt_source}
  DEPENDS ${dsdt_source}
  COMMENT "Compiling vm/dsdt.asl"
  VERBATIM)
set_source_files_properties(
  ${CMAKE_SOURCE_DIR}/vm/acpi_dsdt.c
  PROPERTIES COMPILE_DEFINITIONS "HYPATIA_DSDT_AML=\"${dsdt_base}.aml\"" OBJECT_DEPENDS ${dsdt_base}.aml)
