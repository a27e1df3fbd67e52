# One image for every role: docker run IMAGE {api|sampler|worker|migrate|up}
# TORCH_INDEX, the package index of torch, selects the CPU or the GPU build. `make image-test` builds and
# runs it on a machine without a container engine's daemon.
# Python 3.12.14 on Debian 13; the digest is that of the index of all platforms.
ARG BASE=python:3.12-slim@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea

FROM ${BASE} AS dashboard
WORKDIR /srv
COPY requirements/node.txt .
RUN pip install --require-hashes -r node.txt
COPY app/dashboard .
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund && npm run build

FROM ${BASE}

# Pillow needs FriBiDi to join the letters of Arabic and Indic captions.
RUN apt-get update && apt-get install --yes --no-install-recommends libfribidi0 \
 && rm -rf /var/lib/apt/lists/*

# Package index of torch. Empty: the default index, whose Linux build contains CUDA.
ARG TORCH_INDEX=
# Files of `requirements` with optional packages: dp (differential privacy), traces (OpenTelemetry).
ARG EXTRAS="dp traces"

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    # Keep glibc from returning memory to the system after every step: see core/supervisor.py
    MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=16000000000 \
    MALLOC_TOP_PAD_=268435456 GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
    SEMBLANCE_HOST=0.0.0.0 SEMBLANCE_DATA_DIR=/data

WORKDIR /srv/semblance
COPY requirements/*.txt requirements/
RUN pip install ${TORCH_INDEX:+--index-url ${TORCH_INDEX}} -r requirements/torch.txt \
 && pip install --require-hashes -r requirements/base.txt \
 && for extra in ${EXTRAS}; do pip install --require-hashes --no-deps -r requirements/${extra}.txt; done
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY --from=dashboard /srv/static app/dashboard/static
COPY core core
COPY worker worker
COPY job_kinds job_kinds
COPY modalities modalities
COPY models models
COPY migrations migrations
RUN pip install --no-deps --no-build-isolation --editable . \
 && useradd --uid 10001 --create-home semblance && mkdir /data && chown semblance /data

USER semblance
VOLUME /data
EXPOSE 8000
ENTRYPOINT ["semblance-server"]
CMD ["up"]
