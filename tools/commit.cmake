# Writes OUT, a source with the commit that TREE stands at; "-dirty" if tracked files differ from it, "unknown" where
# there is no repository. OUT is touched only when it changes.
execute_process(COMMAND git -C ${TREE} describe --always --exclude=* --abbrev=12 --dirty
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
    set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUT} @ONLY CONTENT "#include \"commit.h\"\n\nconst char commit[] = \"${commit}\";\n")
