while read -r l; do echo "${l%%:*}"; done < /etc/hosts 2>&1 &
wait