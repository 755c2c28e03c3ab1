# VesselForge for CPUs:  docker build -t vesselforge .
# For NVIDIA GPUs:       docker build -t vesselforge:cuda \
#                          --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .
# Run it:                docker run --rm -v vesselforge-workspace:/workspace vesselforge \
#                          vesselforge run quickstart
# Prefect's Docker and Kubernetes workers start it with `prefect flow-run execute`.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# PyTorch's CUDA builds bring CUDA along: the host needs the driver and its container toolkit alone.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Of pyproject.toml's optional dependencies, those that runs and exports use.
ARG EXTRAS=dask,onnx
# More of Debian's packages.
ARG PACKAGES=""

# tini hands signals on and reaps what a killed stage leaves behind.
# hadolint ignore=DL3008,SC2086
RUN apt-get update \
 && apt-get install -y --no-install-recommends tini ${PACKAGES} \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home vesselforge \
 && install -d -o vesselforge -g vesselforge \
      /workspace /datasets /home/vesselforge/.prefect \
 && python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /app
# The largest layers first: they change when versions do, not with every edit of ours.
COPY constraints.txt ./
RUN pip install -c constraints.txt --extra-index-url "${TORCH_INDEX}" torch
COPY pyproject.toml ./
RUN touch README.md && pip install -c constraints.txt ".[${EXTRAS}]" && rm -r build
COPY . .
RUN pip install --no-deps -e . && python -m compileall -q .

USER 10001:10001
ENV VESSELFORGE_WORKSPACE=/workspace \
    VESSELFORGE_DATA=/datasets \
    PREFECT_HOME=/home/vesselforge/.prefect \
    PYTHONUNBUFFERED=1
ENTRYPOINT ["tini", "--"]
CMD ["vesselforge", "--help"]
