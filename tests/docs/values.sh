#!/bin/sh
# Every value of a public enum is documented: Doxygen itself only asks for the enum. usage: values.sh FOLDER_OF_ITS_XML
set -eu
cat "$1"/*_8h.xml | awk '
    /<enumvalue/ { inside = 1; text = 0; seen++ }
    inside && /<name>/ { gsub(/ *<\/?name>/, ""); name = $0 }
    inside && /<para>/ { text = 1 }
    /<\/enumvalue>/ { inside = 0; if (!text) { print "error: enum value " name " is not documented"; bad = 1 } }
    END { if (seen < 40) { print "error: only " seen + 0 " enum values in the XML"; bad = 1 } exit bad }' >&2
