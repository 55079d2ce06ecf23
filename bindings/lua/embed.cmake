# cmake -DFROM=FILE -DTO=HEADER -DNAME=NAME -P embed.cmake: the bytes of FILE as `static const char NAME[]` in HEADER.
file(READ ${FROM} bytes HEX)
string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${bytes}")
file(WRITE ${TO} "static const char ${NAME}[] = {${bytes}};\n")
