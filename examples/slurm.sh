#!/bin/bash
#SBATCH --job-name=illustkit
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#
# One training on several nodes of a Slurm cluster: sbatch examples/slurm.sh COMMAND...
#
#     sbatch examples/slurm.sh .venv/bin/oppai train images meta.json \
#         --run /shared/run --strategy multiworker
#
# The run lies on a disk that all nodes share. The same command resumes.
set -euo pipefail

workers=() port=23456
for node in $(scontrol show hostnames "$SLURM_JOB_NODELIST"); do
    workers+=("\"$node:$((port++))\"")
done
WORKERS=$(IFS=,; echo "${workers[*]}")
export WORKERS

srun --kill-on-bad-exit=1 bash -c '
    export TF_CONFIG="{\"cluster\": {\"worker\": [$WORKERS]},
                       \"task\": {\"type\": \"worker\", \"index\": $SLURM_PROCID}}"
    exec "$@"' worker "$@"
