#!/usr/bin/env bash
# Start a real Slurm on this machine without systemd: munge, MariaDB, slurmdbd, slurmctld and N slurmd with two fake GPUs each.
# Needs root on Debian or Ubuntu. Installs Slurm with apt-get if it is missing. Starts only processes that are not running.
# usage: up.sh ROOT [NODES]      then: source ROOT/env
set -euo pipefail

root=$(realpath -m "$1")
nodes=${2:-3}
base=${SLURM_TEST_PORT:-17000}
export SLURM_CONF=$root/etc/slurm.conf
ctld_port=$((base + 17)) dbd_port=$((base + 19))

fail() {
    echo "up.sh: $*" >&2
    exit 1
}
[ "$(id -u)" = 0 ] || fail "starting a Slurm cluster needs root"

missing=()
for program in munged mariadbd slurmdbd slurmctld slurmd sbatch; do
    command -v "$program" >/dev/null || missing+=("$program")
done
if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || fail "${missing[*]} not found; install Slurm, munge and MariaDB"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends \
        munge slurmctld slurmd slurmdbd slurm-client mariadb-server >/dev/null
fi

alive() { [ -s "$root/pid/$1.pid" ] && kill -0 "$(cat "$root/pid/$1.pid")" 2>/dev/null; }

# until_true SECONDS COMMAND...: wait until the command succeeds
until_true() {
    local end=$((SECONDS + $1))
    shift
    until timeout 5 "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt "$end" ] || fail "this command did not succeed in time: $*"
        sleep 0.1
    done
}

mkdir -p "$root"/{etc,log,pid,state,munge,db,socket}
chmod 755 "$root" "$root"/*

if ! alive munged; then
    [ -s "$root/munge/key" ] || head -c 128 /dev/urandom >"$root/munge/key"
    chown -R munge: "$root/munge"
    chmod 600 "$root/munge/key"
    setpriv --reuid=munge --regid=munge --clear-groups munged --force --key-file="$root/munge/key" \
        --socket="$root/munge/socket" --pid-file="$root/munge/pid" --log-file="$root/munge/log" --seed-file="$root/munge/seed"
    until_true 10 test -S "$root/munge/socket"
    cp "$root/munge/pid" "$root/pid/munged.pid"
fi

if ! alive mariadbd; then
    chown mysql: "$root/db" "$root/socket"
    [ -d "$root/db/mysql" ] || mariadb-install-db --user=mysql --datadir="$root/db" \
        --auth-root-authentication-method=socket --skip-test-db >"$root/log/mariadb-install" 2>&1
    setsid mariadbd --no-defaults --user=mysql --datadir="$root/db" --socket="$root/socket/sql" --skip-networking \
        --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 --innodb-flush-log-at-trx-commit=2 \
        >"$root/log/mariadbd" 2>&1 </dev/null &
    echo $! >"$root/pid/mariadbd.pid"
    until_true 60 mariadb-admin --no-defaults --socket="$root/socket/sql" ping
    mariadb --no-defaults --socket="$root/socket/sql" -e "CREATE DATABASE IF NOT EXISTS slurm_acct_db;
        CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED BY 'slurm'; GRANT ALL ON slurm_acct_db.* TO slurm@localhost;"
fi

cat >"$root/etc/slurmdbd.conf" <<END
AuthType=auth/munge
AuthInfo=socket=$root/munge/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$dbd_port
SlurmUser=root
LogFile=$root/log/slurmdbd
PidFile=$root/pid/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
END
chmod 600 "$root/etc/slurmdbd.conf"

# Each node declares four cores and more memory than jobs of the tests request. All nodes share one machine, which may have less: the
# memory of a job on GPUs is mostly for CUDA, which fake GPUs do not need.
cat >"$root/etc/slurm.conf" <<END
ClusterName=autobird
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$ctld_port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$root/munge/socket
CredType=cred/munge
StateSaveLocation=$root/state
SlurmdSpoolDir=$root/spool.%n
SlurmctldPidFile=$root/pid/slurmctld.pid
SlurmdPidFile=$root/pid/slurmd.%n.pid
SlurmctldLogFile=$root/log/slurmctld
SlurmdLogFile=$root/log/slurmd.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_min_interval=200000,bf_interval=2,defer_batch
PriorityType=priority/basic
ReturnToService=2
MpiDefault=none
MinJobAge=300
KillWait=10
SlurmctldTimeout=30
SlurmdTimeout=10
TreeWidth=65533
MailProg=/bin/true
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$dbd_port
AccountingStoragePass=$root/munge/socket
AccountingStorageTRES=gres/gpu,gres/gpu:fake
AccountingStorageEnforce=associations,limits,qos
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=DEFAULT CPUs=4 RealMemory=16000 Gres=gpu:fake:2 State=UNKNOWN
$(for n in $(seq "$nodes"); do echo "NodeName=n$n NodeHostname=localhost NodeAddr=127.0.0.1 Port=$((base + 100 + n))"; done)
PartitionName=cpu Nodes=n[1-$nodes] Default=YES MaxTime=INFINITE State=UP DefMemPerCPU=200
PartitionName=gpu Nodes=n[1-$nodes] MaxTime=INFINITE State=UP DefMemPerCPU=200
END

# Device files like /dev/null represent the GPUs, because Slurm does not accept plain files.
for gpu in 0 1; do [ -c "$root/nvidia$gpu" ] || mknod "$root/nvidia$gpu" c 1 3; done
cat >"$root/etc/gres.conf" <<END
AutoDetect=off
Name=gpu Type=fake File=$root/nvidia[0-1] Flags=nvidia_gpu_env
END
printf 'CgroupPlugin=cgroup/v1\n' >"$root/etc/cgroup.conf"

# The job step that Snakemake's plugin starts does not pass on SLURM_CONF, so the files must be in Slurm's default folder.
mkdir -p /etc/slurm
for file in slurm.conf gres.conf cgroup.conf; do
    if [ -e "/etc/slurm/$file" ] && [ ! -L "/etc/slurm/$file" ]; then
        fail "/etc/slurm/$file belongs to another Slurm on this machine; these tests need a machine without Slurm"
    fi
    ln -sfn "$root/etc/$file" "/etc/slurm/$file"
done

if ! alive slurmdbd; then
    MYSQL_UNIX_PORT=$root/socket/sql slurmdbd
    until_true 30 bash -c "echo >/dev/tcp/127.0.0.1/$dbd_port"
fi
until_true 30 sacctmgr -n show cluster
sacctmgr -n show cluster autobird | grep -q autobird || sacctmgr -i add cluster autobird >/dev/null
sacctmgr -n show account birds | grep -q birds || sacctmgr -i add account birds Description=test Organization=test >/dev/null
sacctmgr -n show user root withassoc | grep -q birds || sacctmgr -i add user root account=birds >/dev/null
# A QOS whose limits no job meets, for the tests of an exceeded quota.
sacctmgr -n show qos tiny | grep -q tiny || sacctmgr -i add qos tiny MaxTRESPerJob=mem=10 Flags=DenyOnLimit >/dev/null
sacctmgr -i modify user root set defaultaccount=birds qos=normal,tiny >/dev/null || true

alive slurmctld || slurmctld
for n in $(seq "$nodes"); do alive "slurmd.n$n" || slurmd -N "n$n"; done
up() { [ "$(sinfo -h -N -p cpu -o %t | grep -cxE 'idle|mix|alloc')" -ge "$nodes" ]; }
end=$((SECONDS + 60))
until up 2>/dev/null; do
    [ $SECONDS -lt $end ] || fail "the nodes did not start; see $root/log"
    sleep 0.2
done
echo "export SLURM_CONF=$SLURM_CONF" >"$root/env"
sinfo -h -p cpu -o 'Slurm with %D nodes; each has %c cores, %m MB, %G'
