# SPDX-License-Identifier: GPL-3.0-or-later
#
# Assembles an option ROM so that its bytes, and those of its PnP header, add up to zero modulo 256.
#
#   cmake -DNASM=nasm -DSOURCE=bootopt.asm -DINCLUDE=boot/ -DOUTPUT=bootopt.bin -P checksum.cmake
#
# The first pass has zeros where the two corrections go; they are computed from it and handed to the second
# pass. BIOS Boot Specification 1.01, "Option ROM Header": the word at 1Ah points to the PnP header, 32 bytes
# here.

function(assemble rom_sum pnp_sum)
  execute_process(
    COMMAND ${NASM} -f bin -w+all -DROM_SUM=${rom_sum} -DPNP_SUM=${pnp_sum} -I ${INCLUDE} -o ${OUTPUT} ${SOURCE}
    RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    file(REMOVE ${OUTPUT})
    message(FATAL_ERROR "nasm failed on ${SOURCE}")
  endif()
endfunction()

# correction_of(variable hex): the byte that makes these bytes add up to zero
function(correction_of variable hex)
  set(sum 0)
  string(REGEX MATCHALL ".." bytes "${hex}")
  foreach(byte ${bytes})
    math(EXPR sum "(${sum} + 0x${byte}) & 255")
  endforeach()
  math(EXPR correction "(256 - ${sum}) & 255")
  set(${variable} ${correction} PARENT_SCOPE)
endfunction()

assemble(0 0)
file(READ ${OUTPUT} low OFFSET 26 LIMIT 1 HEX)
file(READ ${OUTPUT} high OFFSET 27 LIMIT 1 HEX)
math(EXPR pnp_offset "0x${high}${low}")
file(READ ${OUTPUT} pnp_header OFFSET ${pnp_offset} LIMIT 32 HEX)
correction_of(pnp_sum "${pnp_header}")
file(READ ${OUTPUT} rom HEX)
correction_of(rom_sum "${rom}")
math(EXPR rom_sum "(${rom_sum} + 256 - ${pnp_sum}) & 255")
assemble(${rom_sum} ${pnp_sum})
