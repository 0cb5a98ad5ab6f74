#!/usr/bin/env bash
# Installs, runs, removes and purges PACKAGE on a throw-away layer over this machine's file system, without a
# service manager.
# Runs in mount, network and PID namespaces of its own: package.sh PACKAGE DIRECTORY REPOSITORY
set -euo pipefail
package=$1 directory=$2 tree=$3

die() { echo "$*" >&2; exit 1; }

mount --make-rprivate /
mkdir "$directory/layer"
mount -t tmpfs none "$directory/layer"
mkdir "$directory"/layer/{upper,work,root}
root=$directory/layer/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$directory/layer/upper,workdir=$directory/layer/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs none "$root/run"
mount -t tmpfs none "$root/tmp"
cp "$package" "$root/tmp/hacluster.deb"
sed -i '/ man-db/d' "$root/var/lib/dpkg/triggers/File" # seconds for an index that nobody asks
inside() { chroot "$root" /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }

# Whatever of keepalived is on the machine must stay as it is.
keepalived=$(inside dpkg-query -W -f '${Status} ${Version}' keepalived 2>/dev/null || true)
mkdir -p "$root/etc/keepalived"
cat >"$root/etc/keepalived/keepalived.conf" <<'C'
vrrp_instance VI_1 {
    interface lan0
    virtual_router_id 51
    priority 150
    virtual_ipaddress {
        192.0.2.100/24
    }
}
C
before=$(md5sum "$root/etc/keepalived/keepalived.conf")

inside dpkg -i /tmp/hacluster.deb
inside getent passwd _hacluster >/dev/null || die "no user _hacluster"
for file in usr/sbin/hacluster-agent usr/bin/haclusterctl lib/systemd/system/hacluster-agent.service \
    usr/share/man/man8/hacluster-agent.8.gz usr/share/man/man1/haclusterctl-failover.1.gz \
    usr/share/man/man1/haclusterctl-lvs-realserver.1.gz usr/share/doc/hacluster/examples/config/pair/node1/keepalived.conf \
    usr/share/bash-completion/completions/haclusterctl usr/share/doc/hacluster/copyright \
    usr/share/doc/hacluster/README.md usr/share/doc/hacluster/changelog.gz; do
    [ -s "$root/$file" ] || die "$file is missing"
done
# Every page, and the whole contract.
for page in "$tree"/deploy/docs/*.md; do
    [ "${page##*/}" = CHANGELOG.md ] || [ -s "$root/usr/share/doc/hacluster/${page##*/}" ] || die "$page is not in it"
done
for contract in "$tree"/proto/hacluster/v1/*.proto; do
    cmp -s "$contract" "$root/usr/share/hacluster/proto/hacluster/v1/${contract##*/}" || die "$contract is not in it"
done
for verb in drain enable weight realserver; do
    [ -s "$root/usr/share/man/man1/haclusterctl-lvs-$verb.1.gz" ] || die "no man page of lvs $verb"
    for completion in bash-completion/completions/haclusterctl zsh/vendor-completions/_haclusterctl \
        fish/vendor_completions.d/haclusterctl.fish; do
        grep -q "lvs.*$verb" "$root/usr/share/$completion" || die "$completion does not complete lvs $verb"
    done
done
(cd "$root" && inside dpkg -V hacluster) || die "what is installed differs from the package"
inside hacluster-agent --config /etc/keepalived/keepalived.conf --check

# Started by hand as its user, with two capabilities.
ip link set lo up
ip link add lan0 type veth peer name lan1
ip address add 192.0.2.1/24 dev lan0
ip link set lan0 up && ip link set lan1 up
inside install -d -o _hacluster -g _hacluster /run/hacluster /var/lib/hacluster
chroot "$root" setpriv --reuid _hacluster --regid _hacluster --clear-groups --no-new-privs \
    --bounding-set -all,+net_admin,+net_raw --inh-caps -all,+net_admin,+net_raw \
    --ambient-caps -all,+net_admin,+net_raw \
    /usr/sbin/hacluster-agent --config /etc/keepalived/keepalived.conf 2>"$root/tmp/agent.log" & agent=$!
held() { ip -4 address show dev lan0 | grep -q 192.0.2.100; }
for _ in $(seq 300); do
    held && break
    kill -0 $agent 2>/dev/null || { cat "$root/tmp/agent.log" >&2; die "the agent ended"; }
    sleep 0.1
done
held || { cat "$root/tmp/agent.log" >&2; die "no address"; }
inside haclusterctl status | tee "$root/tmp/status"
grep -qi 'VI_1.*master' "$root/tmp/status" || die "status does not say who is master"
kill $agent
wait $agent || die "it did not end in order: $?"
! held || die "stopped, and the address stayed"

# An instance of somebody's own, enabled, as in an image that is made by chroot.
echo "! nothing" >"$root/etc/hacluster/web.conf"
mkdir -p "$root/etc/systemd/system/multi-user.target.wants" "$root"/{run,var/lib}/hacluster-web
for unit in hacluster-agent:hacluster-agent hacluster-agent@:hacluster-agent@web; do
    ln -s "/lib/systemd/system/${unit%:*}.service" \
        "$root/etc/systemd/system/multi-user.target.wants/${unit#*:}.service"
done

inside dpkg -r hacluster
[ -z "$(ls "$root/etc/systemd/system/multi-user.target.wants" | grep hacluster)" ] || die "links to nowhere stay"
[ ! -e "$root/usr/sbin/hacluster-agent" ] || die "removed, and still there"
[ -e "$root/etc/default/hacluster-agent" ] || die "a removal keeps what was configured"
rm "$root/etc/hacluster/web.conf" # not the package's
inside dpkg -P hacluster
for left in etc/default/hacluster-agent etc/hacluster {run,var/lib}/hacluster{,-web}; do
    [ ! -e "$root/$left" ] || die "purged, and $left is still there"
done
[ "$before" = "$(md5sum "$root/etc/keepalived/keepalived.conf")" ] || die "keepalived.conf was touched"
[ "$keepalived" = "$(inside dpkg-query -W -f '${Status} ${Version}' keepalived 2>/dev/null || true)" ] ||
    die "keepalived was touched"
echo "all is well"
