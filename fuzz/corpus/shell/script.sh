set -e; a='x  y'; for i in 1 2 $a; do printf '%s|' "$i" >> /tmp/f; done
if [ -e /tmp/f ] && ! grep -q z /tmp/f; then cat <<END | wc -c
${a:-d} $(echo "`date`") $((1 + 2))
END
else f() { local b; return 3; }; f || exit $?; fi
case "$a" in x*) echo one ;; *) ;; esac
