use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// Runs the real program, with /etc below the test's own directory and root as everyone's name.
const ROOTED: &str = r#"
name=${0##*/}
skip=
for word do
  shift
  if [ -n "$skip" ]; then skip=; continue; fi
  case $name:$word in
    install:-o|install:-g) skip=1; continue ;;
    *:/etc/*) word=$root$word ;;
    dd:of=/etc/*) word=of=$root${word#of=} ;;
  esac
  set -- "$@" "$word"
done
if [ "$name" = stat ]; then
  [ "$1" != -fc ] || { echo cgroup2fs; exit; }
  mode=$(stat -c %a "$3") && kind=$(stat -c %F "$3") || exit
  case $2 in
    *%F) echo "$mode root root $kind" ;;
    %Y) stat -c %Y "$3" ;;
    *) echo "$mode root root" ;;
  esac
  exit
fi
exec "$name" "$@"
"#;
/// Runs the command without becoming root, with the programs of the test first.
const SUDO: &str = r#"
shift
PATH=$root/programs:$PATH
exec "$@"
"#;
/// Keeps each preference in a file of the test's directory; a file `no-get` makes it an old
/// version.
const TAILSCALE: &str = r#"
accept=$(cat "$root/accept"); snat=$(cat "$root/snat"); routes=$(cat "$root/advertise")
filter=$(cat "$root/filter")
case "$*" in
  "get --json")
    [ ! -e "$root/no-get" ] || { echo 'flag provided but not defined' >&2; exit 2; }
    printf '{"accept-routes":%s,"advertise-routes":"%s","snat-subnet-routes":%s,"stateful-filtering":%s}\n' \
      "$accept" "$routes" "$snat" "$filter" ;;
  "debug prefs")
    [ "$snat" = true ] && no_snat=false || no_snat=true
    printf '{"RouteAll":%s,"NoSNAT":%s,"AdvertiseRoutes":["%s"]}\n' "$accept" "$no_snat" "$routes" ;;
  "status --json") cat "$root/status.json" ;;
  set*)
    for flag do
      case $flag in
        --accept-routes=*) echo "${flag#*=}" >"$root/accept" ;;
        --snat-subnet-routes=*) echo "${flag#*=}" >"$root/snat" ;;
        --stateful-filtering=*) echo "${flag#*=}" >"$root/filter" ;;
        --advertise-routes=*) echo "${flag#*=}" >"$root/advertise" ;;
      esac
    done ;;
esac
"#;
const IP: &str = r#"
case "$*" in
  "-json route show table main")
    printf '[{"dst":"default","gateway":"10.0.0.1","dev":"eth0","flags":[]}'
    printf ',{"dst":"10.0.0.0/24","dev":"eth0","protocol":"kernel","scope":"link","flags":[]}'
    while read -r prefix _ via _ dev; do
      printf ',{"dst":"%s","gateway":"%s","dev":"%s","flags":[]}' "$prefix" "$via" "$dev"
    done <"$root/routes"
    echo ']' ;;
  "-json route get "*) printf '[{"dst":"%s","dev":"eth0","prefsrc":"10.0.0.4","flags":[],"cache":[]}]\n' "$4" ;;
  "route replace "*) shift 2; echo "$*" >>"$root/routes" ;;
  "route del "*)
    shift 2
    grep -qxF "$*" "$root/routes" || { echo 'RTNETLINK answers: No such process' >&2; exit 2; }
    grep -vxF "$*" "$root/routes" >"$root/left"; mv "$root/left" "$root/routes" ;;
  *) exit 255 ;;
esac
"#;
const NETWORKCTL: &str = r#"
[ -e "$root/networkctl" ] || exit 1
[ "$1" = status ] && cat "$root/networkctl" || exit 1
"#;
const SYSTEMCTL: &str = r#"
case $1 in
  is-system-running) echo running ;;
  is-enabled) [ -e "$root/enabled" ] && echo enabled || { echo not-found; exit 4; } ;;
  enable) : >"$root/enabled" ;;
  disable) rm -f "$root/enabled" ;;
  start|restart)
    nft=$(sed -n 's|^ExecStart=/usr/sbin/\(nft .*\)|\1|p' "$root/etc/systemd/system/$2" 2>/dev/null)
    [ -z "$nft" ] || "$root/programs/"$nft
    [ -e "$root/broken" ] && : >"$root/failed" || : >"$root/active" ;;
  reset-failed) rm "$root/failed" ;;
  stop) rm -f "$root/active" ;;
  show)
    state=inactive
    [ ! -e "$root/active" ] || state=active
    [ ! -e "$root/failed" ] || state=failed
    echo "ActiveState=$state"
    [ -e "$root/enabled" ] && echo UnitFileState=enabled || echo UnitFileState=disabled
    echo NeedDaemonReload=no ;;
esac
"#;
/// It has read what it lists, which is rules of one kind.
const NFT: &str = r#"
case "$*" in
  "-f "*) cat "$root$2" >"$root/ruleset" ;;
  "-j list table inet stargate_mss_clamp")
    [ -e "$root/ruleset" ] || { printf 'Error: No such file or directory\nlist table inet stargate_mss_clamp\n' >&2; exit 1; }
    printf '{"nftables":[{"metainfo":{"version":"1.1.3"}},{"chain":{"hook":"forward"}}'
    flags='{"match":{"op":"in","left":{"payload":{"protocol":"tcp","field":"flags"}},"right":"syn"}}'
    size='{"mangle":{"key":{"tcp option":{"name":"maxseg","field":"size"}},"value":{"rt":{"key":"mtu"}}}}'
    rule=',{"rule":{"expr":[{"match":{"op":"==","left":{"meta":{"key":"\1"}},"right":"\2"}},'$flags,$size']}}'
    sed -n "s/.*\([io]ifname\) \"\(.*\)\" tcp flags syn tcp option maxseg size set rt mtu$/$rule/p" "$root/ruleset"
    echo ']}' ;;
  *) exit 1 ;;
esac
"#;
const DPKG_QUERY: &str = r#"
shift 2; status=0
for name do
  version=$(cat "$root/package-$name" 2>/dev/null) && printf '%s\t%s\tinstalled\n' "$name" "$version" ||
    { echo "dpkg-query: no packages found matching $name" >&2; status=1; }
done
exit $status
"#;
const APT_GET: &str = r#"
case "$*" in *install*) ;; *) exit ;; esac
if [ -e "$root/interrupted" ]; then
  echo "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem." >&2; exit 100
fi
for word do
  case $word in
    *::*|-*|install) ;;
    *=*) echo "${word#*=}" >"$root/package-${word%%=*}" ;;
    *) echo 1.0-1 >"$root/package-$word" ;;
  esac
done
"#;
const DPKG: &str = r#"
rm -f "$root/interrupted"
"#;
/// The last words are a file and where it comes from: the file's own name.
const CURL: &str = r#"
for word do to=$from; from=$word; done
[ -e "$root/mirror/${from##*/}" ] || { echo "curl: (22) The requested URL returned error: 404" >&2; exit 22; }
case " $* " in
  *" -o /dev/null "*) ;;
  *" -o "*) cat "$root/mirror/${from##*/}" >"$root$to" ;;
  *) cat "$root/mirror/${from##*/}" ;;
esac
"#;
/// Each prints what its file holds.
const TOLD: &str = r#"
cat "$root/${0##*/}"
"#;
const ENV: &str = r#"
shift
PATH=$root/programs:$PATH
exec "$@"
"#;
const CLOUD_INIT: &str = r#"
cat "$root/cloud-init.json"
exit "$(cat "$root/cloud-init.code")"
"#;

/// Puts the programs, and the state they start with, below `dir`.
pub(crate) fn write_programs(dir: &Path) {
    fs::create_dir(dir.join("programs")).expect("directory");
    fs::create_dir(dir.join("etc")).expect("directory");
    fs::create_dir(dir.join("mirror")).expect("directory");
    for name in ["cat", "stat", "install", "dd", "ln", "mv", "readlink", "rm", "sh", "sha256sum"] {
        write_program(dir, name, ROOTED);
    }
    let others = [
        ("sudo", SUDO),
        ("tailscale", TAILSCALE),
        ("ip", IP),
        ("networkctl", NETWORKCTL),
        ("systemctl", SYSTEMCTL),
        ("nft", NFT),
        ("cloud-init", CLOUD_INIT),
        ("dpkg-query", DPKG_QUERY),
        ("apt-get", APT_GET),
        ("dpkg", DPKG),
        ("curl", CURL),
        ("env", ENV),
        ("hostname", TOLD),
        ("journalctl", TOLD),
        ("df", TOLD),
        ("timedatectl", TOLD),
    ];
    for (name, text) in others {
        write_program(dir, name, text);
    }
    let state = [
        ("accept", "false\n"),
        ("snat", "true\n"),
        ("filter", "false\n"),
        ("advertise", "\n"),
        ("routes", ""),
        ("calls", ""),
        ("hostname", "worker-1\n"),
        ("journalctl", "no such flag: --cni\n"),
        ("df", "Avail\n4294967296\n"),
        ("timedatectl", "no\n"),
        ("etc/os-release", "NAME=\"Ubuntu\"\nID=ubuntu\nVERSION_ID=\"24.04\"\n"),
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ];
    for (name, text) in state {
        fs::write(dir.join(name), text).expect("written");
    }
}

fn write_program(dir: &Path, name: &str, text: &str) {
    let head = "#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n";
    let root = format!("root={}\necho \"{name} $*\" >>\"$root/calls\"\n", dir.display());
    let path = dir.join("programs").join(name);
    fs::write(&path, [head, &root, text].concat()).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
}
