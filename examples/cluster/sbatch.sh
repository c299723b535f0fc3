#!/bin/bash
# Train on several nodes with Slurm alone: torchrun on each node, one process for each GPU.
#     sbatch --nodes 4 sbatch.sh runs/big specs/resnet.net:ResNet50 --recipe A2
# Submitted again with the same folder, it resumes.
#SBATCH --job-name=netdsl --ntasks-per-node=1 --gpus-per-node=8 --cpus-per-task=64 --signal=TERM@120
set -euo pipefail
folder=$1
shift
words=(train "$@" -o "$folder")
[ -e "$folder/checkpoint.safetensors" ] && words=(train --resume "$folder")
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-8}" --rdzv-id "$SLURM_JOB_ID" \
  --rdzv-backend c10d --rdzv-endpoint "$first:29500" -m netdsl "${words[@]}"
