# Writes a C++ file that holds the page's files: cmake -DOUT=... -DFOLDER=... -P embed.cmake
set(TEXT "// Made from server/page by embed.cmake.\n#include \"server/page/page.h\"\n\nnamespace dbsidecar::server {\n\n")
foreach(FILE html css js)
  file(READ ${FOLDER}/page.${FILE} CONTENT)
  string(TOUPPER ${FILE} NAME)
  string(APPEND TEXT "const std::string_view kPage${NAME} = R\"page(${CONTENT})page\";\n\n")
endforeach()
file(WRITE ${OUT} "${TEXT}}  // namespace dbsidecar::server\n")
