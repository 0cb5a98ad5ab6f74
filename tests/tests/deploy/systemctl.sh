#!/bin/sh
# Plays the service manager for the package's trial: does with the agent what the installed unit says, as
# systemd would, and writes down what it was asked.
echo "$*" >>/tmp/systemctl
unit=/lib/systemd/system/hacluster-agent.service

start() {
    setpriv --reuid _hacluster --regid _hacluster --clear-groups --no-new-privs \
        --bounding-set -all,+net_admin,+net_raw --inh-caps -all,+net_admin,+net_raw \
        --ambient-caps -all,+net_admin,+net_raw \
        /usr/sbin/hacluster-agent --config /etc/keepalived/keepalived.conf 2>>/tmp/agent.log >/dev/null &
    echo $! >/tmp/agent.pid
}

end() { # end SIGNAL
    kill -s "${1#SIG}" "$(cat /tmp/agent.pid)" || return 0
    while kill -0 "$(cat /tmp/agent.pid)" 2>/dev/null; do sleep 0.02; done
}

case $* in
start*) start ;;
try-restart*)
    signal=$(sed -n 's/^RestartKillSignal=//p' $unit)
    end "${signal:-TERM}"
    start
    ;;
stop*) end TERM ;;
*disable*) rm /etc/systemd/system/*.wants/"$(echo "$*" | sed 's/.* //')" ;;
esac
